"""What becomes of rows whose unique values are taken can be chosen, model by model, in an import and in a plan."""

import json
from typing import Any

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from shared.errors import InvalidArgument, ScopeMissing
from shared.importing.policies import POLICIES, Policy
from shared.importing.registry import models
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.planned import apply, ledger, plan
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

pytestmark = pytest.mark.integration

_OPTION: dict[str, Any] = {
    "model": "sentry.option",
    "pk": 1,
    "fields": {"key": "mail.from", "value": "old", "last_updated": rows.TIME},
}
_NEW = {**_OPTION, "fields": {**_OPTION["fields"], "value": "new"}}
_PEOPLE = [rows.user(1, "ann"), rows.organization(1), rows.member(1, 1, 1)]


def _chosen(model: str, policy: Policy, **others: Any) -> ImportOptions:
    return ImportOptions(policies=((model, policy.value),), **others)


@pytest.mark.parametrize(
    ("policy", "decision", "members"), [(Policy.MERGE, 2, 1), (Policy.SUFFIX, 4, 1), (Policy.SKIP, None, 0)]
)
def test_a_taken_username_is_treated_as_chosen(
    stack: ImportStack, policy: Policy, decision: int | None, members: int
) -> None:
    stack.do_import([rows.user(9, "ann")], scope=Scope.USER, caller=OPERATOR)
    how: dict[str, Any] = {"caller": OPERATOR, "options": _chosen("sentry.user", policy)}
    planned = plan(stack, json.dumps(_PEOPLE).encode(), **how)
    found = {model: given for (model, _), (given, _) in ledger(stack, planned.id).items()}
    assert found.get("sentry.user") == decision
    applied = stack.run(apply(stack, planned.id, caller=OPERATOR).id)
    assert applied.state is State.SUCCEEDED
    assert ledger(stack, applied.id) == ledger(stack, planned.id)
    made = "SELECT user_id FROM organization_member WHERE user_id IS NOT NULL"
    assert len(stack.all_in("region", made)) == members


@pytest.mark.parametrize(("policy", "value"), [(Policy.OVERWRITE, "new"), (Policy.MERGE, "old"), (Policy.SKIP, "old")])
def test_configuration_that_is_there_is_treated_as_chosen(stack: ImportStack, policy: Policy, value: str) -> None:
    how: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}
    stack.do_import([_OPTION], **how)
    stack.do_import([_NEW], options=_chosen("sentry.option", policy), **how)
    assert {row["fields"]["value"] for row in stack.kept("sentry.option")} == {value}


def test_a_slug_that_is_taken_within_the_file_is_left_out_when_that_is_chosen(stack: ImportStack) -> None:
    file = [rows.organization(1), rows.team(1, 1, "one"), rows.team(2, 1, "one"), rows.project(1, 1, "web")]
    done = stack.do_import(file, options=_chosen("sentry.team", Policy.SKIP))
    assert [row["slug"] for row in stack.all_in("region", "SELECT slug FROM team")] == ["one"]
    assert [(each.kind, each.ordinal) for each in stack.findings(done.id)] == [("NOT_UNIQUE", 2)]


def test_users_are_merged_only_by_those_who_run_the_silo(stack: ImportStack) -> None:
    with pytest.raises(ScopeMissing):
        stack.upload(b"[]", options=_chosen("sentry.user", Policy.MERGE), caller=CALLER)
    stack.upload(b"[]", options=_chosen("sentry.user", Policy.SKIP), caller=CALLER)


@pytest.mark.parametrize(
    ("model", "policy", "field"),
    [
        ("sentry.user", Policy.OVERWRITE, "on_conflict"),
        ("sentry.team", Policy.MERGE, "on_conflict"),
        ("sentry.projectkey", Policy.SKIP, "model"),
        ("sentry.option", Policy.OVERWRITE, "model"),  # not in organization scope
        ("sentry.unheardof", Policy.SKIP, "model"),
    ],
)
def test_a_policy_that_a_model_does_not_know_is_refused(
    stack: ImportStack, model: str, policy: Policy, field: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        stack.upload(b"[]", options=_chosen(model, policy))
    assert [each.field for each in refused.value.violations] == [f"header.options.policies[0].{field}"]


def test_policies_are_known_for_models_of_the_registry_only() -> None:
    assert set(POLICIES) <= set(models())
