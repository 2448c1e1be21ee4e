"""Compares two exports row by row, whatever ids each has: the same ordinal, the same content, by each model's rules.

Neither file is held: both are indexed into a temporary folder, digests say what is equal, and only the rest is read
again. Findings come one by one, so that any number of them costs no memory.
"""

import contextlib
import difflib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from shared.exports.comparators import EXISTENCE
from shared.exports.comparison_digests import SideDigests, resolved
from shared.exports.comparison_findings import ComparisonFinding, GeneralKind, named
from shared.exports.comparison_index import SideIndex, ordinals_of
from shared.exports.comparison_order import order_by_content
from shared.exports.comparison_rules import in_order, rules_of
from shared.importing.registry import ORGANIZATION

CONTEXT_LINES = 15
_DIFF_LINES_MAX = 2_000
_LINE_MAX = 2_000
_TAIL = "... and more"

Unequal = Callable[[dict[str, Any], dict[str, Any]], str]
"""Tells how two JSON objects differ, "" when they are equal."""


@dataclass(frozen=True)
class ModelOutcome:
    """One model: its rows on both sides, and digests of all of them; None before rows were matched, and for a side
    with a row that a rule must look at.
    """

    model: str
    left_rows: int
    right_rows: int
    left_digest: bytes | None
    right_digest: bytes | None


@dataclass(frozen=True)
class OrganizationOutcome:
    """One organization of both files with all that belongs to it, and the digests of that, as for a model."""

    left_pk: int
    right_pk: int
    left_digest: bytes | None
    right_digest: bytes | None

    @property
    def alike(self) -> bool:
        """Whether it is the same on both sides; not when a rule wants something in it to differ, either."""
        return self.left_digest is not None and self.left_digest == self.right_digest


class Comparison:
    """Two plain exports, opened to be compared; a context that gives files and temporary folder back."""

    def __init__(
        self,
        left: Path,
        right: Path,
        *,
        folder: Path | None = None,
        shows_values: bool = True,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Reads both files; `folder` gets what grows with them. `tick` is called for each row that is read. Unless it
        `shows_values`, the fields that no comparator takes are named where they differ, without what they hold.

        Raises InvalidExport, UnknownModel, OSError.
        """
        self._unequal = unequal_json if shows_values else unequal_fields
        self._digests: tuple[SideDigests, SideDigests] | None = None
        self._stack = contextlib.ExitStack()
        try:
            temporary = tempfile.TemporaryDirectory(prefix="siloway-", dir=folder)
            inside = Path(self._stack.enter_context(temporary))
            self._left = self._stack.enter_context(SideIndex(left, inside / "left", tick))
            self._right = self._stack.enter_context(SideIndex(right, inside / "right", tick))
        except BaseException:
            self._stack.close()
            raise

    def findings(self) -> Iterator[ComparisonFinding]:
        """What differs; nothing when the files are equal. Rows are compared only when all of them can be matched."""
        told = False
        for finding in self.mismatches():
            told = True
            yield finding
        if not told:
            yield from self.differences()

    def mismatches(self) -> Iterator[ComparisonFinding]:
        """What keeps the rows from being matched. When nothing does, they are, and what follows has something to
        tell.
        """
        told = False
        for finding in _of_shape(self._left, self._right):
            told = True
            yield finding
        if not told:
            self._digests = SideDigests(self._left), SideDigests(self._right)

    def differences(self) -> Iterator[ComparisonFinding]:
        """What differs between rows that were matched."""
        if self._digests is not None:
            yield from _of_rows(self._left, self._right, self._digests, self._unequal)

    def models(self) -> Iterator[ModelOutcome]:
        """Every model of either file, referred-to models first."""
        for model in in_order({*self._left.models, *self._right.models}):
            digests = [None, None] if self._digests is None else [each.models.get(model) for each in self._digests]
            yield ModelOutcome(model, self._left.rows(model), self._right.rows(model), *digests)

    def organizations(self) -> Iterator[OrganizationOutcome]:
        """Each organization; nothing before its rows were matched."""
        if self._digests is None:
            return
        for ordinal in ordinals_of(self._left, ORGANIZATION):
            left, right = (side.pk(side.slot_of(ORGANIZATION, ordinal)) for side in (self._left, self._right))
            yield OrganizationOutcome(left, right, *(side.organization(ordinal) for side in self._digests))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def compare_files(left: Path, right: Path) -> Iterator[ComparisonFinding]:
    """What differs between two plain exports. Raises as `Comparison` does; holds files open until it has ended."""
    with Comparison(left, right) as comparison:
        yield from comparison.findings()


def _of_shape(left: SideIndex, right: SideIndex) -> Iterator[ComparisonFinding]:
    """What keeps the rows from being matched."""
    for side, is_left in ((left, True), (right, False)):
        unordered = list(_unordered(side, left=is_left))
        yield from unordered or order_by_content(side, left=is_left)
    for model in in_order({*left.models, *right.models}):
        counts = left.rows(model), right.rows(model)
        if counts[0] != counts[1]:
            reason = f"the left side has {counts[0]} rows of this model, the right side {counts[1]}"
            yield ComparisonFinding(GeneralKind.UNEQUAL_COUNTS.value, model, None, None, None, reason)


def _unordered(side: SideIndex, *, left: bool) -> Iterator[ComparisonFinding]:
    for model in in_order(side.models):
        unordered = side.models[model].unordered
        if unordered is not None:
            place, pk = unordered
            name = "left" if left else "right"
            yield ComparisonFinding(
                GeneralKind.UNORDERED_INPUT.value,
                model,
                place + 1,
                pk if left else None,
                None if left else pk,
                f"the pk of this row of the {name} side is not greater than that of the row before it",
            )


def _of_rows(
    left: SideIndex, right: SideIndex, digests: tuple[SideDigests, SideDigests], unequal: Unequal
) -> Iterator[ComparisonFinding]:
    for model in in_order(left.models):
        whole = digests[0].models[model]
        if whole is not None and whole == digests[1].models[model]:
            continue
        for ordinal in ordinals_of(left, model):
            digest = digests[0].row(model, ordinal)
            if digest is None or digest != digests[1].row(model, ordinal):
                yield from _of_row(left, right, model, ordinal, unequal)


def _of_row(
    left: SideIndex, right: SideIndex, model: str, ordinal: int, unequal: Unequal
) -> Iterator[ComparisonFinding]:
    slots = left.slot_of(model, ordinal), right.slot_of(model, ordinal)
    pks = left.pk(slots[0]), right.pk(slots[1])
    rows = resolved(left, model, left.read(slots[0])), resolved(right, model, right.read(slots[1]))

    def finding(kind: str, reason: str) -> ComparisonFinding:
        return ComparisonFinding(kind, model, ordinal, *pks, reason)

    comparators = rules_of(model).comparators
    for comparator in comparators:
        for reason in comparator.existence(*rows):
            yield finding(comparator.kind + EXISTENCE, reason)
        for reason in comparator.compare(*rows):
            yield finding(comparator.kind, reason)
    for comparator in comparators:
        for row in rows:
            comparator.scrub(row)
    difference = unequal(*rows)
    if difference:
        yield finding(GeneralKind.UNEQUAL_JSON.value, difference)


def unequal_fields(left: dict[str, Any], right: dict[str, Any]) -> str:
    """The fields in which two JSON objects differ, in words, "" when they are equal."""
    every = sorted({*left, *right})
    return named([name for name in every if _lines({name: left.get(name)}) != _lines({name: right.get(name)})])


def unequal_json(left: dict[str, Any], right: dict[str, Any]) -> str:
    """A unified diff of two JSON objects with 15 lines of context, "" when they are equal; very long ones are cut."""
    one, other = _lines(left), _lines(right)
    if one == other:
        return ""
    # The cost of a diff grows with the square of what differs; what is alike at both ends is not a part of it.
    start = _alike(one, other)
    end = _alike(one[start:][::-1], other[start:][::-1])
    first, last = max(0, start - CONTEXT_LINES), max(0, end - CONTEXT_LINES)
    one, other = one[first : len(one) - last], other[first : len(other) - last]
    diff = difflib.unified_diff(
        one[:_DIFF_LINES_MAX], other[:_DIFF_LINES_MAX], "left", "right", n=CONTEXT_LINES, lineterm=""
    )
    told = [line if len(line) <= _LINE_MAX else f"{line[: _LINE_MAX - 1]}…" for line in diff]
    if max(len(one), len(other)) > _DIFF_LINES_MAX:
        told.append(_TAIL)
    return "\n".join(told)


def _lines(fields: dict[str, Any]) -> list[str]:
    return json.dumps(fields, indent=2, sort_keys=True).split("\n")


def _alike(left: list[str], right: list[str]) -> int:
    """How many lines at the beginning are the same."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
