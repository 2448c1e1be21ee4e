"""How rows of a model are read: the importer's targets turned round, as one SELECT that makes the row's JSON.

The fields are those that the importer knows (columns_of), in its order, so an exported row holds what an imported one
held; a row that is kept whole has all of its own. PostgreSQL forms the JSON: times in UTC with exactly three digits,
bit fields and UUIDs as texts, JSON columns as JSON (spec imports.md 1, the modern encoding). Everything is a constant
of the code, so composing SQL of it is safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.exporting.closure import NULLED, checked, is_exported
from shared.importing.columns import Column, Default, Kind, columns_of
from shared.importing.registry import ImportScope, Reference, Silo, models
from shared.importing.targets import Target

_NEVER = ("sentry:install-id", "sentry:latest_version", "sentry:last_worker_ping", "sentry:last_worker_version")
_OPTIONS = frozenset({"sentry.option", "sentry.controloption"})
_KEPT = "kept"
"""The column of a real table that holds, as JSON, the fields without a column of their own."""


@dataclass(frozen=True)
class Reading:
    """Where a model's rows stand, as SQL over the row `t`.

    `references`: field -> the pk. `fields`: field -> its value, of a type that row_to_json shows as exports do; None
    when the row's fields are kept whole.
    """

    model: str
    table: str
    references: Mapping[str, str]
    fields: Mapping[str, str] | None
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What a silo lets go besides the closure: `conditions` are SQL over `t`; `replaced` gives fields other values."""

    scope: ImportScope
    conditions: Sequence[str] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)


def reading_of(target: Target, renamed: Mapping[str, str] | None = None) -> Reading:
    """The importer's target turned round. A field stands in the column of its name, a reference in that with `_id`
    behind, others as `renamed` tells; what has no column stands in `kept`.
    """
    if target.packed is not None:
        return _reading_of_kept(target.model)
    names = renamed or {}
    shown, references = {}, {}
    for column in columns_of(target.model):
        name = names.get(column.name) or _column_name(target, column)
        shown[column.name] = _shown(column, f"t.{name}") if name else _shown_of_kept(column)
        if column.kind is Kind.REFERENCE:
            assert name, f"{target.model} has no column for {column.name}"
            references[column.name] = f"t.{name}"
    return Reading(target.model, target.table, references, shown)


def select_rows(reading: Reading, selection: Selection, silo: Silo) -> str:
    """The statement that reads the rows that go, by pk: id, the references in the registry's order, the fields' JSON.

    References whose rows only the other silo has are not checked here.
    """
    model = reading.model
    conditions = [*reading.where, *selection.conditions]
    for each in checked(model, selection.scope):
        if _is_checked_in(each, silo):
            value = reading.references[each.field]
            conditions.append(f"({value} IS NULL OR {is_exported(each, value)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [reading.references[each.field] for each in models()[model].references]
    json = json_of(reading, {**_nulled(reading, selection.scope), **selection.replaced})
    return f"SELECT {', '.join(['t.id', *values, json])} FROM {reading.table} t{where} ORDER BY t.id"


def json_of(reading: Reading, replaced: Mapping[str, str]) -> str:
    """The row's fields as JSON text, as SQL over `t`; `replaced` gives fields other values, unless all are kept."""
    if reading.fields is None:
        return "(t.fields || t.refs)::text"
    shown = {**reading.fields, **replaced}
    fields = ", ".join(f'{value} AS "{name}"' for name, value in shown.items())
    return f"(SELECT row_to_json(f) FROM (SELECT {fields}) f)::text"


def _reading_of_kept(model: str) -> Reading:
    """Options that belong to an installation, or change by themselves, never go (spec imports.md 10)."""
    where = [f"t.model = '{model}'"]
    if model in _OPTIONS:
        keys = ", ".join(f"'{key}'" for key in _NEVER)
        where.append(f"COALESCE(t.fields ->> 'key', '') NOT IN ({keys})")
    references = {each.field: f"(t.refs ->> '{each.field}')::int8" for each in models()[model].references}
    return Reading(model, "kept_row", references, None, tuple(where))


def _is_checked_in(reference: Reference, silo: Silo) -> bool:
    """Whether a silo can tell if the row that is referred to goes: a region has seen all, control its own models only.

    A model that nobody knows has no row that goes, so either may tell.
    """
    target = models().get(reference.model)
    return silo is Silo.REGION or target is None or target.silo is Silo.CONTROL


def _nulled(reading: Reading, scope: ImportScope) -> dict[str, str]:
    """The references that are null where their row does not go."""
    found = {}
    for each in models()[reading.model].references:
        if (reading.model, each.field) in NULLED and scope is not ImportScope.GLOBAL:
            value = reading.references[each.field]
            found[each.field] = f"CASE WHEN {is_exported(each, value)} THEN {value} END"
    return found


def _column_name(target: Target, column: Column) -> str:
    """The column that holds the field; empty when it has none."""
    for name in (column.name, f"{column.name}_id"):
        if name in target.values:
            return name
    assert _KEPT in target.values, f"{target.model} has no column for {column.name}"
    return ""


def _shown(column: Column, value: str) -> str:
    if column.kind is Kind.DATETIME:
        return f"""to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    return f"{value}::text" if column.kind in (Kind.BIT_FIELD, Kind.UUID) else value


def _shown_of_kept(column: Column) -> str:
    """A row that no file gave has the field's default, or null where that is made anew for each row."""
    default: Any = None if isinstance(column.default, Default) else column.default
    if not (column.kind is Kind.JSON and isinstance(default, str)):
        default = msgspec.json.encode(default).decode()
    text = default.replace("'", "''")
    return f"COALESCE(t.{_KEPT} -> '{column.name}', '{text}'::jsonb)"
