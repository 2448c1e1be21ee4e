"""How rows of models that no silo acts on are kept: whole, in one table a silo, with references and unique sets.

A kept row holds every field of the file in the modern encoding and the new pks of what it refers to, so it can be
exported again as it came. Its unique sets are digests, one column a set, unique with the model; a set counts only when
none of its values is null. Fields that we do not know are kept too.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from shared.importing.columns import Column, Default, Kind, columns_of
from shared.importing.registry import ORGANIZATION, Model, Silo, models
from shared.importing.targets import Conflict, Packed, Target, UniqueSet

TABLE = "kept_row"
KEYS_MAX = 4

_DOES_NOT_COUNT = (None, False, Default.ABSENT)
_CLAIMED = frozenset({"sentry.snubaquery", "sentry.timeseriessnapshot"})
"""Models without a way to their organization: they belong to that of the first row that refers to them."""


@cache
def kept_target(name: str, merged: frozenset[int] = frozenset()) -> Target:
    """The target of a kept model; a conflict in one of the `merged` unique sets uses the row that is there."""
    model = models()[name]
    assert model.table is None, f"{name} has a table of its own"
    assert len(model.unique) <= KEYS_MAX, f"{name} has too many unique sets"
    keys = {f"key_{number}": _key(model, number, fields) for number, fields in enumerate(model.unique, 1)}
    owners = _owners(model)
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
        unique=tuple(
            UniqueSet(("model", key), Conflict.MERGE if number in merged else Conflict.SKIP)
            for number, key in enumerate(keys)
        ),
        owners=owners,
        packed=Packed(_staged(model), _packer(model)),
        followed_by=tuple(_claims(model)),
    )


def time_text(value: datetime) -> str:
    """A time as exports write it: UTC with three fractional digits; more only where there are more."""
    digits = "milliseconds" if value.microsecond % 1000 == 0 else "microseconds"
    return f"{value.replace(tzinfo=None).isoformat(timespec=digits)}Z"


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
        needed.append(f"r_{model.unless[tuple(fields)]}.new_pk IS NULL")
    given = " AND ".join(needed)
    digest = f"sha256(convert_to(concat_ws('/', {', '.join(parts)}), 'UTF8'))"
    return f"CASE WHEN {given} THEN {digest} END"


def _staged(model: Model) -> tuple[tuple[str, str], ...]:
    references = [(each.field, "int8") for each in model.references]
    parts = [(f"part_{number}", "text") for number, _ in _parts(model)]
    return (*references, ("fields", "text"), *parts)


def _parts(model: Model) -> Iterator[tuple[int, list[str]]]:
    """The fields of each unique set that are no references."""
    references = {each.field for each in model.references}
    for number, fields in enumerate(model.unique, 1):
        own = [field for field in fields if field not in references]
        if own:
            yield number, own


def _packer(model: Model) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """From decoded values (with the unknown fields behind them, if any) to staged ones."""
    columns = columns_of(model.name)
    count = len(model.references)
    fields = columns[count:]
    parts = [[columns.index(_named(columns, field)) for field in own] for _, own in _parts(model)]
    encode = msgspec.json.encode

    def pack(values: tuple[Any, ...]) -> tuple[Any, ...]:
        kept = {
            column.name: _kept_value(column, value)
            for column, value in zip(fields, values[count:], strict=False)
            if value is not Default.ABSENT
        }
        if len(values) > len(columns):
            kept.update(values[-1])
        keys = [
            None
            if any(values[place] is each for place in places for each in _DOES_NOT_COUNT)
            else encode([_kept_value(columns[place], values[place]) for place in places]).decode()
            for places in parts
        ]
        return (*values[:count], encode(kept).decode(), *keys)

    return pack


def _named(columns: tuple[Column, ...], name: str) -> Column:
    return next(column for column in columns if column.name == name)


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
                f"UPDATE {TABLE} t SET organization_id = w.organization_id"
                f" FROM resolved_{model.name.replace('.', '_')} w WHERE t.id = (w.refs->>'{reference.field}')::int8"
                " AND t.organization_id IS NULL AND w.decision IS NOT NULL AND w.organization_id IS NOT NULL"
            )
