"""A plan of every genuine export file writes nothing, and is what the import that follows does."""

from pathlib import Path

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from siloway_client.export_file import write_export
from tests.genuine_exports import genuine_exports, richest
from tests.integration.imports.planned import apply, decisions, digests, ledger, plan, schemas, told
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

pytestmark = [pytest.mark.integration, pytest.mark.long]

_FILES = genuine_exports()
_CASES = [*((path, Scope.GLOBAL) for path in _FILES), (richest(_FILES), Scope.ORGANIZATION)]


@pytest.mark.parametrize(("path", "scope"), _CASES, ids=[f"{path.stem}-{scope.name.lower()}" for path, scope in _CASES])
def test_a_plan_writes_nothing_and_its_application_does_what_it_said(
    stack: ImportStack, tmp_path: Path, path: Path, scope: Scope
) -> None:
    other = tmp_path / "other.json"
    write_export(other, objects=200, seed=3, organization_slug="other")
    stack.run(stack.upload(other.read_bytes()).id)
    caller = OPERATOR if scope is Scope.GLOBAL else CALLER
    options = ImportOptions(add_to_silo=scope is Scope.GLOBAL, continue_on_error=True)
    # The second time every name and key is taken.
    for _ in range(2):
        before = digests(stack)
        planned = plan(stack, path.read_bytes(), scope=scope, caller=caller, options=options)
        assert planned.state is State.PLANNED, planned.error
        assert _without_slugs(digests(stack)) == _without_slugs(before)
        assert not schemas(stack)
        applied = stack.run(apply(stack, planned.id, caller=caller).id)
        assert applied.state is State.SUCCEEDED, (applied.error, stack.findings(applied.id, "DRIFTED")[:5])
        assert ledger(stack, applied.id) == ledger(stack, planned.id)
        assert told(stack, applied.id) == told(stack, planned.id)
        slugs = {each.name for each in decisions(stack, planned.id, caller) if each.model == "sentry.organization"}
        made = stack.all_in("region", "SELECT slug FROM organization WHERE import_id = :id", id=applied.id)
        assert {row["slug"] for row in made} == slugs


def _without_slugs(found: dict[tuple[str, str], tuple[int, str]]) -> dict[tuple[str, str], tuple[int, str]]:
    return {key: value for key, value in found.items() if key[1] != "slug_reservation"}
