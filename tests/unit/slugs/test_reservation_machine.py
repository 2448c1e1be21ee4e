"""The reservation machine alone: each rule, and seeded random schedules with repeats and delays."""

import random
from dataclasses import dataclass, field

import pytest

from control_silo.slugs.domain import Answered, Effect, Holding, Verdict, Won, is_own, step
from shared.snowflake.domain import LAYOUT_2

HELD = Holding(None, "acme", 3)
DONE = Holding("acme", None, 3)


def test_a_won_slug_is_held_under_a_higher_fence_and_queued() -> None:
    assert step(Holding(None, None, 4), Won("acme")) == (Holding(None, "acme", 5), (Effect.QUEUE,))


@pytest.mark.parametrize("holding", [HELD, DONE])
def test_nobody_who_has_a_slug_needs_one(holding: Holding) -> None:
    assert not holding.needs_slug


def test_applied_promotes() -> None:
    assert step(HELD, Answered(Verdict.APPLIED, "acme", 3)) == (DONE, (Effect.PROMOTE,))


def test_applied_rename_ends_the_former_first() -> None:
    renaming = Holding("acme", "acme-inc", 7)
    assert step(renaming, Answered(Verdict.APPLIED, "acme-inc", 7)) == (
        Holding("acme-inc", None, 7),
        (Effect.END_FORMER, Effect.PROMOTE),
    )


def test_clash_of_a_first_slug_chooses_again() -> None:
    assert step(HELD, Answered(Verdict.CLASH, "acme", 3)) == (
        Holding(None, None, 3),
        (Effect.RELEASE, Effect.CHOOSE_AGAIN),
    )


def test_a_cancelled_first_slug_chooses_again_and_a_cancelled_rename_keeps_the_former() -> None:
    assert step(HELD, Answered(Verdict.CANCELLED, "acme", 3)) == (
        Holding(None, None, 3),
        (Effect.RELEASE, Effect.CHOOSE_AGAIN),
    )
    assert step(Holding("acme", "acme-inc", 7), Answered(Verdict.CANCELLED, "acme-inc", 7)) == (
        Holding("acme", None, 7),
        (Effect.RELEASE,),
    )


def test_missing_organization_is_forgotten() -> None:
    assert step(HELD, Answered(Verdict.MISSING, "acme", 3)) == (Holding(None, None, 3), (Effect.RELEASE, Effect.FORGET))


@pytest.mark.parametrize("verdict", [Verdict.CLASH, Verdict.MISSING])
def test_refused_rename_keeps_the_former(verdict: Verdict) -> None:
    renaming = Holding("acme", "acme-inc", 7)
    assert step(renaming, Answered(verdict, "acme-inc", 7)) == (Holding("acme", None, 7), (Effect.RELEASE,))


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("holding", [HELD, DONE, Holding(None, None, 3), Holding()])
@pytest.mark.parametrize(("slug", "fence_version"), [("acme", 2), ("acme", 4), ("other", 3)])
def test_late_answers_change_nothing(verdict: Verdict, holding: Holding, slug: str, fence_version: int) -> None:
    assert step(holding, Answered(verdict, slug, fence_version)) == (holding, ())


def test_repeated_answers_change_nothing() -> None:
    after, _ = step(HELD, Answered(Verdict.APPLIED, "acme", 3))
    for verdict in Verdict:
        assert step(after, Answered(verdict, "acme", 3)) == (after, ())


def test_a_mapping_decides_whose_an_organization_is_and_the_number_only_without_one() -> None:
    ours, theirs = (LAYOUT_2.encode(1, number, 1) for number in (1, 2))
    assert is_own(theirs, "us", region="us", number=1)
    assert not is_own(ours, "de", region="us", number=1)
    assert is_own(ours, None, region="us", number=1)
    assert not is_own(theirs, None, region="us", number=1)
    assert not is_own(17, None, region="us", number=1)


@dataclass
class World:
    """Control's state of one organization, the region's, and everything that was ever said between them."""

    random: random.Random
    holding: Holding = field(default_factory=Holding)
    region_slug: str | None = None
    region_fence: int = 0
    clashes: int = 3
    queued: list[tuple[str, int]] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    waiting_queued: list[tuple[str, int]] = field(default_factory=list)
    waiting_answers: list[Answered] = field(default_factory=list)
    names: int = 0

    def ask(self) -> None:
        if not self.holding.needs_slug:
            return
        self.names += 1
        before = self.holding.fence_version
        self.take(Won(f"slug-{self.names}"))
        assert self.holding.fence_version > before

    def take(self, event: Won | Answered) -> None:
        self.holding, effects = step(self.holding, event)
        for effect in effects:
            if effect is Effect.QUEUE:
                assert self.holding.temporary is not None
                pair = (self.holding.temporary, self.holding.fence_version)
                self.queued.append(pair)
                self.waiting_queued.append(pair)
            elif effect is Effect.PROMOTE:
                assert self.region_slug == self.holding.primary
        assert self.holding.primary is None or self.holding.temporary is None

    def apply(self, pair: tuple[str, int]) -> None:
        slug, fence_version = pair
        if fence_version > self.region_fence:
            self.region_fence = fence_version
            if self.clashes and self.random.random() < 0.5:
                self.clashes -= 1
                verdict = Verdict.CLASH
            else:
                self.region_slug = slug
                verdict = Verdict.APPLIED
        else:
            same = fence_version == self.region_fence and slug == self.region_slug
            verdict = Verdict.APPLIED if same else Verdict.CLASH
        answer = Answered(verdict, slug, fence_version)
        self.answered.append(answer)
        self.waiting_answers.append(answer)

    def act(self) -> None:
        """Anything may happen at any time: new wishes, deliveries out of order, and repeats of all that was ever
        sent.
        """
        kind = self.random.randrange(5)
        if kind == 0:
            self.ask()
        elif kind == 1 and self.waiting_queued:
            self.apply(self.waiting_queued.pop(self.random.randrange(len(self.waiting_queued))))
        elif kind == 2 and self.waiting_answers:
            self.take(self.waiting_answers.pop(self.random.randrange(len(self.waiting_answers))))
        elif kind == 3 and self.queued:
            self.apply(self.random.choice(self.queued))
        elif kind == 4 and self.answered:
            self.take(self.random.choice(self.answered))


@pytest.mark.parametrize("seed", range(200))
def test_every_schedule_ends_with_one_primary_that_the_region_has(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(120):
        world.act()
    for _ in range(50):
        world.ask()
        while world.waiting_queued:
            world.apply(world.waiting_queued.pop(0))
        while world.waiting_answers:
            world.take(world.waiting_answers.pop(0))
    assert world.holding.primary is not None
    assert world.holding.primary == world.region_slug
    assert world.holding.temporary is None
    primary = world.holding.primary
    world.ask()
    assert world.holding.primary == primary
