"""Which comparators a model's rows meet, and what matches them: `comparators.toml` and the registry, read once."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from shared.exports import comparators
from shared.exports.comparators import Comparator, ForeignKeyComparator, IgnoredComparator
from shared.importing.registry import ORGANIZATION, REMOVED_FIELDS, models

_SUFFIX = "Comparator"


@dataclass(frozen=True)
class ModelRules:
    """How a model's rows are matched and compared.

    `ordinal`: fields that match rows, none for the order of pks. `owners`: references that lead to an organization,
    directly or over other rows, the shortest way first.
    """

    comparators: tuple[Comparator, ...]
    ordinal: tuple[str, ...]
    ordinal_unless: tuple[str, ...]
    last_wins: bool
    targets: Mapping[str, str]


@cache
def rules_of(model: str) -> ModelRules:
    """The rules of a known model. KeyError for others."""
    entry = _entries().get(model, {})
    targets = {reference.field: reference.model for reference in models()[model].references}
    fields = {name: set(listed) for name, listed in entry.items() if name.endswith(_SUFFIX)}
    if targets:
        fields[ForeignKeyComparator.__name__] = set(targets)
    if model in REMOVED_FIELDS:
        fields.setdefault(IgnoredComparator.__name__, set()).update(REMOVED_FIELDS[model])
    found = [_class(name)(tuple(sorted(listed))) for name, listed in fields.items()]
    return ModelRules(
        comparators=tuple(found),
        ordinal=tuple(entry.get("ordinal", ())),
        ordinal_unless=tuple(entry.get("ordinal_unless", ())),
        last_wins=bool(entry.get("last_wins", False)),
        targets=targets,
    )


@cache
def owners_of(model: str) -> tuple[str, ...]:
    """The references by which a row's organization is found: to the organization itself first."""
    targets = rules_of(model).targets
    owned = [field for field, target in targets.items() if target == ORGANIZATION or _is_owned(target)]
    return tuple(sorted(owned, key=lambda field: targets[field] != ORGANIZATION))


@cache
def _is_owned(model: str) -> bool:
    known = models().get(model)
    if known is None:
        return False
    earlier = (reference.model for reference in known.references if reference.model in models())
    return any(each == ORGANIZATION or (_precedes(each, model) and _is_owned(each)) for each in earlier)


def _precedes(model: str, other: str) -> bool:
    return models()[model].order < models()[other].order


@cache
def _entries() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(files(__package__).joinpath("comparators.toml").read_text("utf-8"))


def _class(name: str) -> Callable[[tuple[str, ...]], Comparator]:
    made: Callable[[tuple[str, ...]], Comparator] = getattr(comparators, name)
    return made


def in_order(names: Iterable[str]) -> list[str]:
    """Known models among `names`, referred-to models first."""
    wanted = set(names)
    return [name for name in models() if name in wanted]
