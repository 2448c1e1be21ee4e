"""The conversation over lines that lose requests and replies, with repeats, late repeats, strangers and crashes
between.

The schedules of the reservation machine's own test, driven through PostgreSQL: whatever happens, once the lines are
good again every organization has one PRIMARY that its region and the mapping agree on, and nothing waits.
"""

import random

import pytest

from shared.errors import PeerUnavailable
from shared.outbox.domain import Delivery
from tests.clock import FakeClock
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    pending,
    region_slugs,
    rows,
)

pytestmark = [pytest.mark.faults, pytest.mark.integration]

BASES = ("acme", "Acme", "api", "42", "other", "")


class BadLines:
    """Loses one request in four and one reply in four, while `bad`."""

    def __init__(self, silos: Silos, chance: random.Random) -> None:
        self.bad = True
        self.lost_replies = 0
        receivers = dict(silos.transport.receivers)

        def before(target: str, delivery: Delivery) -> None:
            if not self.bad:
                return
            fate = chance.random()
            if fate < 0.25:
                raise PeerUnavailable
            if fate < 0.5:
                receivers[target](delivery)
                self.lost_replies += 1
                raise PeerUnavailable

        silos.transport.before = before


@pytest.mark.parametrize("seed", range(6))
def test_every_organization_ends_with_one_slug(silos: Silos, clock: FakeClock, seed: int) -> None:
    chance = random.Random(seed)
    lines = BadLines(silos, chance)
    wishes = {
        name: [(organization, chance.choice(BASES)) for organization in organization_ids(number, 6)]
        for name, number in (("us", 1), ("de", 2))
    }
    stranger = organization_ids(1, 1, start=50)[0]
    add_organizations(silos.regions["us"], [*wishes["us"], (stranger, "x")])
    add_organizations(silos.regions["de"], wishes["de"])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1 WHERE id = :id", id=stranger)
    given: dict[int, set[str]] = {}

    def act() -> None:
        kind = chance.randrange(5)
        name = chance.choice(("us", "de"))
        if kind == 0:
            part = chance.sample(wishes[name], chance.randint(1, 6))
            for reserved in silos.reserve(name, part, change_set=f"imports/{chance.randint(1, 2)}"):
                if reserved.finished:
                    given.setdefault(reserved.organization_id, set()).add(reserved.slug)
        elif kind == 1 and silos.transport.seen:
            target, delivery = chance.choice(silos.transport.seen)
            silos.transport.receivers[target](delivery)
        elif kind == 2:
            clock.advance(chance.choice((0.5, 5, 60)))
        else:
            silos.drainers[chance.choice(("control", "us", "de"))].drain_once()

    for _ in range(60):
        act()
    lines.bad = False
    for name, part in wishes.items():
        silos.reserve(name, part)
    for _ in range(8):
        clock.advance(60)
        silos.drain()

    assert lines.lost_replies > 0
    assert_quiet(silos, wishes)
    held = {row[0]: row[1] for row in rows(silos.control, "SELECT organization_id, slug FROM slug_reservation")}
    assert all(slugs == {held[organization]} for organization, slugs in given.items())
    assert region_slugs(silos.regions["us"])[stranger] == "acme"


def assert_quiet(silos: Silos, wishes: dict[str, list[tuple[int, str]]]) -> None:
    held = rows(silos.control, "SELECT organization_id, slug, region, type, state FROM slug_reservation")
    mapped = rows(silos.control, "SELECT organization_id, slug, region FROM organization_mapping")
    assert {row[3:] for row in held} == {(0, 1)}
    assert sorted(row[:3] for row in held) == sorted(mapped)
    assert len(held) == sum(len(part) for part in wishes.values())
    for name, part in wishes.items():
        slugs = region_slugs(silos.regions[name])
        mine = {row[0]: row[1] for row in held if row[2] == name}
        assert {organization: slugs[organization] for organization, _ in part} == mine
        assert pending(silos.regions[name]) == 0
    assert pending(silos.control) == 0


def test_region_that_applied_before_control_crashed_is_promoted_by_the_redelivery(
    silos: Silos, clock: FakeClock
) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])

    def dies_after_delivering(target: str, delivery: Delivery) -> None:
        silos.transport.receivers[target](delivery)
        raise KeyboardInterrupt

    silos.transport.before = dies_after_delivering
    with pytest.raises(KeyboardInterrupt):
        silos.drainers["control"].drain_once()
    silos.transport.before = lambda target, delivery: None
    assert region_slugs(silos.regions["us"]) == {organization: "acme"}
    assert rows(silos.control, "SELECT type, state FROM slug_reservation") == [(2, 0)]
    assert pending(silos.control) == 1

    clock.advance(60)
    silos.drain()

    assert_quiet(silos, {"us": [(organization, "acme")]})
