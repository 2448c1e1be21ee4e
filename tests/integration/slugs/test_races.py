"""Reservations at the same instant: nobody fails, nobody shares, and the loser alone gets a suffix."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from control_silo.slugs.domain import Reserved
from tests.integration.callbacks.silos import Silos, add_organizations, organization_ids, pending, reservations

pytestmark = pytest.mark.integration


def together(*calls: Callable[[], list[Reserved]]) -> list[list[Reserved]]:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], list[Reserved]]) -> list[Reserved]:
        start.wait(10)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_loser_of_a_race_waits_for_the_winner_and_takes_a_suffix(silos: Silos) -> None:
    (ours,), (theirs,) = organization_ids(1, 1), organization_ids(2, 1)
    inserted, go_on = threading.Event(), threading.Event()

    def hold_the_first(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "INSERT INTO slug_reservation" in statement and not inserted.is_set():
            inserted.set()
            assert go_on.wait(20)

    event.listen(silos.control.engine, "after_cursor_execute", hold_the_first)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(silos.reserve, "us", [(ours, "acme")])
        assert inserted.wait(20)
        second = pool.submit(silos.reserve, "de", [(theirs, "acme")])
        assert not second.done()
        go_on.set()
        assert first.result(20)[0].slug == "acme"
        assert second.result(20)[0].slug.startswith("acme-")
    assert len(reservations(silos.control)) == 2


def test_two_regions_with_the_same_hundred_slugs_both_get_theirs(silos: Silos) -> None:
    us = [(organization, f"org-{place}") for place, organization in enumerate(organization_ids(1, 100))]
    de = [(organization, f"org-{place}") for place, organization in enumerate(organization_ids(2, 100))]
    add_organizations(silos.regions["us"], us)
    add_organizations(silos.regions["de"], de)

    given = together(lambda: silos.reserve("us", us), lambda: silos.reserve("de", de[::-1]))

    slugs = [reserved.slug for answer in given for reserved in answer]
    assert len(set(slugs)) == 200
    assert {f"org-{place}" for place in range(100)} <= set(slugs)
    silos.drain()
    assert {row[1:3] for row in reservations(silos.control).values()} == {(0, 1)}


def test_same_request_twice_at_once_gets_one_answer_and_one_message(silos: Silos) -> None:
    wishes = [(organization, "acme") for organization in organization_ids(1, 20)]

    given = together(*[lambda: silos.reserve("us", wishes)] * 3)

    assert given[0] == given[1] == given[2]
    assert len(reservations(silos.control)) == 20
    assert pending(silos.control) == 1


def test_overlapping_requests_in_opposite_order_do_not_deadlock(silos: Silos) -> None:
    ids = organization_ids(1, 60)
    up = [(organization, f"org-{place}") for place, organization in enumerate(ids[:40])]
    down = [(organization, f"org-{place}") for place, organization in enumerate(ids)][20:][::-1]

    given = together(lambda: silos.reserve("us", up), lambda: silos.reserve("us", down))

    by_id: dict[int, set[str]] = {}
    for answer in given:
        for reserved in answer:
            by_id.setdefault(reserved.organization_id, set()).add(reserved.slug)
    assert all(len(slugs) == 1 for slugs in by_id.values())
    assert len(reservations(silos.control)) == 60
