"""When a row of an import's file and the row that stands for it are the same, and what explains that they are not.

Both are compared by the rules by which two exports are compared, but the ledger tells which rows belong together and
what became of each reference. What the file does not tell of a row is not compared. No value of a row that stands is
told unless the comparator of its field may show it; of other fields the names alone are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from shared.exports.comparators import EXISTENCE, Pointer
from shared.exports.comparison_findings import GeneralKind, named
from shared.exports.comparison_rules import rules_of
from shared.exports.normalizing import normalized
from shared.exports.objects import ExportRow
from shared.importing.changes import explained
from shared.importing.terms import Terms

ROW_GONE = "ROW_GONE"
_ROW = msgspec.json.Decoder(ExportRow)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Difference(NamedTuple):
    """A row that stands otherwise than in the file."""

    kind: str
    model: str
    ordinal: int
    old_pk: int
    new_pk: int
    reason: str


@dataclass
class Verification:
    """What was compared so far, or, once it is `done`, in all. `explanations`: (model, field, kind) -> rows."""

    compared: int = 0
    merged: int = 0
    left_out: int = 0
    differences: int = 0
    explanations: dict[tuple[str, str, str], int] = field(default_factory=dict)
    done: bool = False

    def explain(self, model: str, fields: Mapping[str, str]) -> None:
        """Count a row whose fields differ for the given reasons."""
        for name, kind in fields.items():
            key = (model, name, kind)
            self.explanations[key] = self.explanations.get(key, 0) + 1


class Compared(NamedTuple):
    """The outcome for one row: kinds and reasons of differences, and fields with what explains that they differ."""

    differences: list[tuple[str, str]]
    explained: dict[str, str]


class FileRow(NamedTuple):
    """A row as the file has it, in the form in which rows are compared."""

    fields: dict[str, Any]

    def references(self, model: str) -> Iterable[tuple[str, int]]:
        """The models and pks in the file that it refers to."""
        for name, target in rules_of(model).targets.items():
            if self.fields.get(name) is not None:
                yield target, self.fields[name]


def file_row(model: str, data: bytes) -> FileRow:
    """The row of an object of the file that was imported."""
    return FileRow(normalized(model, _ROW.decode(data)))


def compare(
    model: str,
    terms: Terms,
    file: FileRow,
    standing: bytes,
    *,
    new_pks: Mapping[tuple[str, int], int],
    findings: Iterable[tuple[str, str]],
) -> Compared:
    """Compare a row of the file with the fields of the one that stands (a JSON object).

    `new_pks`: (model, pk in the file) -> pk here. `findings`: kinds and fields of what was told about the row.
    """
    rules = rules_of(model)
    left, right = dict(file.fields), normalized(model, ExportRow(model, 1, _FIELDS.decode(standing)))
    explanations = explained(model, terms, left, findings)
    for name, target in rules.targets.items():
        if (pk := left.get(name)) is not None:
            left[name] = Pointer(pk, new_pks.get((target, pk)))
        if (pk := right.get(name)) is not None:
            right[name] = Pointer(pk, pk)
    right = {name: value for name, value in right.items() if name in left}
    differs = {
        name: kind for name, kind in explanations.items() if name in left and not _is_same(left[name], right.get(name))
    }
    for name in explanations:
        left.pop(name, None)
        right.pop(name, None)
    return Compared(list(_differences(model, left, right)), differs)


def _differences(model: str, left: dict[str, Any], right: dict[str, Any]) -> Iterable[tuple[str, str]]:
    comparators = rules_of(model).comparators
    for comparator in comparators:
        for reason in comparator.existence(left, right):
            yield comparator.kind + EXISTENCE, reason
        for reason in comparator.compare(left, right):
            yield comparator.kind, reason
    for comparator in comparators:
        comparator.scrub(left)
        comparator.scrub(right)
    names = sorted(name for name in {*left, *right} if not _is_same(left.get(name), right.get(name)))
    if names:
        yield GeneralKind.UNEQUAL_JSON.value, named(names)


def _is_same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON; 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_is_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_is_same, left, right))
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
