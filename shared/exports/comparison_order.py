"""Gives the rows of some models ordinals by what they hold, a name or an address, in place of the order of their pks.

Keys are sorted in runs on disk. They compare as the tuples of texts that they are made of; what is very long is cut and
told apart by its hash.
"""

import contextlib
import hashlib
import heapq
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shared.exports.comparison_findings import ComparisonFinding, GeneralKind
from shared.exports.comparison_index import SideIndex
from shared.exports.comparison_rules import ModelRules, rules_of
from shared.exports.objects import ExportRow
from shared.importing.registry import USER

_RUN_MAX = 50_000
_READ_BYTES = 8 << 10
_PART_BYTES_MAX = 512
_ENTRY = struct.Struct("<HI")  # length of the key, slot
_USER_FIELDS = frozenset({"user", "user_id"})
_NAMES_MAX = 10_000


def order_by_content(side: SideIndex, *, left: bool) -> Iterator[ComparisonFinding]:
    """Set the ordinals of all models that have an order of their own; findings for rows that share one."""
    names = _Usernames(side)
    for model in list(side.models):
        rules = rules_of(model)
        if rules.ordinal:
            yield from _order(side, model, rules, names, left=left)


def _order(
    side: SideIndex, model: str, rules: ModelRules, names: "_Usernames", *, left: bool
) -> Iterator[ComparisonFinding]:
    found = side.models[model]
    keys = ((_key(rules, side.read(slot), names), slot) for slot in range(found.first, found.first + found.slots))
    ordinal, last = 0, (b"", 0)
    for key, slot in _sorted(side.folder, keys):
        twice = ordinal > 0 and key == last[0]
        if twice and rules.last_wins:
            side.ordinals.put(last[1], 0)
        else:
            ordinal += 1
        side.order.put(found.first + ordinal - 1, slot)
        side.ordinals.put(slot, ordinal)
        if twice and not rules.last_wins:
            yield _duplicate(model, ordinal, side.pk(slot), rules, left=left)
        last = key, slot
    found.rows = ordinal


def _duplicate(model: str, ordinal: int, pk: int, rules: ModelRules, *, left: bool) -> ComparisonFinding:
    return ComparisonFinding(
        GeneralKind.DUPLICATE_CUSTOM_ORDINAL.value,
        model,
        ordinal,
        pk if left else None,
        None if left else pk,
        f"another row of the {'left' if left else 'right'} side has the same values of {', '.join(rules.ordinal)}",
    )


def _key(rules: ModelRules, row: ExportRow, names: "_Usernames") -> bytes:
    """What the row is sorted by; rows with a field of `ordinal_unless` come last, in the order of their pks."""
    if any(bytes(row.fields.get(field, b"null")) != b"null" for field in rules.ordinal_unless):
        return b"1" + row.pk.to_bytes(8, "big")
    parts = []
    for field in rules.ordinal:
        raw = row.fields.get(field)
        value = None if raw is None else msgspec.json.decode(raw)
        parts.append(names.of(value) if field in _USER_FIELDS else value)
    return b"0" + b"\x00".join(map(_part, parts))


def _part(value: Any) -> bytes:
    """Bytes that compare as texts do; none of them is zero, which ends a part."""
    text = value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
    data = text.encode()
    if len(data) > _PART_BYTES_MAX:
        data = data[:_PART_BYTES_MAX] + hashlib.sha256(data).digest()
    return data.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")


class _Usernames:
    """The names of users by pk, read from the file; some of them are remembered."""

    def __init__(self, side: SideIndex) -> None:
        self._side = side
        self._known: dict[Any, Any] = {}

    def of(self, pk: Any) -> Any:
        """The user's name; the pk itself when the file has no such user."""
        slot = self._side.slot(USER, pk)
        if slot is None:
            return pk
        if slot not in self._known:
            if len(self._known) >= _NAMES_MAX:
                self._known.clear()
            raw = self._side.read(slot).fields.get("username")
            self._known[slot] = None if raw is None else msgspec.json.decode(raw)
        return self._known[slot]


def _sorted(folder: Path, keys: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int]]:
    paths: list[Path] = []
    while run := sorted(itertools.islice(keys, _RUN_MAX)):
        paths.append(folder / f"keys.{len(paths)}")
        with paths[-1].open("wb") as file:
            for key, slot in run:
                file.write(_ENTRY.pack(len(key), slot) + key)
    with contextlib.ExitStack() as stack:
        yield from heapq.merge(*(_read_run(path, stack) for path in paths))
    for path in paths:
        path.unlink()


def _read_run(path: Path, stack: contextlib.ExitStack) -> Iterator[tuple[bytes, int]]:
    file = stack.enter_context(path.open("rb", buffering=_READ_BYTES))
    while head := file.read(_ENTRY.size):
        length, slot = _ENTRY.unpack(head)
        yield file.read(length), slot
