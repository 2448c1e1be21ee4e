"""Writes an export file with rows of every model that an export can hold, as the registry describes them.

People, teams, projects and keys are those of the generated export; of every other model there are two rows, which refer
to rows of the same number. Every text names the organization, so that two files with other slugs share no unique value.
"""

import io
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from shared.importing.columns import Column, Kind, columns_of
from shared.importing.registry import models
from siloway_client.export_file import write_export

_EACH = 2


def write_every_model(
    file: Path, slug: str, *, objects: int, seed: int, others: Collection[str] | None = None, indent: int = 2
) -> dict[str, int]:
    """Write `objects` rows of the models with people and projects, and two of each other one, or of `others` and what
    these must refer to; returns rows by model. `indent` makes the same rows longer.
    """
    people = io.BytesIO()
    counts = dict(write_export(people, objects=objects, seed=seed, organization_slug=slug).rows)
    rows = json.loads(people.getvalue())
    wanted = models().keys() if others is None else _with_referred(others)
    for model in models():
        if model in wanted and model not in counts and _can_stand(model):
            counts[model] = _EACH
            rows += [_row(model, number, slug, counts) for number in range(1, _EACH + 1)]
    file.write_text(json.dumps(rows, indent=indent))
    return counts


def _with_referred(names: Collection[str]) -> set[str]:
    found = set(names)
    for model in reversed(list(models().values())):
        if model.name in found:
            found.update(each.model for each in model.references if not each.nullable)
    return found


def _can_stand(model: str) -> bool:
    """Whether all that a row must refer to can be in a file."""
    return all(each.nullable or each.model in models() for each in models()[model].references)


def _row(model: str, number: int, slug: str, counts: Mapping[str, int]) -> dict[str, Any]:
    fields = {
        column.name: _value(model, column, number, slug)
        if column.kind is not Kind.REFERENCE
        else _referred(column, number, counts)
        for column in columns_of(model)
    }
    return {"model": model, "pk": number, "fields": fields}


def _referred(column: Column, number: int, counts: Mapping[str, int]) -> int | None:
    """A row that stands before, for models come in the order of their references; itself is not."""
    there = counts.get(column.references)
    return None if there is None else min(number, there)


def _value(model: str, column: Column, number: int, slug: str) -> Any:
    name = f"{slug} {model} {column.name} {number}"
    values: dict[Kind, Any] = {
        Kind.TEXT: f"{slug}-{column.name}-{number}"[: column.length_max or None],
        Kind.UUID: str(uuid5(NAMESPACE_DNS, name)),
        Kind.DATETIME: f"2024-02-03T04:05:0{number}.789Z",
        Kind.BOOLEAN: number == 1,
        Kind.BIT_FIELD: str(number),
        Kind.FLOAT: number + 0.5,
        Kind.IP: f"10.0.0.{number}",
        Kind.JSON: {"of": name},
        Kind.TEXT_ARRAY: [name, "other"],
    }
    return values.get(column.kind, number)
