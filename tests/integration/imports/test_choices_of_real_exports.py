"""A genuine export whose plan is edited row by row becomes what a plan with these policies would make of it."""

import json
from typing import Any

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from shared.importing.policies import Policy
from tests.genuine_exports import genuine_exports, richest
from tests.integration.imports.planned import apply, ledger, plan
from tests.integration.imports.stack import OPERATOR, ImportStack

pytestmark = [pytest.mark.integration, pytest.mark.long]

_FILE = richest(genuine_exports())
_CHOSEN = {
    "sentry.user": Policy.MERGE,
    "sentry.option": Policy.OVERWRITE,
    "sentry.controloption": Policy.OVERWRITE,
    "sentry.integration": Policy.SKIP,
    "sentry.relay": Policy.SKIP,
    "sentry.userrole": Policy.SKIP,
}


def test_what_is_chosen_for_each_row_is_what_its_model_would_do_and_all_that_refers_to_it_follows(
    stack: ImportStack,
) -> None:
    data = _FILE.read_bytes()
    how: dict[str, Any] = {"scope": Scope.GLOBAL, "caller": OPERATOR}
    options = ImportOptions(add_to_silo=True, continue_on_error=True)
    stack.run(stack.upload(data, options=options, **how).id)
    by_model = ImportOptions(
        add_to_silo=True, continue_on_error=True, policies=tuple((model, each.value) for model, each in _CHOSEN.items())
    )
    wanted, planned = plan(stack, data, options=by_model, **how), plan(stack, data, options=options, **how)
    pks: dict[str, list[int]] = {}
    for row in json.loads(data):
        pks.setdefault(row["model"], []).append(row["pk"])
    chosen = {(model, policy): pks[model] for model, policy in _CHOSEN.items() if model in pks}
    applied = stack.run(apply(stack, planned.id, caller=OPERATOR, chosen=chosen).id)
    assert applied.state is State.SUCCEEDED, (applied.error, stack.findings(applied.id, "DRIFTED")[:5])
    found, expected, before = (
        {key: decision for key, (decision, _) in ledger(stack, each.id).items()} for each in (applied, wanted, planned)
    )
    assert found == expected != before
