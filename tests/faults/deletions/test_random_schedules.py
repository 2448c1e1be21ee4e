"""Deletions, undeletions, renames and swaps in any order, with loops, deliveries and repeats in between."""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger as ControlPurger
from region_silo.deletions.purging import Purger as RegionPurger
from shared.errors import ServiceError
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.deletions.deleting import ask_delete, ask_undelete, carry_on, left_in_region
from tests.integration.provisioning.asking import ask_rename, ask_swap, id_of, made
from tests.invariants import check_always, check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]

_SLUGS = ("one", "two", "three", "four")
_STEPS = 50


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_in_between_nothing_is_left_of_what_was_deleted_and_nothing_else_is_lost(
    silos: Silos, clock: FakeClock, seed: int
) -> None:
    chance = random.Random(seed)
    settings = Deletions(quarantine=timedelta(seconds=chance.choice((0, 30))))
    ids = [id_of(made(silos, slug=slug, region=chance.choice(("us", "de")))) for slug in _SLUGS]

    def swap() -> object:
        one, other = chance.sample(ids, 2)
        wanted = [_slug(silos, other), _slug(silos, one)]
        return ask_swap(silos, dict(zip((one, other), wanted, strict=True)))

    def repeat() -> object:
        target, seen = chance.choice(silos.transport.seen)
        return silos.transport.receivers[target](seen)

    steps: list[Callable[[], object]] = [
        lambda: ask_delete(silos, chance.choice(ids), grace=timedelta(seconds=chance.choice((0, 20, 200)))),
        lambda: ask_undelete(silos, chance.choice(ids)),
        lambda: ask_rename(silos, chance.choice(ids), chance.choice(("five", "six", *_SLUGS)), redirect_ttl_s=15),
        swap,
        repeat,
        lambda: clock.advance(chance.choice((1, 10, 60))),
        lambda: ControlPurger(silos.control, settings).run_once(),
        lambda: RegionPurger(silos.regions[chance.choice(("us", "de"))], rows_max=2).run_once(),
        lambda: silos.drain(chance.choice(("control", "us", "de"))),
    ]
    for _ in range(_STEPS):
        with suppress(ServiceError):  # refused by name; what must hold is checked all the same
            chance.choice(steps)()
        check_always(silos.control, silos.regions)

    clock.advance(10_000)
    carry_on(silos, settings)
    check_quiet(silos.control, silos.regions)
    purged = {
        row[0] for row in rows(silos.control, "SELECT organization_id FROM audit_entry WHERE action LIKE '%.purge'")
    }
    kept = {row[0] for row in rows(silos.control, "SELECT organization_id FROM organization_mapping")}
    assert purged | kept == set(ids)
    assert not purged & kept
    for organization in purged:
        assert all(left_in_region(database, int(str(organization))) == {} for database in silos.regions.values())


def _slug(silos: Silos, organization: int) -> str:
    found = rows(silos.control, "SELECT slug FROM organization_mapping WHERE organization_id = :id", id=organization)
    return str(found[0][0]) if found else "nobody"
