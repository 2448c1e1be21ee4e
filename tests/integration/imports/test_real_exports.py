"""Every genuine export file is imported as it says: each row and each field is compared with the file."""

import json
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from siloway_client.export_file import write_export
from tests.genuine_exports import genuine_exports
from tests.integration.imports import expectations
from tests.integration.imports.deciding import Before, Expected, Row, expect, read_models
from tests.integration.imports.expectations import CONTROL_TABLES, MODELS, NEW, REGION_TABLES
from tests.integration.imports.kept_expectations import check_kept
from tests.integration.imports.stack import OPERATOR, ImportStack

_FILES = genuine_exports()
_DECISIONS = {1: "INSERT", 2: "MERGE", 3: "OVERWRITE", 4: "SUFFIX"}


_MODELS = read_models()
_BETWEEN = {"full-23.12.0", "full-24.3.0", "full-24.5.0"}
"""Full exports whose models all stand in older or newer ones; each costs many seconds."""


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_each_row_of_a_genuine_export_is_written_as_the_file_says(
    stack: ImportStack, tmp_path: Path, path: Path
) -> None:
    other = tmp_path / "other.json"
    write_export(other, objects=400, seed=3, organization_slug="other")
    stack.run(stack.upload(other.read_bytes()).id)
    rows = json.loads(path.read_text())
    _number_apart(stack)
    # The second time it stands next to itself: every name and key is taken then.
    for is_again in (False, True):
        before = _before(stack, "Organization", is_again=is_again)
        import_id = stack.upload(path.read_bytes()).id
        assert stack.run(import_id).state is State.SUCCEEDED
        _check(stack, rows, before, import_id)


@pytest.mark.parametrize("path", [path for path in _FILES if path.stem not in _BETWEEN], ids=lambda path: path.stem)
def test_each_row_of_a_genuine_export_is_written_in_global_scope_too_alone_and_next_to_itself(
    stack: ImportStack, path: Path
) -> None:
    rows = json.loads(path.read_text())
    _number_apart(stack)
    for is_again in (False, True):
        before = _before(stack, "Global", is_again=is_again)
        options = ImportOptions(add_to_silo=is_again)
        upload = stack.upload(path.read_bytes(), scope=Scope.GLOBAL, caller=OPERATOR, options=options)
        assert stack.run(upload.id).state is State.SUCCEEDED
        _check(stack, rows, before, upload.id)


def _number_apart(stack: ImportStack) -> None:
    """Rows are numbered from 1 in each silo: so that none gets its own number again."""
    for silo, tables in (("control", CONTROL_TABLES), ("region", REGION_TABLES)):
        for table in ("kept_row", *(set(tables.values()) - {"user_account", "organization", "team", "project"})):
            stack.change_in(silo, f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH 10000000")


def _check(stack: ImportStack, rows: list[Row], before: Before, import_id: int) -> None:
    expected = expect(rows, before, _MODELS)
    ledger = stack.ledger(import_id)
    decided = {(row["model"], row["old_pk"]): _DECISIONS[row["decision"]] for row in ledger}
    assert decided == expected.decisions
    new = {(row["model"], row["old_pk"]): row["new_pk"] for row in ledger}
    keeps = {key for key in new if before.scope == "Global" and key[0] == "sentry.project"}
    kept_ids = {pk for _, pk in keeps if pk not in before.project_ids}
    assert {key[1] for key, new_pk in new.items() if key[1] == new_pk} == kept_ids, "but for these no pk stays"
    held = {model: _table(stack, model) for model in MODELS}
    kept = {silo: _rows(stack, silo, "kept_row") for silo in ("control", "region")}
    for row in rows:
        model = row["model"].lower()
        if (model, row["pk"]) not in new:
            continue
        is_merged = expected.decisions[model, row["pk"]] == "MERGE"
        if model not in MODELS:
            if not is_merged:
                found = kept[_MODELS[model].silo][new[model, row["pk"]]]
                check_kept(model, row["fields"], found, new=new, models=_MODELS, before=before)
            continue
        found = held[model][new[model, row["pk"]]]
        wanted = {} if is_merged else expectations.written(model, row["fields"], new, before, import_id)
        _compare(stack, row["fields"], found, wanted, f"{model} {row['pk']}")
        _check_names(model, row["fields"], found, expected.decisions[model, row["pk"]], before)
    _check_counts(stack, rows, expected, import_id)


def _compare(stack: ImportStack, fields: Row, found: Row, wanted: Row, what: str) -> None:
    for column, value in wanted.items():
        if value == NEW:
            assert found[column], (what, column)
            assert found[column] != fields[column], (what, column)
        elif value == "<now>":
            assert stack.clock.now() - found[column] < timedelta(seconds=10), (what, column)
        else:
            assert found[column] == value, (what, column)


def _check_names(model: str, fields: Row, found: Row, decision: str, before: Before) -> None:
    if model == "sentry.user":
        if decision == "INSERT":
            assert found["username"] == fields["username"]
        else:
            assert re.fullmatch(re.escape(fields["username"]) + "-[a-z0-9]{2,12}", found["username"])
        if before.scope != "Global" or fields.get("is_unclaimed"):
            assert re.fullmatch(r"sha256\$[A-Za-z0-9]{12}\$[0-9a-f]{64}", found["password"])
    if model == "sentry.email":
        assert found["email"].lower() == fields["email"].lower()
    if model == "sentry.organization":
        assert found["slug"] is not None
        assert found["slug"].startswith(fields["slug"][:20])


def _check_counts(stack: ImportStack, rows: list[Row], expected: Expected, import_id: int) -> None:
    report = stack.report(import_id)
    assert report.data_import.done_count == len(rows)
    by_model = Counter(row["model"].lower() for row in rows)
    decided = Counter((model, decision) for (model, _), decision in expected.decisions.items())
    for total, counts in report.counts:
        assert total.rows == by_model[total.model] == counts.total
        assert counts.inserted == decided[total.model, "INSERT"]
        assert counts.merged == decided[total.model, "MERGE"]
        assert counts.suffixed == decided[total.model, "SUFFIX"]
    findings = stack.findings(import_id)
    assert report.data_import.finding_count == len(findings)
    assert {(each.model, int(each.pk)): each.kind for each in findings if each.skipped} == expected.skipped


def _before(stack: ImportStack, scope: str, *, is_again: bool) -> Before:
    def column(silo: str, table: str, name: str) -> set[Any]:
        return {row[name] for row in stack.all_in(silo, f"SELECT {name} FROM {table}")}

    return Before(
        {name.lower() for name in column("control", "user_account", "username")},
        {address.lower() for address in column("control", "email_address", "email")},
        column("region", "project_key", "public_key"),
        column("region", "project_key", "secret_key"),
        column("region", "project", "id"),
        is_again,
        scope,
    )


def _table(stack: ImportStack, model: str) -> dict[int, Any]:
    silo, table = ("control", CONTROL_TABLES[model]) if model in CONTROL_TABLES else ("region", REGION_TABLES[model])
    return _rows(stack, silo, table)


def _rows(stack: ImportStack, silo: str, table: str) -> dict[int, Any]:
    return {row["id"]: row for row in stack.all_in(silo, f"SELECT * FROM {table}")}
