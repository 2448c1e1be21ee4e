"""Whatever the order of writes, drains, losses and deaths: at the end the receiver holds what the sender does."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from shared import errors
from shared.outbox.domain import Delivery, ShardResult
from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = pytest.mark.integration

_NAMES = [f"n{number}" for number in range(6)]
_SHARDS = [f"s{number}" for number in range(4)]


class FlakyWires(Wires):
    """Loses calls, loses answers, repeats old deliveries, and lets the receiver refuse now and then."""

    def __init__(self, chance: random.Random, us: Silo) -> None:
        super().__init__(us)
        self.chance = chance
        self.flaky = True
        self.meanwhile: Callable[[], None] | None = None

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> list[ShardResult]:
        fate = self.chance.random() if self.flaky else 1.0
        if fate < 0.15:
            raise errors.PeerUnavailable
        us = self.silos[target]
        us.refuses = {self.chance.choice([shard.aggregate for shard in delivery.shards])} if fate < 0.3 else set()
        if 0.3 <= fate < 0.5 and self.deliveries:
            us.receive(self.chance.choice(self.deliveries)[1])
        if fate > 0.9 and self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
            self.meanwhile = meanwhile
        results = super().deliver(target, delivery, timeout_s)
        if 0.5 <= fate < 0.6:
            raise errors.DeadlineExceeded
        return results


@dataclass
class Schedule:
    """A seeded run of one sender with two drainers, one of which stops in the middle now and then."""

    seed: int
    control: Silo
    us: Silo
    clock: FakeClock
    said: dict[str, list[str]] = field(default_factory=dict)

    def run(self, steps: int) -> None:
        chance = random.Random(self.seed)
        wires = FlakyWires(chance, self.us)
        drainers = [
            self.control.drainer(wires, shards_per_claim=3, messages_per_shard=chance.randint(1, 5)) for _ in range(2)
        ]

        def meanwhile() -> None:
            self.clock.advance(chance.choice([0, 36]))
            self.write(chance, "meanwhile")
            chance.choice(drainers).drain_once()

        wires.meanwhile = meanwhile
        for step in range(steps):
            action = chance.random()
            if action < 0.5:
                self.write(chance, str(step))
            elif action < 0.85:
                chance.choice(drainers).drain_once()
            elif action < 0.93:
                self.clock.advance(chance.choice([1, 3, 36]))
            else:  # a drainer dies after its claim; its leases stay until they run out
                chance.choice(drainers)._claim("us", "", 2)
        wires.flaky = False
        self.us.refuses = set()
        self.clock.advance(3700)
        drain_all(drainers[0])

    def write(self, chance: random.Random, body: str) -> None:
        if chance.random() < 0.5:
            shard = chance.choice(_SHARDS)
            words = [f"{body}.{number}" for number in range(chance.randint(1, 3))]
            self.control.say(shard, *words)
            self.said.setdefault(shard, []).extend(words)
            return
        names = chance.sample(_NAMES, chance.randint(1, 3))
        rolled_back = chance.random() < 0.2

        def work(transaction: object) -> None:
            for name in names:
                deleted = chance.random() < 0.25
                self.control.write_in(transaction, name, None if deleted else body)  # type: ignore[arg-type]
            if rolled_back:
                raise errors.ProjectExists

        if rolled_back:
            with pytest.raises(errors.ProjectExists):
                self.control.database.transact(work)
        else:
            self.control.database.transact(work)


@pytest.mark.parametrize("seed", range(3))
def test_the_receiver_ends_with_exactly_the_state_of_the_sender(
    seed: int, control: Silo, us: Silo, clock: FakeClock
) -> None:
    schedule = Schedule(seed, control, us, clock)
    schedule.run(120)
    assert us.told_notes() == control.notes()
    assert {shard: us.told_words(shard) for shard in schedule.said} == schedule.said
    assert control.waiting() == 0
