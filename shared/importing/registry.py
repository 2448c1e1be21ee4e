"""The models that an export can hold, as data: owner, scopes, references, unique sets, and the order to write them in.

One place (`models.toml`) says it; the importer, the resolver and the exporter only read it. The order is topological
over references and `after`, ties in alphabetical order, so it is the same in every process.
"""

import heapq
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from shared.importing.findings import FindingKind


class Silo(Enum):
    """Which silo owns a model's rows."""

    CONTROL = "control"
    REGION = "region"


class RelocationScope(Enum):
    """What a model belongs to."""

    USER = "User"
    ORGANIZATION = "Organization"
    CONFIG = "Config"
    GLOBAL = "Global"


class ImportScope(Enum):
    """What an import takes: the models of these relocation scopes."""

    USER = frozenset({RelocationScope.USER})
    ORGANIZATION = frozenset({RelocationScope.USER, RelocationScope.ORGANIZATION})
    CONFIG = frozenset({RelocationScope.USER, RelocationScope.CONFIG})
    GLOBAL = frozenset(RelocationScope)

    @property
    def permission(self) -> str:
        """The token scope that an import needs: all but organizations may change the whole installation."""
        return "import:write" if self is ImportScope.ORGANIZATION else "silo:operate"


@dataclass(frozen=True)
class Reference:
    """A foreign key: the field holds the old pk of a row of `model`."""

    field: str
    model: str
    nullable: bool


@dataclass(frozen=True)
class Model:
    """One model; `order` is its place in the dependency order, from 0.

    `unique`: sets of fields; one counts only when none of its values is null or false, and, with an entry in `unless`,
    when those fields are null. `table` is None for a model whose rows are kept whole. `fields`: name -> type as
    `models.toml` says it, without the references; shared.importing.columns reads it.
    """

    name: str
    silo: Silo
    table: str | None
    scopes: frozenset[RelocationScope]
    references: tuple[Reference, ...]
    fields: Mapping[str, str]
    unique: tuple[tuple[str, ...], ...]
    unless: Mapping[tuple[str, ...], tuple[str, ...]]
    after: tuple[str, ...]
    order: int

    def in_scope(self, scope: ImportScope) -> bool:
        """True when an import of that scope takes rows of this model (with several scopes, the row decides)."""
        return bool(self.scopes & scope.value)


ORGANIZATION = "sentry.organization"
USER = "sentry.user"
MEMBER = "sentry.organizationmember"

REMOVED_MODELS = frozenset(
    {
        "sentry.actor",
        "sentry.spanattributeextractionrulecondition",
        "sentry.spanattributeextractionruleconfig",
        "workflow_engine.workflowaction",
    }
)
"""Models of earlier versions of the source; it drops their rows too."""

REMOVED_FIELDS: Mapping[str, frozenset[str]] = {
    "sentry.team": frozenset({"actor", "org_role"}),
    "sentry.rule": frozenset({"owner"}),
    "sentry.alertrule": frozenset({"owner"}),
    "sentry.grouphistory": frozenset({"actor"}),
    "sentry.user": frozenset({"email_unique"}),
}
"""Fields of earlier (or, for a time, later) versions that carry nothing to keep."""


@cache
def models() -> Mapping[str, Model]:
    """Every known model by name, in dependency order."""
    entries: dict[str, dict[str, Any]] = tomllib.loads(files(__package__).joinpath("models.toml").read_text("utf-8"))
    names = _dependency_order(
        {name: {*(target.rstrip("?") for target in _targets(entry)), *_after(entry)} for name, entry in entries.items()}
    )
    return {name: _model(name, order, entries[name]) for order, name in enumerate(names)}


@cache
def referred_models() -> frozenset[str]:
    """The models that rows of some model, in whichever silo, refer to.

    What such rows became must be known wherever references to them are resolved. Of the others a silo that does not own
    them needs to know nothing.
    """
    return frozenset(reference.model for model in models().values() for reference in model.references) & models().keys()


def why_skipped(model: str, scope: ImportScope) -> FindingKind | None:
    """Why no row of this model is imported; None when its rows are. Not for "" (objects without a model)."""
    known = models().get(model)
    if known is None:
        return FindingKind.MODEL_REMOVED if model in REMOVED_MODELS else FindingKind.UNKNOWN_MODEL
    if not known.in_scope(scope):
        return FindingKind.OUT_OF_SCOPE
    return None


def in_write_order(names: Iterable[str]) -> list[str]:
    """The known ones among `names`, each once, referred-to models first."""
    wanted = set(names)
    return [name for name in models() if name in wanted]


def _dependency_order(needs: Mapping[str, set[str]]) -> list[str]:
    """Each name after those it needs; names outside and self-references do not count. ValueError when in a circle."""
    waits = {name: (needed & needs.keys()) - {name} for name, needed in needs.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in waits.items():
        for target in needed:
            needed_by[target].append(name)
    ready = [name for name, needed in waits.items() if not needed]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for follower in needed_by[name]:
            waits[follower].discard(name)
            if not waits[follower]:
                heapq.heappush(ready, follower)
    if len(order) != len(needs):
        raise ValueError(f"models refer to each other in a circle: {sorted(needs.keys() - set(order))}")
    return order


def _model(name: str, order: int, entry: dict[str, Any]) -> Model:
    unique = [_unique_set(each) for each in entry.get("unique", ())]
    return Model(
        name=name,
        silo=Silo(entry["silo"]),
        table=entry.get("table"),
        scopes=frozenset(RelocationScope(scope) for scope in entry["scopes"]),
        references=tuple(
            Reference(field, target.rstrip("?"), nullable=target.endswith("?"))
            for field, target in entry.get("references", {}).items()
        ),
        fields=entry.get("fields", {}),
        unique=tuple(fields for fields, _ in unique),
        unless={fields: unless for fields, unless in unique if unless},
        after=_after(entry),
        order=order,
    )


def _unique_set(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fields, _, unless = text.partition(" unless ")
    return tuple(fields.split("+")), tuple(filter(None, unless.split("+")))


def _targets(entry: dict[str, Any]) -> list[str]:
    return list(entry.get("references", {}).values())


def _after(entry: dict[str, Any]) -> tuple[str, ...]:
    return tuple(entry.get("after", ()))
