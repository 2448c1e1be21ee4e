"""How rows of a model are read: the importer's tables turned round, as one SELECT that makes the row's JSON.

The fields are those that the importer knows (columns_of), in its order, so an exported row holds what an imported one
held. PostgreSQL forms the JSON: times in UTC with exactly three digits, bit fields and UUIDs as texts, JSON columns as
JSON (spec imports.md 1, the modern encoding). Everything is a constant of the code, so composing SQL of it is safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.exporting.closure import NULLED, checked, is_exported
from shared.importing.columns import Column, Kind, columns_of
from shared.importing.registry import ImportScope, Reference, Silo, models
from shared.importing.targets import Target


@dataclass(frozen=True)
class Reading:
    """Where a model's rows stand. `columns`: field -> SQL over the row `t`, of the column's own type."""

    model: str
    table: str
    columns: Mapping[str, str]
    where: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """What a silo lets go besides the closure: `conditions` are SQL over `t`; `replaced` gives fields other values."""

    scope: ImportScope
    conditions: Sequence[str] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)


def reading_of(target: Target, **renamed: str) -> Reading:
    """The importer's table of a model turned round. A field stands in the column of its name, a reference in that with
    `_id` behind; `renamed` tells the others.
    """
    columns = {}
    for column in columns_of(target.model):
        name = renamed.get(column.name, column.name)
        if name not in target.values and f"{name}_id" in target.values:
            name = f"{name}_id"
        assert name in target.values or column.name in renamed, f"{target.model} has no column for {column.name}"
        columns[column.name] = f"t.{name}"
    return Reading(target.model, target.table, columns)


def select_rows(reading: Reading, selection: Selection, silo: Silo) -> str:
    """The statement that reads the rows that go, by pk: id, the references in the registry's order, the fields' JSON.

    Only references to models of `silo`, or remembered there, are checked here.
    """
    model = reading.model
    references = models()[model].references
    conditions = [*reading.where, *selection.conditions]
    for each in checked(model, selection.scope):
        if is_checked_in(each, silo):
            value = reading.columns[each.field]
            conditions.append(f"({value} IS NULL OR {is_exported(each, value)})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [reading.columns[each.field] for each in references]
    fields = ", ".join(f'{_shown(column, reading, selection)} AS "{column.name}"' for column in columns_of(model))
    json = f"(SELECT row_to_json(f) FROM (SELECT {fields}) f)::text"
    return f"SELECT {', '.join(['t.id', *values, json])} FROM {reading.table} t{where} ORDER BY t.id"


def is_checked_in(reference: Reference, silo: Silo) -> bool:
    """Whether a silo can tell if the row that is referred to goes: a region has seen all, control its own models only.

    A model that nobody knows has no row that goes, so either may tell.
    """
    target = models().get(reference.model)
    return silo is Silo.REGION or target is None or target.silo is Silo.CONTROL


def _shown(column: Column, reading: Reading, selection: Selection) -> str:
    """The SQL of a field's value, of a type that row_to_json shows as exports do."""
    name = column.name
    if name in selection.replaced:
        return selection.replaced[name]
    value = reading.columns[name]
    if column.kind is Kind.DATETIME:
        return f"""to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    if column.kind in (Kind.BIT_FIELD, Kind.UUID):
        return f"{value}::text"
    if (reading.model, name) in NULLED and selection.scope is not ImportScope.GLOBAL:
        reference = next(each for each in models()[reading.model].references if each.field == name)
        return f"CASE WHEN {is_exported(reference, value)} THEN {value} END"
    return value
