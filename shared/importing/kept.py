"""How rows of models that no silo acts on are kept: whole, in one table a silo, with references and unique sets.

A kept row holds every field of the file in the modern encoding and the new pks of what it refers to, so it can be
exported again as it came. Its unique sets are digests, one column a set, unique with the model; a set counts only when
none of its values is null. Fields that we do not know are kept too.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from shared.importing.columns import Column, Default, Kind, columns_of
from shared.importing.decisions import Decision, WriteKind
from shared.importing.findings import FindingKind
from shared.importing.kept_rules import (
    ALWAYS_SET,
    CLEARED,
    CONFIGURATION,
    EXCLUDED_OPTIONS,
    FRESH,
    MADE_UP,
    MERGED,
    OF_NEW_USERS,
    OPTIONS,
    RENEWED,
    TOLD_AS,
    bad_value,
    has_check,
    out_of_scope,
)
from shared.importing.registry import ORGANIZATION, Model, Silo, models
from shared.importing.targets import PLANNED, Conflict, Packed, Target, UniqueSet
from shared.importing.terms import Terms

TABLE = "kept_row"
KEYS_MAX = 4

_KEYS = tuple(f"key_{number}" for number in range(1, KEYS_MAX + 1))
_VALUES = ("model", "import_id", "organization_id", "refs", "fields", *_KEYS)
_DOES_NOT_COUNT = (None, False, Default.ABSENT)
_CLAIMED = frozenset({"sentry.snubaquery", "sentry.timeseriessnapshot"})
"""Models without a way to their organization: they belong to that of the first row that refers to them."""


@cache
def kept_target(name: str, terms: Terms) -> Target:
    """The target of a kept model for imports on these terms."""
    model = models()[name]
    assert model.table is None, f"{name} has a table of its own"
    assert len(model.unique) <= KEYS_MAX, f"{name} has too many unique sets"
    keys = {f"key_{number}": _key(model, number, fields) for number, fields in enumerate(model.unique, 1)}
    owners = _owners(model)
    packer = _Packer(model)
    return Target(
        model=name,
        table=TABLE,
        values={
            "model": f"'{name}'::text",
            "import_id": "%(import_id)s::int8",
            "organization_id": _organization(model, owners),
            "refs": _refs(model),
            "fields": "s.fields::jsonb",
            **keys,
        },
        unique=tuple(_unique_set(model, number, fields, terms) for number, fields in enumerate(model.unique, 1)),
        owners=owners,
        packed=Packed(packer.staged, packer.pack, _staged_of_all(), _VALUES),
        renewal=_renewal(model),
        carried="s.renewed" if name in RENEWED else "NULL::text",
        refused=_refused(model, terms),
        check=packer.wrong if has_check(name) else None,
        followed_by=tuple(_claims(model)),
    )


def time_text(value: datetime) -> str:
    """A time as exports write it: UTC with three fractional digits; more only where there are more."""
    digits = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
    return f"{value.replace(tzinfo=None).isoformat(timespec=digits)}Z"


@cache
def _staged_of_all() -> tuple[tuple[str, str], ...]:
    """The staged columns of all models that are kept."""
    kept = [model for model in models().values() if model.table is None]
    return tuple(dict.fromkeys(column for model in kept for column in _Packer(model).staged))


def _owners(model: Model) -> dict[str, str]:
    """The references that tell the row's organization, with the table that knows it; an organization's own is none."""
    found = {}
    for reference in model.references:
        target = models().get(reference.model)
        if target is None or target.silo is not model.silo or reference.model == ORGANIZATION:
            continue
        if target.table is None or model.silo is Silo.REGION:
            found[reference.field] = target.table or TABLE
    return found


def _organization(model: Model, owners: Mapping[str, str]) -> str:
    known = [f"r_{each.field}.new_pk" for each in model.references if each.model == ORGANIZATION]
    known += [f"o_{field}.organization_id" for field in owners]
    return f"COALESCE({', '.join(known)})::int8" if known else "NULL::int8"


def _refs(model: Model) -> str:
    pairs = ", ".join(f"'{each.field}', r_{each.field}.new_pk" for each in model.references)
    return f"jsonb_build_object({pairs})"


def _key(model: Model, number: int, fields: Collection[str]) -> str:
    references = {each.field for each in model.references}
    parts = [f"r_{field}.new_pk::text" for field in fields if field in references]
    if len(parts) < len(fields):
        parts.append(f"s.part_{number}")
    needed = [f"{part.removesuffix('::text')} IS NOT NULL" for part in parts]
    if tuple(fields) in model.unless:
        needed += [f"r_{field}.new_pk IS NULL" for field in model.unless[tuple(fields)]]
    given = " AND ".join(needed)
    digest = f"sha256(convert_to(concat_ws('/', {', '.join(parts)}), 'UTF8'))"
    return f"CASE WHEN {given} THEN {digest} END"


def _unique_set(model: Model, number: int, fields: tuple[str, ...], terms: Terms) -> UniqueSet:
    conflict = Conflict.SKIP
    if model.name in CONFIGURATION:
        conflict = Conflict.OVERWRITE if terms.overwrite_configs else Conflict.MERGE
    elif model.name in MERGED:
        conflict = Conflict.MERGE
    elif model.name in RENEWED and not {each.field for each in model.references} & set(fields):
        conflict = Conflict.RENEW
    return UniqueSet(
        ("model", f"key_{number}"),
        conflict,
        field=fields[-1],
        told_as=TOLD_AS.get(model.name, WriteKind.KEY_REPLACED),
        made_up=conflict is Conflict.RENEW and model.name in MADE_UP,
    )


def _renewal(model: Model) -> dict[str, str]:
    if model.name not in RENEWED:
        return {}
    own = [f"key_{number}" for number, fields in _parts(model) if tuple(fields) == model.unique[number - 1]]
    keys = {key: f"decode(carried::jsonb->>'{key}', 'hex')" for key in own}
    return {"fields": "fields || (carried::jsonb->'fields')", **keys}


def _refused(model: Model, terms: Terms) -> dict[FindingKind | WriteKind, tuple[str, str]]:
    refused: dict[FindingKind | WriteKind, tuple[str, str]] = {}
    out = out_of_scope(model.name, terms)
    if out is not None:
        refused[FindingKind.OUT_OF_SCOPE] = ("", out)
    if model.name in OF_NEW_USERS:
        refused[WriteKind.EXISTING_USER] = ("user", f"r_user.decision = {Decision.MERGE:d}")
    if model.name in OPTIONS:
        excluded = ", ".join(f"'{_encode([key])}'" for key in sorted(EXCLUDED_OPTIONS))
        refused[WriteKind.EXCLUDED_OPTION] = ("key", f"s.part_1 IN ({excluded})")
    return refused


def _parts(model: Model) -> Iterator[tuple[int, list[str]]]:
    """The fields of each unique set that are no references."""
    references = {each.field for each in model.references}
    for number, fields in enumerate(model.unique, 1):
        own = [field for field in fields if field not in references]
        if own:
            yield number, own


class _Packer:
    """Makes staged values of decoded ones (with the unknown fields behind them, if any)."""

    def __init__(self, model: Model) -> None:
        self._model = model.name
        self._columns = columns_of(model.name)
        self._references = len(model.references)
        places = {column.name: place for place, column in enumerate(self._columns)}
        self._parts = [(number, [places[field] for field in own]) for number, own in _parts(model)]
        self._renew = RENEWED.get(model.name)
        self._fresh = [(places[field], make) for field, make in FRESH.get(model.name, {}).items()]
        self._cleared = CLEARED.get(model.name, frozenset())
        references = [(each.field, "int8") for each in model.references]
        parts = [(f"part_{number}", "text") for number, _ in self._parts]
        renewed = [("renewed", "text")] if self._renew else []
        self.staged: tuple[tuple[str, str], ...] = (*references, ("fields", "text"), *parts, *renewed)

    def pack(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """References, the fields as JSON, the own part of each unique set, and new values for what may be taken."""
        values = self._freshened(values)
        kept = self._fields(values)
        if len(values) > len(self._columns):
            kept.update(values[-1])
        keys = [self._part(values, places) for _, places in self._parts]
        renewed = [self._renewed(values)] if self._renew else []
        return (*values[: self._references], _encode(kept), *keys, *renewed)

    def wrong(self, values: tuple[Any, ...]) -> tuple[str, str] | None:
        """The field that the model does not allow, and why."""
        return bad_value(self._model, self._plain(values))

    def _freshened(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self._fresh:
            return values
        changed = list(values)
        for place, make in self._fresh:
            if self._model in ALWAYS_SET or values[place] not in (None, Default.ABSENT):
                changed[place] = make(values[place])
        return tuple(changed)

    def _fields(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return {
            column.name: None if column.name in self._cleared else _kept_value(column, value)
            for column, value in zip(self._columns[self._references :], values[self._references :], strict=False)
            if value is not Default.ABSENT
        }

    def _plain(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """The fields with JSON decoded."""
        kept = self._fields(values)
        return {
            name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
            for name, value in kept.items()
        }

    def _part(self, values: Sequence[Any], places: Sequence[int]) -> str | None:
        if any(values[place] is each for place in places for each in _DOES_NOT_COUNT):
            return None
        return _encode([_kept_value(self._columns[place], values[place]) for place in places])

    def _renewed(self, values: tuple[Any, ...]) -> str:
        assert self._renew is not None
        fresh = self._renew(self._plain(values))
        changed = [fresh.get(column.name, value) for column, value in zip(self._columns, values, strict=False)]
        fields = {
            column.name: _kept_value(column, value)
            for column, value in zip(self._columns, changed, strict=False)
            if column.name in fresh
        }
        keys = {}
        for number, places in self._parts:
            part = self._part(changed, places)
            keys[f"key_{number}"] = None if part is None else hashlib.sha256(part.encode()).hexdigest()
        return _encode({"fields": fields, **keys})


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _kept_value(column: Column, value: Any) -> Any:
    """As JSON has it."""
    if value is None:
        return None
    if column.kind is Kind.DATETIME:
        return time_text(value)
    if column.kind is Kind.BIT_FIELD:
        return str(value)
    return msgspec.Raw(value.encode()) if column.kind is Kind.JSON else value


def _claims(model: Model) -> Iterator[str]:
    for reference in model.references:
        if reference.model in _CLAIMED:
            yield (
                f"UPDATE {TABLE}{PLANNED} t SET organization_id = w.organization_id"
                f" FROM resolved_{TABLE} w WHERE t.id = (w.refs->>'{reference.field}')::int8"
                " AND t.organization_id IS NULL AND w.decision IS NOT NULL AND w.organization_id IS NOT NULL"
            )
