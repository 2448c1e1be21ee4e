"""Renames and swaps between control and its regions, without a database: what the silos hold, and every message that
was ever sent, to be delivered in any order and again at any time.

Made of the silos' own rules for one organization (control) and one set (a region); how a swap is settled is written
here a second time. `tests/integration/slugs/test_conformance.py` holds the silos' databases against it, step by step.
"""

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from control_silo.slugs.domain import Answered, Effect, Holding, Verdict, Won, step
from region_silo.slugs.domain import Organization, decide
from shared.delivery import CLASH, MISSING, ApplySlugs, SlugPair, SlugResult, SlugsApplied

VERDICTS = {"": Verdict.APPLIED, CLASH: Verdict.CLASH, MISSING: Verdict.MISSING}
PENDING, TAKEN, MISMATCH = "SLUG_CHANGE_PENDING", "SLUG_TAKEN", "SLUGS_MISMATCH"


class Rename(NamedTuple):
    """Ask for another slug."""

    request_id: str
    organization_id: int
    slug: str


class Swap(NamedTuple):
    """Ask for an exchange."""

    request_id: str
    pairs: tuple[tuple[int, str], ...]


class Apply(NamedTuple):
    """Deliver the region's message of that place among all."""

    place: int


class Settle(NamedTuple):
    """Deliver the answer of that place among all."""

    place: int


Step = Rename | Swap | Apply | Settle


@dataclass(frozen=True)
class Running:
    """A change: its moves (region, pair), which of them are answered how, and whether it goes back."""

    is_swap: bool
    moves: tuple[tuple[str, SlugPair], ...]
    former: tuple[str, ...]
    answers: tuple[str | None, ...]
    refusal: str = ""


@dataclass
class SlugWorld:
    """`homes`: organization -> region; each begins with the slug of its place in `slugs`, at fence version 1.
    `strangers`: (organization, region, slug) that control does not know.
    """

    homes: Mapping[int, str]
    slugs: Sequence[str]
    strangers: Sequence[tuple[int, str, str]] = ()
    principal: str = "tokens/17"
    holdings: dict[int, Holding] = field(default_factory=dict)
    rows: dict[str, dict[int, Organization]] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    messages: list[tuple[str, ApplySlugs]] = field(default_factory=list)
    answers: list[tuple[str, SlugsApplied]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for (organization_id, region), slug in zip(self.homes.items(), self.slugs, strict=True):
            self.holdings[organization_id] = Holding(slug, None, 1)
            self.rows.setdefault(region, {})[organization_id] = Organization(organization_id, slug, 1)
        for organization_id, region, slug in self.strangers:
            self.rows[region][organization_id] = Organization(organization_id, slug, 0)

    def draw(self, chance: random.Random, names: Sequence[str]) -> Step:
        """Anything that may happen next: wishes, deliveries out of order, and repeats of all that was ever sent."""
        kinds = ["rename", "swap"] + ["apply"] * 2 * bool(self.messages) + ["settle"] * 2 * bool(self.answers)
        kind = chance.choice(kinds)
        if kind == "rename":
            return Rename(_new_id(chance), chance.choice(list(self.homes)), chance.choice(names))
        if kind == "swap":
            chosen = chance.sample(list(self.homes), chance.choice((2, 2, 3)))
            slugs = [self.holdings[each].primary or "" for each in chosen]
            if chance.random() < 0.1:
                slugs[0] = chance.choice(names)
            return Swap(_new_id(chance), tuple(zip(chosen, slugs[1:] + slugs[:1], strict=True)))
        if kind == "apply":
            return Apply(_late(chance, len(self.messages)))
        return Settle(_late(chance, len(self.answers)))

    def act(self, step: Step) -> str:
        """Carry it out; the reason of a refusal, or nothing."""
        if isinstance(step, Rename):
            return self._rename(step)
        if isinstance(step, Swap):
            return self._swap(step)
        if isinstance(step, Apply):
            self._apply(*self.messages[step.place])
        else:
            self._settle(*self.answers[step.place])
        return ""

    def change_set(self, request_id: str) -> str:
        return f"requests/{self.principal}/{request_id}"

    def _rename(self, asked: Rename) -> str:
        before = self.holdings[asked.organization_id]
        if before.is_pending:
            return PENDING
        if before.primary == asked.slug:
            self.ended[self.change_set(asked.request_id)] = ""
            return ""
        if any(asked.slug in {held.primary, held.temporary} for held in self.holdings.values()):
            return TAKEN
        after, effects = step(before, Won(asked.slug))
        assert effects == (Effect.QUEUE,)
        self.holdings[asked.organization_id] = after
        pair = SlugPair(asked.organization_id, asked.slug, after.fence_version)
        change = Running(False, ((self.homes[asked.organization_id], pair),), (before.primary or "",), (None,))
        self._send(self.change_set(asked.request_id), change)
        return ""

    def _swap(self, asked: Swap) -> str:
        held = [self.holdings[organization_id] for organization_id, _ in asked.pairs]
        if any(holding.is_pending for holding in held):
            return PENDING
        if {holding.primary for holding in held} != {slug for _, slug in asked.pairs}:
            return MISMATCH
        moves = tuple(
            (self.homes[organization_id], SlugPair(organization_id, slug, holding.fence_version + 1))
            for (organization_id, slug), holding in zip(asked.pairs, held, strict=True)
            if holding.primary != slug
        )
        former = tuple(self.holdings[pair.organization_id].primary or "" for _, pair in moves)
        self._exchange(self.change_set(asked.request_id), Running(True, moves, former, (None,) * len(moves)))
        return ""

    def _exchange(self, change_set: str, change: Running) -> None:
        for _, pair in change.moves:
            self.holdings[pair.organization_id] = Holding(pair.slug, None, pair.fence_version, is_moving=True)
        self._send(change_set, change)

    def _send(self, change_set: str, change: Running) -> None:
        self.running[change_set] = change
        for region in sorted({region for region, _ in change.moves}):
            pairs = [pair for home, pair in change.moves if home == region]
            self.messages.append((region, ApplySlugs(change_set, tuple(sorted(pairs, key=lambda pair: pair.slug)))))

    def _apply(self, region: str, message: ApplySlugs) -> None:
        rows = self.rows[region]
        known = {pair.organization_id: rows[pair.organization_id] for pair in message.pairs}
        decision = decide(message.pairs, known, {row.slug: row.id for row in rows.values() if row.slug})
        for pair in decision.applied:
            rows[pair.organization_id] = Organization(pair.organization_id, pair.slug, pair.fence_version)
        for pair in decision.clashed:
            rows[pair.organization_id] = replace(rows[pair.organization_id], fence_version=pair.fence_version)
        self.answers.append((region, SlugsApplied(message.change_set, decision.results)))

    def _settle(self, region: str, answer: SlugsApplied) -> None:
        change = self.running.get(answer.change_set)
        if change is None:
            return
        if change.is_swap:
            self._settle_swap(answer, change)
        else:
            self._settle_rename(answer.change_set, answer.results[0])

    def _settle_rename(self, change_set: str, result: SlugResult) -> None:
        event = Answered(VERDICTS[result.refusal], result.slug, result.fence_version)
        self.holdings[result.organization_id], effects = step(self.holdings[result.organization_id], event)
        if effects:
            self._end(change_set, "" if Effect.PROMOTE in effects else result.refusal)

    def _settle_swap(self, answer: SlugsApplied, change: Running) -> None:
        told = {(each.organization_id, each.slug, each.fence_version): each.refusal for each in answer.results}
        answers = tuple(
            told.get((pair.organization_id, pair.slug, pair.fence_version)) if had is None else had
            for (_, pair), had in zip(change.moves, change.answers, strict=True)
        )
        change = replace(change, answers=answers)
        self.running[answer.change_set] = change
        if None in answers:
            return
        refusal = next(filter(None, answers), "")
        if refusal and not change.refusal:
            back = tuple(
                (region, SlugPair(pair.organization_id, former, pair.fence_version + 1))
                for (region, pair), former in zip(change.moves, change.former, strict=True)
            )
            gone = tuple(pair.slug for _, pair in change.moves)
            self._exchange(answer.change_set, Running(True, back, gone, (None,) * len(back), refusal))
            return
        for _, pair in change.moves:
            self.holdings[pair.organization_id] = Holding(pair.slug, None, pair.fence_version)
        self._end(answer.change_set, change.refusal)

    def _end(self, change_set: str, refusal: str) -> None:
        del self.running[change_set]
        self.ended[change_set] = refusal


def _late(chance: random.Random, count: int) -> int:
    """One of the newest mostly, any that ever was now and then."""
    return chance.randrange(count) if chance.random() < 0.3 else max(0, count - 1 - chance.randrange(3))


def _new_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
