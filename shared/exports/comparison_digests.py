"""Digests of one side's rows, of its models and of its organizations: what is equal on both sides is not read again.

Two rows have one digest only when no rule could find a difference between them; a row that a rule must look at even
when both sides are alike has none.
"""

import hashlib
from typing import Any

import msgspec

from shared.exports.comparators import IgnoredComparator, Pointer
from shared.exports.comparison_index import SideIndex, ordinals_of
from shared.exports.comparison_rules import ModelRules, in_order, owners_of, rules_of
from shared.exports.normalizing import normalized
from shared.exports.objects import ExportRow
from shared.importing.registry import ORGANIZATION

_DIGEST_BYTES = 16
_NONE = bytes(_DIGEST_BYTES)


def resolved(side: SideIndex, model: str, row: ExportRow) -> dict[str, Any]:
    """The row's fields in the form in which rows are compared: foreign keys are `Pointer`s."""
    fields = normalized(model, row)
    for field, target in rules_of(model).targets.items():
        pk = fields.get(field)
        if pk is not None:
            fields[field] = Pointer(pk, side.ordinal(target, pk))
    return fields


class SideDigests:
    """The digests of a side. Reads each row once."""

    def __init__(self, side: SideIndex) -> None:
        self._side = side
        self._rows = side.mapped("digests", _DIGEST_BYTES)
        self._owners = side.numbers("owners")  # by slot: the ordinal of the row's organization, 0 for none
        self._organizations = side.mapped("organizations", _DIGEST_BYTES)
        self._open = side.numbers("open")  # by an organization's ordinal: 1 when a row of it must be looked at
        self.models = {model: self._add_model(model) for model in in_order(side.models)}

    def row(self, model: str, ordinal: int) -> bytes | None:
        """The row's digest; None for a row that must be looked at."""
        digest = self._rows[self._side.place_of(model, ordinal)]
        return None if digest == _NONE else digest

    def organization(self, ordinal: int) -> bytes | None:
        """The digest of an organization and of all rows that belong to it; None when one must be looked at."""
        return None if self._open.get(ordinal - 1) else self._organizations[ordinal - 1]

    def _add_model(self, model: str) -> bytes | None:
        """The digest of all rows of a model; None when one of them must be looked at."""
        side, rules, owners = self._side, rules_of(model), owners_of(model)
        whole, known = hashlib.blake2b(digest_size=_DIGEST_BYTES), True
        for ordinal in ordinals_of(side, model):
            slot = side.slot_of(model, ordinal)
            fields = resolved(side, model, side.read(slot))
            digest = _digest(model, ordinal, fields, rules)
            owner = ordinal if model == ORGANIZATION else self._owner(rules, owners, fields)
            self._owners.put(slot, owner)
            if owner:
                self._add_to_organization(owner, digest)
            self._rows[side.place_of(model, ordinal)] = digest
            known = known and digest != _NONE
            whole.update(digest)
        return whole.digest() if known else None

    def _owner(self, rules: ModelRules, owners: tuple[str, ...], fields: dict[str, Any]) -> int:
        for field in owners:
            pointer = fields.get(field)
            if not isinstance(pointer, Pointer) or pointer.ordinal is None:
                continue
            if rules.targets[field] == ORGANIZATION:
                return pointer.ordinal
            slot = self._side.slot(rules.targets[field], pointer.pk)
            owner = self._owners.get(slot) if slot is not None else 0
            if owner:
                return owner
        return 0

    def _add_to_organization(self, owner: int, digest: bytes) -> None:
        """Digests tell model and ordinal of their rows, so a sum is the same whatever comes first."""
        if digest == _NONE:
            self._open.put(owner - 1, 1)
        total = int.from_bytes(self._organizations[owner - 1], "big") + int.from_bytes(digest, "big")
        self._organizations[owner - 1] = (total % (1 << 8 * _DIGEST_BYTES)).to_bytes(_DIGEST_BYTES, "big")


def _digest(model: str, ordinal: int, fields: dict[str, Any], rules: ModelRules) -> bytes:
    if not all(comparator.settled(fields) for comparator in rules.comparators):
        return _NONE
    told = {name: value.ordinal if isinstance(value, Pointer) else value for name, value in fields.items()}
    for comparator in rules.comparators:
        if isinstance(comparator, IgnoredComparator):
            for field in comparator.fields:
                told.pop(field, None)
    data = msgspec.json.encode([model, ordinal, told], order="deterministic")
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
