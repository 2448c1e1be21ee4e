"""What a comparison finds, as data: the kinds, the findings file and the form for people.

Texts are those of this module and the comparators; secrets and addresses stand in them shortened only.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TextIO

_CLASS = "ComparatorFinding"
_NAMES_MAX = 20


class GeneralKind(Enum):
    """Kinds of findings that no comparator makes; those of a comparator bear its name."""

    UNORDERED_INPUT = "UnorderedInput"
    UNEQUAL_COUNTS = "UnequalCounts"
    UNEQUAL_JSON = "UnequalJSON"
    DUPLICATE_CUSTOM_ORDINAL = "DuplicateCustomOrdinal"


@dataclass(frozen=True, slots=True)
class ComparisonFinding:
    """One difference. `ordinal` is the row's place among those of its model, from 1; None for the model as a whole."""

    kind: str
    model: str
    ordinal: int | None
    left_pk: int | None
    right_pk: int | None
    reason: str

    def as_json(self) -> dict[str, object]:
        """As an entry of a findings file."""
        return {
            "finding": _CLASS,
            "kind": self.kind,
            "left_pk": self.left_pk,
            "on": {"model": self.model, "ordinal": self.ordinal},
            "reason": self.reason,
            "right_pk": self.right_pk,
        }

    def pretty(self) -> str:
        """For people, over several lines; what is absent is left out."""
        place = f"model: {self.model!r}" + (f", ordinal: {self.ordinal}" if self.ordinal else "")
        lines = [f"kind: {self.kind}", f"on: InstanceID({place})"]
        lines += [f"left_pk: {self.left_pk}"] if self.left_pk else []
        lines += [f"right_pk: {self.right_pk}"] if self.right_pk else []
        lines += [f"reason: {self.reason}"] if self.reason else []
        body = ",\n    ".join(lines)
        return f"{_CLASS}(\n    {body}\n)"


def named(fields: Sequence[str]) -> str:
    """A reason that names fields without what they hold; "" for none."""
    more = ", …" if len(fields) > _NAMES_MAX else ""
    told = ", ".join(f"`{name}`" for name in fields[:_NAMES_MAX])
    return f"these fields differ: {told}{more}" if fields else ""


def write_findings(findings: Iterable[ComparisonFinding], file: TextIO) -> Iterator[ComparisonFinding]:
    """Hand the findings on while they are written: a JSON array with sorted keys, indented by 2, in ASCII.

    The file is complete when the iterator has ended.
    """
    opening = "["
    for finding in findings:
        text = json.dumps(finding.as_json(), sort_keys=True, indent=2)
        file.write(opening + "\n  " + text.replace("\n", "\n  "))
        opening = ","
        yield finding
    file.write("[]\n" if opening == "[" else "\n]\n")
