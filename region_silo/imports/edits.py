"""How whoever applies a plan has edited it: rows that are left out, and rows that another policy is chosen for.

A row is named for one thing: what is left out has no policy, and no row has two. Its model knows its policy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import InvalidArgument
from shared.importing.policies import POLICIES, Policy
from shared.importing.registry import USER


@dataclass(frozen=True)
class Skips:
    """Rows of a model, by pk in the file, that are left out, and what refers to them."""

    model: str
    pks: Sequence[int]


@dataclass(frozen=True)
class RowPolicy:
    """The number of a Policy for rows of a model, by pk in the file, whose unique values are taken."""

    model: str
    policy: int
    pks: Sequence[int]


@dataclass(frozen=True)
class PlanEdits:
    """All edits, as they came."""

    skips: Sequence[Skips] = ()
    policies: Sequence[RowPolicy] = ()

    def __bool__(self) -> bool:
        return bool(self.skips or self.policies)

    @property
    def merges_users(self) -> bool:
        """Whether they need the scope that merging users needs."""
        return any((each.model, each.policy) == (USER, Policy.MERGE) for each in self.policies)

    @property
    def taken_out(self) -> dict[str, set[int]]:
        """The rows that are left out, by model."""
        found: dict[str, set[int]] = {}
        for each in self.skips:
            found.setdefault(each.model, set()).update(each.pks)
        return found

    def told(self) -> tuple[Any, ...]:
        """What makes two sets of edits the same, whatever parts they came in."""
        skips = [(model, sorted(pks)) for model, pks in sorted(self.taken_out.items())]
        chosen = sorted({(model, pk, policy) for _, _, model, pk, policy in self.chosen()})
        return (skips, chosen) if chosen else (skips,)

    def chosen(self) -> Iterator[tuple[int, int, str, int, int]]:
        """The rows with a policy: places of part and row, model, pk, policy."""
        for part, each in enumerate(self.policies):
            for place, pk in enumerate(each.pks):
                yield part, place, each.model, pk, each.policy

    def check(self) -> None:
        """Raise InvalidArgument for a policy that the model does not know, and for a row with two wishes."""
        for part, each in enumerate(self.policies):
            known = ", ".join(sorted(policy.name for policy in POLICIES.get(each.model, ())))
            if each.policy not in POLICIES.get(each.model, ()):
                reason = f"must be one of {known} for {each.model}" if known else f"{each.model} has no policies"
                raise InvalidArgument.of(f"policies[{part}].policy", reason)
        taken_out, wishes = self.taken_out, dict[tuple[str, int], int]()
        for part, place, model, pk, policy in self.chosen():
            field = f"policies[{part}].pks[{place}]"
            if pk in taken_out.get(model, ()):
                raise InvalidArgument.of(field, f"{model} {pk} is to be left out too")
            if wishes.setdefault((model, pk), policy) != policy:
                raise InvalidArgument.of(field, f"{model} {pk} has two policies")


NO_EDITS = PlanEdits()
"""The plan as it is."""
