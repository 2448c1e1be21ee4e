"""Every genuine export file is imported as it says: each row and each field is compared with the file."""

import json
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from region_silo.imports.domain import State
from siloway_client.export_file import write_export
from tests.integration.imports import expectations
from tests.integration.imports.expectations import CONTROL_TABLES, MODELS, NEW, REGION_TABLES, Before, Row
from tests.integration.imports.stack import ImportStack

_FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "exports"
_FILES = sorted(_FOLDER.glob("*.json"))
_DECISIONS = {1: "INSERT", 2: "MERGE", 3: "OVERWRITE", 4: "SUFFIX"}

if not _FILES:  # before any test is collected: one without parameters would fail
    pytest.skip("../shared/data/exports is absent: there are no real exports to read", allow_module_level=True)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_each_row_of_a_genuine_export_is_written_as_the_file_says(
    stack: ImportStack, tmp_path: Path, path: Path
) -> None:
    other = tmp_path / "other.json"
    write_export(other, objects=400, seed=3, organization_slug="other")
    stack.run(stack.upload(other.read_bytes()).id)
    rows = json.loads(path.read_text())
    # Kept rows are numbered from 1 in each silo: so that none gets its own number again.
    for silo in ("control", "region"):
        stack.change_in(silo, "ALTER TABLE kept_row ALTER COLUMN id RESTART WITH 10000000")
    # The second time it stands next to itself: every name and key is taken then.
    for _ in range(2):
        before = _before(stack)
        import_id = stack.upload(path.read_bytes()).id
        assert stack.run(import_id).state is State.SUCCEEDED
        _check(stack, rows, before, import_id)


def _check(stack: ImportStack, rows: list[Row], before: Before, import_id: int) -> None:
    expected = expectations.expect(rows, before)
    ledger = stack.all_in("region", "SELECT * FROM import_row WHERE import_id = :import_id", import_id=import_id)
    decided = {(row["model"], row["old_pk"]): _DECISIONS[row["decision"]] for row in ledger}
    assert {key: decision for key, decision in decided.items() if key[0] in MODELS} == expected.decisions
    new = {(row["model"], row["old_pk"]): row["new_pk"] for row in ledger}
    assert not [key for key, new_pk in new.items() if key[1] == new_pk], "a pk maps to itself"
    held = {model: _table(stack, model) for model in MODELS}
    for row in rows:
        model = row["model"].lower()
        if model not in MODELS or (model, row["pk"]) not in new:
            continue
        found = held[model][new[model, row["pk"]]]
        wanted = expectations.written(model, row["fields"], new, before, import_id)
        if expected.decisions[model, row["pk"]] == "MERGE":
            wanted = {}
        _compare(stack, row["fields"], found, wanted, f"{model} {row['pk']}")
        _check_names(model, row["fields"], found, expected.decisions[model, row["pk"]])
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


def _check_names(model: str, fields: Row, found: Row, decision: str) -> None:
    if model == "sentry.user":
        if decision == "INSERT":
            assert found["username"] == fields["username"]
        else:
            assert re.fullmatch(re.escape(fields["username"]) + "-[a-z0-9]{2,12}", found["username"])
        assert re.fullmatch(r"sha256\$[A-Za-z0-9]{12}\$[0-9a-f]{64}", found["password"])
    if model == "sentry.email":
        assert found["email"].lower() == fields["email"].lower()
    if model == "sentry.organization":
        assert found["slug"] is not None
        assert found["slug"].startswith(fields["slug"][:20])


def _check_counts(stack: ImportStack, rows: list[Row], expected: expectations.Expected, import_id: int) -> None:
    report = stack.report(import_id)
    assert report.data_import.done_count == len(rows)
    by_model = Counter(row["model"].lower() for row in rows)
    decided = Counter((model, decision) for (model, _), decision in expected.decisions.items())
    for total, counts in report.counts:
        assert total.rows == by_model[total.model] == counts.total
        if total.model not in MODELS:
            continue
        assert counts.inserted == decided[total.model, "INSERT"]
        assert counts.merged == decided[total.model, "MERGE"]
        assert counts.suffixed == decided[total.model, "SUFFIX"]
    findings = stack.findings(import_id)
    assert report.data_import.finding_count == len(findings)
    skipped = {(each.model, int(each.pk)) for each in findings if each.skipped and each.model in MODELS}
    assert skipped == set(expected.skipped)
    others = {finding.kind for finding in findings if finding.skipped and finding.model not in MODELS}
    assert others <= {"OUT_OF_SCOPE", "MODEL_REMOVED", "MISSING_REFERENCE", "NOT_UNIQUE"}


def _before(stack: ImportStack) -> Before:
    def column(silo: str, table: str, name: str) -> set[str]:
        return {row[name] for row in stack.all_in(silo, f"SELECT {name} FROM {table}")}

    return Before(
        {name.lower() for name in column("control", "user_account", "username")},
        {address.lower() for address in column("control", "email_address", "email")},
        column("region", "project_key", "public_key"),
        column("region", "project_key", "secret_key"),
    )


def _table(stack: ImportStack, model: str) -> dict[int, Any]:
    silo, table = ("control", CONTROL_TABLES[model]) if model in CONTROL_TABLES else ("region", REGION_TABLES[model])
    return {row["id"]: row for row in stack.all_in(silo, f"SELECT * FROM {table}")}
