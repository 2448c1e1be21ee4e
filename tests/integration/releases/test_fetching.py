"""The runner of fetches on real rows: tries, turns, leases, and how fetches end."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from region_silo.fetches.cleaner import RETENTION, fetch_tasks
from region_silo.fetches.domain import ATTEMPTS_MAX
from region_silo.fetches.providers import (
    SourceTooLargeError,
    SourceUnreachableError,
)
from region_silo.fetches.runner import RunnerSettings
from region_silo.releases.commits import CommitSpec, FileChange
from shared import barrier
from shared.cleaner import Cleaner
from shared.database import Transaction
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.releases.acme import MEMBER, Acme
from tests.integration.releases.fetching import Work
from tests.integration.releases.refs import (
    Ref,
    add_git_repository,
    add_repository,
    commit_ids,
    fetches,
    get_fetch,
    heads,
    release_name,
    set_refs,
)
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sources")]


Fetch = commits_pb.CommitFetch


Spec = release_pb.CommitSpec


def test_a_ref_that_fails_keeps_its_reason_and_the_others_go_on(client: Client, work: Work) -> None:
    add_repository(client, "foreign", provider="elsewhere")
    refs = [Ref(repository=name, commit=f"c-{name}") for name in ("one", "foreign", "two", "three")]
    work.scripted.answers["c-two"] = SourceTooLargeError("too much")
    fetch = set_refs(client, "1.0", *refs).fetch
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert done.state == Fetch.STATE_SUCCEEDED
    assert [ref.error_reason for ref in done.refs] == ["", "FAILED_PRECONDITION", "LIMIT_EXCEEDED", ""]
    assert done.refs[2].error_message == "too much"
    assert (done.commit_count, sorted(commit_ids(client, "1.0"))) == (2, ["c-one", "c-three"])
    # What failed keeps the head that its ref told.
    assert heads(client.get("1.0"))["two"] == "c-two"


def test_more_file_changes_than_a_list_may_have_are_refused_by_ref_and_for_good(client: Client, work: Work) -> None:
    refs = [Ref(repository=name, commit=f"c-{name}") for name in ("one", "two", "three")]
    files = tuple(FileChange(f"f{n}", "A") for n in range(1000))
    for name, count in (("one", 60), ("two", 41), ("three", 40)):
        work.scripted.answers[f"c-{name}"] = [CommitSpec(f"{name}-{n}", name, files=files) for n in range(count)]
    fetch = set_refs(client, "1.0", *refs).fetch
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert done.state == Fetch.STATE_SUCCEEDED
    assert [ref.error_reason for ref in done.refs] == ["", "LIMIT_EXCEEDED", ""]
    assert done.commit_count == len(commit_ids(client, "1.0")) == 100


def test_more_text_than_a_fetch_may_hold_is_refused_by_ref(client: Client, work: Work) -> None:
    refs = [Ref(repository=name, commit=f"c-{name}") for name in ("one", "two", "three")]
    for name, length in (("one", 600), ("two", 500), ("three", 300)):
        work.scripted.answers[f"c-{name}"] = [CommitSpec(name, name, message="m" * length)]
    fetch = set_refs(client, "1.0", *refs).fetch
    assert work.run(RunnerSettings(texts_max=1000)) == 1
    assert [ref.error_reason for ref in get_fetch(client, fetch.name).refs] == ["", "LIMIT_EXCEEDED", ""]
    assert sorted(commit_ids(client, "1.0")) == ["one", "three"]


def test_a_repository_that_went_meanwhile_is_told(features: RegionFeatures, client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    features.rows("UPDATE repository SET status = 1 WHERE name = 'one'")
    work.run()
    assert get_fetch(client, fetch.name).refs[0].error_reason == "REPOSITORY_NOT_FOUND"


def test_what_cannot_be_reached_is_tried_five_times_with_growing_pauses(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = SourceUnreachableError("away")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a"), Ref(repository="two", commit="fine")).fetch
    pauses = []
    for _ in range(ATTEMPTS_MAX - 1):
        assert work.run() == 1
        now = get_fetch(client, fetch.name)
        assert (now.state, now.refs[0].error_reason) == (Fetch.STATE_RUNNING, "UNAVAILABLE")
        assert commit_ids(client, "1.0") == []
        pauses.append(now.next_try_time.ToSeconds() - now.update_time.ToSeconds())
        work.clock.advance(pauses[-1] - 1)
        assert work.run() == 0
        work.clock.advance(2)
    assert pauses == [10, 40, 160, 300]
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count) == (Fetch.STATE_SUCCEEDED, ATTEMPTS_MAX)
    assert [ref.error_reason for ref in done.refs] == ["UNAVAILABLE", ""]
    assert commit_ids(client, "1.0") == ["fine"]


def test_a_source_that_comes_back_is_fetched_at_the_next_try(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = SourceUnreachableError("away")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    work.run()
    del work.scripted.answers["a"]
    work.clock.advance(60)
    work.run()
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count, done.refs[0].error_reason) == (Fetch.STATE_SUCCEEDED, 2, "")
    assert commit_ids(client, "1.0") == ["a"]


def test_an_unexpected_failure_of_a_provider_ends_as_failed_after_all_tries(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = RuntimeError("a secret")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    for _ in range(ATTEMPTS_MAX):
        assert work.run() == 1
        work.clock.advance(1000)
    assert work.run() == 0
    failed = get_fetch(client, fetch.name)
    assert (failed.state, failed.refs[0].error_reason) == (Fetch.STATE_FAILED, "INTERNAL")
    assert "secret" not in failed.refs[0].error_message


def test_a_writer_that_holds_the_release_is_waited_for_and_costs_no_try(
    features: RegionFeatures, client: Client, work: Work
) -> None:
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    locked, done = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        locked.set()
        assert done.wait(20)

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(features.database.transact, hold)
        assert locked.wait(20)
        try:
            for _ in range(ATTEMPTS_MAX + 2):
                assert work.runner(RunnerSettings(write_s=0.2)).run_once()
                work.clock.advance(5)
            now = get_fetch(client, fetch.name)
            assert (now.state, now.attempt_count, commit_ids(client, "1.0")) == (Fetch.STATE_RUNNING, 0, [])
            waiting = pool.submit(work.run, RunnerSettings(write_s=30.0))
            wait_for_a_blocked_session(features.database)
        finally:
            done.set()
        holder.result(20)
        assert waiting.result(30) == 1
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED
    assert commit_ids(client, "1.0") == ["a"]


def test_fetches_of_one_release_end_in_the_order_in_which_they_were_asked_for(client: Client, work: Work) -> None:
    client.create("2.0")
    work.scripted.answers["slow"] = SourceUnreachableError("away")
    first = set_refs(client, "1.0", Ref(repository="one", commit="slow")).fetch
    second = set_refs(client, "1.0", Ref(repository="one", commit="newer")).fetch
    other = set_refs(client, "2.0", Ref(repository="one", commit="other")).fetch
    work.run()
    states = [get_fetch(client, each.name).state for each in (first, second, other)]
    assert states == [Fetch.STATE_RUNNING, Fetch.STATE_QUEUED, Fetch.STATE_SUCCEEDED]
    del work.scripted.answers["slow"]
    work.clock.advance(60)
    assert work.run() == 2
    assert (commit_ids(client, "1.0"), heads(client.get("1.0"))) == (["newer"], {"one": "newer"})


@pytest.mark.parametrize("mode", ["APPEND", "REPLACE_ALL"])
def test_commits_that_are_told_while_a_fetch_is_open_stay_and_it_adds_what_it_found(
    client: Client, work: Work, mode: str
) -> None:
    client.update("1.0", commits=[Spec(id="before", repository="one")])
    fetch = set_refs(client, "1.0", *(Ref(repository=name, commit=f"c-{name}") for name in ("one", "two"))).fetch
    told = Spec(id="told", repository="one", commit_time=Timestamp(seconds=1_780_000_000))
    work.scripted.answers["c-one"] = [CommitSpec("older", "one", commit_time_us=1), CommitSpec("oldest", "one")]
    client.set_commits("1.0", [told], mode)
    assert work.run() == 1
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED
    there = set(commit_ids(client, "1.0"))
    assert there - {"before"} == {"told", "older", "oldest", "c-two"}
    assert ("before" in there) == (mode == "APPEND")
    assert heads(client.get("1.0")) == {"one": "told", "two": "c-two"}
    set_refs(client, "1.0", Ref(repository="two", commit="later"))
    work.run()
    assert commit_ids(client, "1.0") == ["later"], "what was told before a fetch was asked for is replaced"


def test_a_release_that_is_deleted_takes_its_fetch_away_and_is_forgotten_by_others(
    features: RegionFeatures, client: Client, work: Work
) -> None:
    set_refs(client, "1.0", Ref(repository="one", commit="a"))
    work.clock.advance(60)
    client.create("2.0")
    later = set_refs(client, "2.0", Ref(repository="one", commit="b")).fetch
    assert later.previous_release == release_name("1.0", "100")

    def delete() -> None:
        work.scripted.before = lambda: None
        request = release_pb.DeleteReleaseRequest(name=release_name("1.0"), request_id=new_id())
        features.client_of("releaser").release.DeleteRelease(request)

    work.scripted.before = delete
    assert work.run() == 2
    assert [fetch.previous_release for fetch in fetches(client, "2.0")] == [""]
    assert features.value("SELECT count(*) FROM commit_fetch") == 1
    assert commit_ids(client, "2.0") == ["b"]


def test_who_may_not_change_the_release_any_more_fetches_nothing_into_it(
    acme: Acme, client: Client, work: Work
) -> None:
    fetch = set_refs(acme.user(MEMBER), "1.0", Ref(repository="one", commit="a")).fetch
    acme.features.rows("DELETE FROM organization_member_team")
    work.run()
    failed = get_fetch(client, fetch.name)
    assert (failed.state, failed.refs[0].error_reason) == (Fetch.STATE_FAILED, "RELEASE_NOT_FOUND")
    assert commit_ids(client, "1.0") == []


def test_two_runners_never_work_on_one_fetch(client: Client, work: Work) -> None:
    set_refs(client, "1.0", Ref(repository="one", commit="a"))
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(20)

    work.scripted.before = wait
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work.run)
        assert inside.wait(20)
        assert not work.runner().run_once()
        # The lease has run out, and another process takes the fetch: the first one writes nothing.
        work.scripted.before = lambda: None
        work.clock.advance(1000)
        assert work.runner().run_once()
        go_on.set()
        assert running.result(20) == 1
    (fetch,) = fetches(client, "1.0")
    assert (fetch.state, fetch.attempt_count) == (Fetch.STATE_SUCCEEDED, 2)
    assert len(work.scripted.asked) == 2


def test_a_stopping_runner_gives_the_fetch_back(client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", *(Ref(repository=name, commit=name) for name in ("one", "two"))).fetch
    stop = threading.Event()
    work.scripted.before = stop.set
    work.runner().run(stop)
    assert [asked[0] for asked in work.scripted.asked] == ["one"]
    now = get_fetch(client, fetch.name)
    assert (now.state, now.attempt_count) == (Fetch.STATE_RUNNING, 0)
    assert work.run() == 1
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED


_CHILD = """
import sys
from pathlib import Path
from region_silo.fetches.local_git import NAME, LocalGit
from region_silo.fetches.runner import FetchRunner
from shared import barrier
from shared.clock import SystemClock
from shared.database import Database
url, root, point = sys.argv[1:]
barrier.arm(point)
FetchRunner(Database.open(url, clock=SystemClock()), {NAME: LocalGit(Path(root))}).run_once()
"""


@pytest.mark.parametrize("point", ["fetch.ref_done=kill", "fetch.before_write=kill", "before_commit:4=kill"])
def test_a_fetch_that_is_killed_in_the_middle_is_done_by_the_next_process(
    features: RegionFeatures, region_database_url: str, client: Client, work: Work, point: str
) -> None:
    key = work.git("app").commit("first", {"a.txt": "a"})
    other = work.git("other").commit("of the other", {"a.txt": "a"})
    add_git_repository(client, "other")
    client.update("1.0", commits=[Spec(id="before", repository="one")])
    fetch = set_refs(client, "1.0", Ref(repository="app", commit="main"), Ref(repository="other", commit="main")).fetch
    child = subprocess.run(
        (sys.executable, "-c", _CHILD, region_database_url, str(work.root), point),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert child.returncode == -9
    now = get_fetch(client, fetch.name)
    assert (now.state, now.attempt_count, commit_ids(client, "1.0")) == (Fetch.STATE_RUNNING, 1, ["before"])
    assert work.run() == 0
    work.clock.advance(1000)
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count, done.commit_count) == (Fetch.STATE_SUCCEEDED, 2, 2)
    assert sorted(commit_ids(client, "1.0")) == sorted([key, other])
    assert heads(client.get("1.0")) == {"app": key, "other": other}


def test_progress_is_shown_while_a_fetch_runs(client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", *(Ref(repository=name, commit=name) for name in ("one", "two"))).fetch
    seen = []

    def look(times: int) -> None:
        seen.append([ref.done for ref in get_fetch(client, fetch.name).refs])

    with barrier.registered("fetch.ref_done", look):
        work.run()
    assert seen == [[True, False], [True, True]]


def test_old_fetches_are_cleaned_and_open_ones_stay(client: Client, work: Work) -> None:
    set_refs(client, "1.0", Ref(repository="one", commit="a"))
    work.run()
    client.create("2.0")
    work.scripted.answers["b"] = SourceUnreachableError("away")
    set_refs(client, "2.0", Ref(repository="one", commit="b"))
    work.run()
    cleaner = Cleaner(work.database, fetch_tasks())
    assert cleaner.clean_once() == {"commit_fetch": 0}
    work.clock.advance(RETENTION.total_seconds() + 3600)
    assert cleaner.clean_once() == {"commit_fetch": 1}
    assert len(fetches(client, "2.0")) == 1


def test_an_unknown_fetch_is_told(client: Client) -> None:
    with refused() as found:
        get_fetch(client, "organizations/acme/commitFetches/5")
    assert found[0].reason == "COMMIT_FETCH_NOT_FOUND"
    assert found[0].resource == ("siloway/CommitFetch", "organizations/100/commitFetches/5")
    with refused() as found:
        get_fetch(client, "organizations/acme/commitFetches/five")
    assert found[0].fields == ["name"]
