"""When a deploy is announced, and that it is announced once: waiting for commits, the sweep, and what runs where.

A fetch that fails or finds nothing must not leave a deploy unannounced.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.deploys.announcing import AT_ONCE_MAX
from region_silo.deploys.sweeping import Sweep
from shared import barrier
from shared.database import Database, Transaction
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.deploys.asking import (
    NOON,
    activities,
    add_fetch,
    add_head,
    announcements,
    deployed,
    updated,
)
from tests.integration.releases.refs import Ref, ref_set, release_name, update
from tests.region_client import new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
SKIPPED = release_pb.CommitSpec(id="a", message="#skipsentry")


def runs(features: RegionFeatures) -> dict[tuple[str, str], tuple[int, str]]:
    """(repository, environment) -> (deploy, commit)."""
    found = features.rows(
        """
        SELECT repository.name, environment.name, latest.deploy_id, commit.key FROM latest_repository_deploy latest
        JOIN repository ON repository.id = latest.repository_id
        JOIN environment ON environment.id = latest.environment_id
        JOIN commit ON commit.id = latest.commit_id
        """
    )
    return {(repository, environment): (deploy, key) for repository, environment, deploy, key in found}


def ends(features: RegionFeatures, state: str) -> None:
    """A fetch ends as a crash leaves it: nobody announces in its transaction."""
    features.rows("UPDATE commit_fetch SET state = :state", state=state)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_deploy_waits_while_its_commits_are_being_fetched(features: RegionFeatures, state: str) -> None:
    client = features.client
    client.create("1.0")
    add_head(features)
    add_fetch(features, state=state)
    made = [deployed(client), deployed(client, environment="staging", finished=NOON)]
    assert not any(each.HasField("announce_time") for each in made)
    assert Sweep(features.database).run_once() == 0
    assert (announcements(features), activities(features)) == ([], [])
    client.update("1.0", commits=[release_pb.CommitSpec(id="a" * 40, repository="shop")])
    assert announcements(features) == [int(made[1].uid), int(made[0].uid)], "the earlier finish first"
    assert len(activities(features)) == 2


def test_an_empty_list_of_commits_does_not_end_the_wait(features: RegionFeatures) -> None:
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    deployed(features.client)
    features.client.update("1.0", commits=[SKIPPED])
    assert announcements(features) == []


@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_a_fetch_that_failed_or_found_nothing_leaves_no_deploy_unannounced(
    features: RegionFeatures, state: str
) -> None:
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    made = deployed(features.client)
    ends(features, state)
    assert Sweep(features.database).run_once() == 1
    assert announcements(features) == [int(made.uid)]
    assert Sweep(features.database).run_once() == 0
    later = deployed(features.client)
    assert later.HasField("announce_time"), "nothing is waited for any more"
    assert len(activities(features)) == 2


def test_an_update_with_commits_and_refs_announces_what_its_refs_say(features: RegionFeatures) -> None:
    client = features.client
    client.create("1.0")
    add_head(features)
    add_fetch(features)
    made = deployed(client)
    assert runs(features) == {}
    commits = release_pb.CommitSet(commits=[release_pb.CommitSpec(id="b" * 40, repository="shop")])
    update(client, "1.0", commits=commits, refs=ref_set(Ref(repository="shop", commit="c" * 40)))
    assert runs(features) == {("shop", "production"): (int(made.uid), "c" * 40)}


@pytest.mark.parametrize("by", ["ClearCommits", "UpdateRelease"])
def test_who_clears_a_release_ends_the_wait_for_its_commits(features: RegionFeatures, by: str) -> None:
    client = features.client
    client.create("1.0")
    add_head(features)
    add_fetch(features)
    made = deployed(client)
    if by == "ClearCommits":
        client.release.ClearCommits(release_pb.ClearCommitsRequest(release=release_name("1.0"), request_id=new_id()))
    else:
        update(client, "1.0", refs=ref_set())
    assert announcements(features) == [int(made.uid)]


@pytest.mark.parametrize("waiting", ["no head", "commits"])
def test_a_fetch_is_waited_for_only_with_heads_and_without_commits(features: RegionFeatures, waiting: str) -> None:
    features.client.create("1.0")
    add_fetch(features)
    if waiting == "commits":
        features.client.update("1.0", commits=[release_pb.CommitSpec(id="a", repository="shop")])
    assert deployed(features.client).HasField("announce_time")


def test_a_running_deploy_waits_for_its_finish_whatever_the_commits_do(features: RegionFeatures) -> None:
    features.client.create("1.0")
    made = deployed(features.client, running=True)
    features.client.update("1.0", commits=[release_pb.CommitSpec(id="a", repository="shop")])
    assert Sweep(features.database).run_once() == 0
    assert updated(features.client, made.name, finished=NOON).HasField("announce_time")


def test_several_sweeps_at_once_announce_each_deploy_once(features: RegionFeatures) -> None:
    for number in range(12):
        features.client.create(f"{number}.0")
        add_head(features, f"{number}.0", key=f"{number}" * 20)
        add_fetch(features, f"{number}.0")
    made = [deployed(features.client, f"{number}.0") for number in range(12) for _ in range(3)]
    ends(features, "failed")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: Sweep(features.database, page=5).run_once(), range(4)))
    Sweep(features.database).run_once()
    assert sum(done) <= 36
    assert sorted(announcements(features)) == sorted(int(each.uid) for each in made)
    assert len(activities(features)) == 36


def test_a_release_that_another_holds_is_left_to_it_and_holds_up_no_other(features: RegionFeatures) -> None:
    for version in ("1.0", "2.0"):
        features.client.create(version)
        add_head(features, version)
        add_fetch(features, version)
        deployed(features.client, version)
    ends(features, "failed")
    held, go_on = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.driver.execute("SELECT id FROM release WHERE version = '1.0' FOR UPDATE")
        held.set()
        assert go_on.wait(30)

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(features.database.transact, hold)
        assert held.wait(30)
        assert Sweep(features.database).run_once() == 1
        go_on.set()
        holder.result(30)
    assert Sweep(features.database).run_once() == 1


def test_the_sweep_leaves_organizations_alone_that_refuse_writes(features: RegionFeatures) -> None:
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    deployed(features.client)
    ends(features, "failed")
    features.rows("UPDATE organization SET deletion = 1, purge_at = :now", now=NOON)
    assert Sweep(features.database).run_once() == 0
    features.rows("UPDATE organization SET deletion = 0, purge_at = NULL")
    assert Sweep(features.database).run_once() == 1


def test_more_deploys_than_one_transaction_announces_are_announced_by_the_sweep(features: RegionFeatures) -> None:
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    deployed(features.client, finished=NOON)
    features.rows(
        """
        INSERT INTO deploy (id, organization_id, release_id, environment_id, date_added, date_finished)
        SELECT n, organization_id, release_id, environment_id, date_added, date_finished FROM deploy,
            generate_series(1, :count) AS n
        """,
        count=AT_ONCE_MAX + 10,
    )
    features.rows(
        "INSERT INTO deploy_project (deploy_id, project_id, organization_id) "
        "SELECT deploy.id, project.id, 100 FROM deploy, project WHERE deploy.id < 1000"
    )
    ends(features, "failed")
    features.client.update("1.0", commits=[SKIPPED])
    assert len(announcements(features)) == AT_ONCE_MAX
    assert Sweep(features.database).run_once() == 11
    assert len(set(announcements(features))) == AT_ONCE_MAX + 11


def test_what_was_announced_but_not_committed_is_announced_by_who_comes_next(features: RegionFeatures) -> None:
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    made = deployed(features.client)
    ends(features, "failed")

    def crash(_times: int) -> None:
        raise RuntimeError("a crash")

    with barrier.registered("deploys.announced", crash):
        assert Sweep(features.database).run_once() == 0
    assert (announcements(features), activities(features)) == ([], [])
    assert Sweep(features.database).run_once() == 1
    assert announcements(features) == [int(made.uid)]


def test_an_environment_runs_the_heads_of_the_deploy_that_finished_last(features: RegionFeatures) -> None:
    client = features.client
    for version, key in (("1.0", "a" * 40), ("2.0", "b" * 40)):
        client.create(version)
        add_head(features, version, key=key)
    add_head(features, "2.0", repository="api", key="c" * 40)
    second = int(deployed(client, "2.0", finished=NOON + HOUR).uid)
    expected = {("shop", "production"): (second, "b" * 40), ("api", "production"): (second, "c" * 40)}
    assert runs(features) == expected
    first = int(deployed(client, "1.0", finished=NOON).uid)
    assert runs(features) == expected, "one that finished before is no news"
    staged = int(deployed(client, "1.0", "staging", finished=NOON).uid)
    assert runs(features) == {**expected, ("shop", "staging"): (staged, "a" * 40)}
    third = int(deployed(client, "1.0", finished=NOON + 2 * HOUR).uid)
    assert runs(features)["shop", "production"] == (third, "a" * 40)
    assert runs(features)["api", "production"] == (second, "c" * 40)
    assert len({first, second, third}) == 3


def test_of_two_deploys_at_once_the_environment_keeps_the_later_finish(features: RegionFeatures) -> None:
    client = features.client
    for version, key in (("1.0", "a" * 40), ("2.0", "b" * 40)):
        client.create(version)
        add_head(features, version, key=key)
    deployed(client, "1.0", finished=NOON)
    reached, go_on = threading.Event(), threading.Event()

    def pause(times: int) -> None:
        if times == 1:
            reached.set()
            assert go_on.wait(30)

    other = Database.open(
        features.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False),
        clock=features.clock,
    )
    with barrier.registered("deploys.announced", pause), ThreadPoolExecutor(2) as pool:
        late = pool.submit(deployed, client, "2.0", finished=NOON + 2 * HOUR)
        assert reached.wait(30)
        early = pool.submit(deployed, client, "1.0", finished=NOON + HOUR)
        wait_for_a_blocked_session(other)
        go_on.set()
        later, earlier = late.result(30), early.result(30)
    other.close()
    assert runs(features) == {("shop", "production"): (int(later.uid), "b" * 40)}
    assert sorted(announcements(features))[-2:] == sorted([int(later.uid), int(earlier.uid)])
