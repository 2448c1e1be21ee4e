"""Releases, pull requests and people at the same issues at once: nobody locks another up, nothing is missed."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from region_silo.issues.mentions import to_digits
from tests.integration.issues.desk import Desk, Spec, State, Type
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

ISSUES = 30
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def at_once(*works: Callable[[], object]) -> None:
    """Run all of them from one start; the first error is raised."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        start.wait(10)
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(run, work) for work in works]:
            done.result(60)


@pytest.mark.parametrize("seed", range(5))
def test_two_releases_that_resolve_the_same_issues_never_lock_each_other_up(
    features: RegionFeatures, desk: Desk, seed: int
) -> None:
    issues = [desk.create(f"issue {n}") for n in range(ISSUES)]
    repository = desk.add_repository("shop")
    names = [f"WEB-{to_digits(n)}" for n in range(1, ISSUES + 1)]
    rng = random.Random(seed)
    versions = [f"{n}.0" for n in range(4)]
    desks = [Desk(features, features.client_of("all")) for _ in range(6)]
    for version in versions:
        desk.client.create(version)

    def ship(number: int, order: list[str]) -> Callable[[], object]:
        # The keys are one release's own, so that only the issues are shared, and the order is another for each.
        specs = [
            Spec(id=f"{number}-{place}", message=f"fixes {name}", repository="shop") for place, name in enumerate(order)
        ]
        return lambda: desks[number].client.update(versions[number], commits=specs)

    def change() -> None:
        for issue in rng.sample(issues, 10):
            desks[4].resolve(issue, Type.TYPE_IN_NEXT_RELEASE)
            desks[4].reopen(issue)

    def review() -> None:
        for number in range(10):
            desks[5].set_pull_request(repository, str(number), title="fixes " + ", ".join(rng.sample(names, 10)))
            desks[5].client.create(f"next {number}")

    before = features.value(_DEADLOCKS)
    at_once(*(ship(n, rng.sample(names, len(names))) for n in range(4)), change, review)
    assert features.value(_DEADLOCKS) == before
    assert features.value("SELECT count(*) FROM issue_link WHERE linked_type = 1") == 4 * ISSUES
    stuck = """
        SELECT count(*) FROM issue WHERE (status = 1) <> EXISTS (
            SELECT FROM issue_resolution ended WHERE ended.issue_id = issue.id
        )
    """
    assert features.value(stuck) == 0
    assert features.value("SELECT count(*) FROM issue_inbox JOIN issue ON id = issue_id WHERE status = 1") == 0


def test_no_next_release_is_missed_by_who_waits_for_it(features: RegionFeatures, desk: Desk) -> None:
    desk.client.create("first")
    makers = [features.client_of("all") for _ in range(2)]
    for round_ in range(15):
        issue = desk.create()
        at_once(
            lambda issue=issue: desk.resolve(issue, Type.TYPE_IN_NEXT_RELEASE),  # type: ignore[misc]
            lambda round_=round_: makers[0].create(f"a{round_}"),  # type: ignore[misc]
            lambda round_=round_: makers[1].create(f"b{round_}"),  # type: ignore[misc]
        )
        assert desk.get(issue).state == State.STATE_RESOLVED
    late = """
        SELECT count(*) FROM issue_resolution pending
        JOIN release ON release.id = pending.release_id
        JOIN issue ON issue.id = pending.issue_id
        JOIN release_project place ON place.project_id = issue.project_id
        JOIN release newer ON newer.id = place.release_id
        WHERE pending.status = 0 AND (newer.date_added, newer.id) > (release.date_added, release.id)
    """
    assert features.value(late) == 0
