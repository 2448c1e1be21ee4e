"""Seeded random schedules of provisions, renames and swaps over lines that lose requests and replies.

Whatever happens, I1, I2 and I4 hold at every step, and once the lines are good all silos agree (I3) and every request
has had one effect (I9).
"""

import random
from typing import Any

import pytest

from control_silo.changes.domain import Change, ChangeKind
from shared.errors import (
    PeerUnavailable,
    RedirectLimit,
    ServiceError,
    SlugChangePending,
    SlugHeld,
    SlugsMismatch,
    SlugTaken,
)
from shared.outbox.domain import Delivery
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.provisioning.asking import ask, ask_rename, ask_swap, at_end, id_of, new_id
from tests.invariants import check_always, check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]

SLUGS = ("acme", "beta", "crow", "dune", "acme-2", "echo")
EXPECTED = (SlugChangePending, SlugHeld, SlugTaken, SlugsMismatch, RedirectLimit)
STEPS = 150


class Schedule:
    """One run: what was asked for, to be asked again at any time."""

    def __init__(self, silos: Silos, clock: FakeClock, seed: int) -> None:
        self.silos = silos
        self.clock = clock
        self.chance = random.Random(seed)
        self.bad = True
        self.provisions: dict[str, dict[str, Any]] = {}
        self.first: dict[str, Change] = {}
        self.refused: list[ServiceError] = []
        receivers = dict(silos.transport.receivers)

        def before(target: str, delivery: Delivery) -> None:
            fate = self.chance.random() if self.bad else 1.0
            if fate < 0.2:
                raise PeerUnavailable
            if fate < 0.4:
                receivers[target](delivery)
                raise PeerUnavailable

        silos.transport.before = before

    def act(self) -> None:
        kind = self.chance.choices(range(7), (2, 2, 3, 2, 1, 1, 5))[0]
        try:
            if kind <= 1:
                self.provision()
            elif kind == 2:
                self.rename()
            elif kind == 3:
                self.swap()
            elif kind == 4 and self.silos.transport.seen:
                target, delivery = self.chance.choice(self.silos.transport.seen)
                self.silos.transport.receivers[target](delivery)
            elif kind == 5:
                self.clock.advance(self.chance.choice((0.5, 5, 60)))
            else:
                self.silos.drainers[self.chance.choice(("control", "us", "de"))].drain_once()
        except EXPECTED as error:
            self.refused.append(error)

    def provision(self) -> None:
        if self.provisions and self.chance.random() < 0.4:
            request = self.chance.choice(list(self.provisions))
        else:
            request = new_id()
            self.provisions[request] = {
                "slug": self.chance.choice(SLUGS),
                "region": self.chance.choice(("us", "de")),
                "create_default_team": False,
            }
        change = ask(self.silos, request, **self.provisions[request])
        assert self.first.setdefault(request, change).slug == change.slug

    def living(self) -> list[int]:
        return [
            id_of(ended)
            for ended in (at_end(self.silos, first) for first in self.first.values())
            if ended.organization_id
        ]

    def rename(self) -> None:
        if living := self.living():
            ask_rename(
                self.silos,
                self.chance.choice(living),
                self.chance.choice((*SLUGS, f"name-{self.chance.randrange(100)}")),
                exact=self.chance.random() < 0.6,
                redirect_ttl_s=self.chance.choice((0, 30, 3600)),
            )

    def swap(self) -> None:
        held = rows(
            self.silos.control,
            "SELECT organization_id, slug FROM organization_mapping WHERE slug IS NOT NULL ORDER BY 1",
        )
        if len(held) < 2:
            return
        chosen = self.chance.sample(held, self.chance.randint(2, min(4, len(held))))
        slugs = [str(slug) for _, slug in chosen]
        ask_swap(self.silos, {int(str(row[0])): slug for row, slug in zip(chosen, slugs[1:] + slugs[:1], strict=True)})


@pytest.mark.parametrize("seed", range(5))
def test_every_schedule_keeps_the_invariants_and_ends_in_agreement(silos: Silos, clock: FakeClock, seed: int) -> None:
    schedule = Schedule(silos, clock, seed)
    for _ in range(STEPS):
        schedule.act()
        check_always(silos.control, silos.regions)
    schedule.bad = False
    for _ in range(6):
        clock.advance(60)
        silos.drain()

    check_quiet(silos.control, silos.regions)
    ended = [at_end(silos, change) for change in schedule.first.values()]
    assert {change.state for change in ended} == {RequestState.SUCCEEDED}
    assert len({change.organization_id for change in ended}) == len(ended) == len(schedule.provisions)
    kinds = {row[0] for row in rows(silos.control, "SELECT kind FROM organization_change WHERE state = 'SUCCEEDED'")}
    assert kinds >= {ChangeKind.PROVISION.value, ChangeKind.RENAME.value}
