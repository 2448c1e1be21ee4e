"""What must become of each row of a genuine export, by the specification's table of models and the file alone.

Nothing here shares code or data with the importer. The files hold no two rows that the source could not have had.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, int]

_TABLE = Path(__file__).resolve().parents[4] / "shared" / "spec" / "model_registry.tsv"

MERGED_AGAIN = {
    "sentry.option",
    "sentry.controloption",
    "sentry.relay",
    "sentry.relayusage",
    "sentry.userrole",
    "sentry.integration",
}
"""What stands once in an installation: the row that is there stands for that of a second import."""

_DROPPED = {
    "sentry.actor",
    "sentry.spanattributeextractionrulecondition",
    "sentry.spanattributeextractionruleconfig",
    "workflow_engine.workflowaction",
}
_SELF_KNOWLEDGE = {
    "sentry:install-id",
    "sentry:latest_version",
    "sentry:last_worker_ping",
    "sentry:last_worker_version",
}
_SCOPES = {"Organization": {"User", "Organization"}, "Global": {"User", "Organization", "Config", "Global"}}


@dataclass
class Before:
    """What the silos held before the import, and the import's scope."""

    usernames: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    public_keys: set[str] = field(default_factory=set)
    secret_keys: set[str] = field(default_factory=set)
    project_ids: set[int] = field(default_factory=set)
    is_again: bool = False
    """The same file was imported before, in global scope."""
    scope: str = "Organization"


@dataclass
class Expected:
    """The decision for every row by (model, pk), and the rows that must not be written."""

    decisions: dict[Key, str] = field(default_factory=dict)
    skipped: dict[Key, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """One line of the table; `references`: field -> model."""

    silo: str
    scopes: set[str]
    references: dict[str, str]


def read_models() -> dict[str, Model]:
    """The table of models; of one with two lines the later references count."""
    found: dict[str, Model] = {}
    head, *lines = [line.split("\t") for line in _TABLE.read_text().splitlines()]
    places = {name.partition("(")[0]: place for place, name in enumerate(head)}
    for line in lines:
        name, scopes = line[places["model"]], set(line[places["relocation_scopes"]].split("|"))
        if scopes == {"Excluded"}:
            continue
        references = {}
        for each in filter(None, line[places["foreign_keys"]].split(";")):
            field_name, _, target = each.partition("[")[0].partition(">")
            references[field_name] = target.rstrip("?")
        if name in found:
            scopes = found[name].scopes
            references = {**found[name].references, **references}
        found[name] = Model(line[places["silo"]], scopes, references)
    return found


def expect(rows: Iterable[Row], before: Before, models: dict[str, Model]) -> Expected:
    """Decide for every row, in whatever order they stand."""
    by_key = {(row["model"].lower(), row["pk"]): row["fields"] for row in rows}
    expected = Expected()
    usernames, addresses = set(before.usernames), set(before.addresses)
    for (model, pk), fields in by_key.items():
        if model == "sentry.user":
            username = fields["username"].lower()
            expected.decisions[model, pk] = "SUFFIX" if username in usernames else "INSERT"
            usernames.add(username)
    for (model, pk), fields in by_key.items():
        if model == "sentry.email":
            address = fields["email"].lower()
            expected.decisions[model, pk] = "MERGE" if address in addresses else "INSERT"
            addresses.add(address)
    for key in by_key:
        _decide(key, by_key, before, models, expected)
    return expected


def _decide(
    key: Key, by_key: dict[Key, Row], before: Before, models: dict[str, Model], expected: Expected
) -> str | None:
    """The decision; None for a row that is not written, or not in the file."""
    if key in expected.decisions:
        return expected.decisions[key]
    if key in expected.skipped or key not in by_key:
        return None
    model, fields = key[0], by_key[key]
    problem = _problem(model, fields, before, models)
    if problem is None:
        for name, target in models[model].references.items():
            pk = fields.get(name)
            is_spared = (model, name) == ("sentry.organizationmember", "inviter_id")
            if pk is not None and not is_spared and _decide((target, pk), by_key, before, models, expected) is None:
                problem = "MISSING_REFERENCE"
    if problem is not None:
        expected.skipped[key] = problem
        return None
    expected.decisions[key] = "MERGE" if before.is_again and model in MERGED_AGAIN else "INSERT"
    return expected.decisions[key]


def _problem(model: str, fields: Row, before: Before, models: dict[str, Model]) -> str | None:
    if model in _DROPPED:
        return "MODEL_REMOVED"
    if not models[model].scopes & _SCOPES[before.scope]:
        return "OUT_OF_SCOPE"
    if before.scope != "Global" and (
        (model == "sentry.notificationaction" and (fields.get("integration_id") or fields.get("sentry_app_id")))
        or (model == "sentry.savedsearch" and fields["is_global"])
    ):
        return "OUT_OF_SCOPE"
    if model in {"sentry.option", "sentry.controloption"} and fields["key"] in _SELF_KNOWLEDGE:
        return "EXCLUDED_OPTION"
    if before.is_again and model == "sentry.savedsearch" and fields["is_global"]:
        return "NOT_UNIQUE"
    return None
