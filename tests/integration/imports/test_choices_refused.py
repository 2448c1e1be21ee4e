"""Edits of a plan that are refused, and what is a drift beside choices."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.options import ImportOptions
from shared.errors import InvalidArgument, RequestIdReused, ScopeMissing
from shared.importing.choices import Choice
from shared.importing.handover import HandedBatch
from shared.importing.policies import Policy
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.planned import apply, plan
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

pytestmark = pytest.mark.integration

_ID = "00000000-0000-4000-8000-000000000001"
_USER = "sentry.user"
_TEAM = "sentry.team"
_OPTION = "sentry.option"
_CONFIG: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}
_FILE = [
    rows.user(1, "ann"),
    rows.user(2, "bo"),
    rows.organization(1),
    rows.member(1, 1, 1),
    rows.team(1, 1, "one"),
    rows.team(2, 1, "one"),
    rows.team(3, 9, "lost"),
]
_Chosen = Mapping[tuple[str, Policy], Sequence[int]]


def _planned(stack: ImportStack, objects: list[dict[str, Any]] = _FILE, **how: Any) -> DataImport:
    return plan(stack, json.dumps(objects).encode(), **how)


def _option(value: str) -> dict[str, Any]:
    return rows.row(_OPTION, 1, key="mail.from", value=value, last_updated=rows.TIME)


def _user(stack: ImportStack, name: str) -> None:
    stack.do_import([rows.user(9, name)], scope=Scope.USER, caller=OPERATOR)


def _drifts(stack: ImportStack, plan_id: int, chosen: _Chosen) -> list[tuple[str, str, str]]:
    ended = stack.run(apply(stack, plan_id, caller=OPERATOR, chosen=chosen).id)
    assert ended.error is not None
    assert (ended.state, ended.error.reason) == (State.FAILED, "IMPORT_DRIFTED")
    return [(each.model, each.pk, each.reason) for each in stack.findings(ended.id, "DRIFTED")]


@pytest.mark.parametrize(
    ("chosen", "taken_out", "field"),
    [
        ({("sentry.organization", Policy.SKIP): [1]}, {}, "policies[0].policy"),
        ({(_TEAM, Policy.SKIP): [1], (_TEAM, Policy.MERGE): [2]}, {}, "policies[1].policy"),
        ({(_USER, Policy.OVERWRITE): [1]}, {}, "policies[0].policy"),
        ({(_TEAM, Policy.SKIP): [1, 7]}, {}, "policies[0].pks[1]"),
        ({(_TEAM, Policy.SUFFIX): [3]}, {}, "policies[0].pks[0]"),  # its organization is missing
        ({("sentry.project", Policy.SKIP): [1]}, {}, "policies[0].pks[0]"),
        ({(_USER, Policy.SKIP): [1, 2], (_USER, Policy.SUFFIX): [2]}, {}, "policies[1].pks[0]"),
        ({(_TEAM, Policy.SKIP): [1, 2]}, {_TEAM: [2]}, "policies[0].pks[1]"),
    ],
)
def test_an_edit_that_says_nothing_or_two_things_is_refused_with_its_place(
    stack: ImportStack, chosen: _Chosen, taken_out: dict[str, list[int]], field: str
) -> None:
    planned = _planned(stack)
    with pytest.raises(InvalidArgument) as refused:
        apply(stack, planned.id, chosen=chosen, taken_out=taken_out)
    assert [each.field for each in refused.value.violations] == [field]
    assert apply(stack, planned.id, chosen={(_TEAM, Policy.SKIP): [1, 1]}).edited


def test_users_are_merged_row_by_row_only_by_those_who_run_the_silo(stack: ImportStack) -> None:
    planned = _planned(stack)
    with pytest.raises(ScopeMissing) as missing:
        apply(stack, planned.id, chosen={(_USER, Policy.MERGE): [1]})
    assert missing.value.metadata["scope"] == "silo:operate"
    assert apply(stack, planned.id, caller=CALLER, chosen={(_USER, Policy.SKIP): [1]}).plan_id == planned.id


def test_control_believes_no_region_that_a_choice_is_allowed(stack: ImportStack) -> None:
    planned = _planned(stack)
    stack.run(apply(stack, planned.id).id)
    first = stack.peer.batches[-1]

    def handed(choice: Choice) -> HandedBatch:
        return HandedBatch(first.import_id, CALLER.principal, first.terms, _USER, first.rows, choices=[choice])

    with pytest.raises(ScopeMissing):
        stack.peer.import_batch(handed(Choice(1, Policy.MERGE)))
    with pytest.raises(InvalidArgument):
        stack.peer.import_batch(handed(Choice(1, Policy.OVERWRITE)))


def test_a_request_with_other_choices_is_another_request(stack: ImportStack) -> None:
    planned = _planned(stack)
    chosen = {(_TEAM, Policy.SKIP): [1, 2]}
    first = apply(stack, planned.id, request_id=_ID, chosen=chosen)
    assert apply(stack, planned.id, request_id=_ID, chosen={(_TEAM, Policy.SKIP): [2, 1, 1]}).id == first.id
    for other in ({(_TEAM, Policy.SUFFIX): [1, 2]}, {(_TEAM, Policy.SKIP): [1]}, {}):
        with pytest.raises(RequestIdReused):
            apply(stack, planned.id, request_id=_ID, chosen=other)


def test_a_choice_does_not_cover_other_rows(stack: ImportStack) -> None:
    planned = _planned(stack)
    _user(stack, "bo")
    ((model, pk, reason),) = _drifts(stack, planned.id, {(_USER, Policy.MERGE): [1]})
    assert (model, pk) == (_USER, "2")
    assert "the plan says: inserted; now: written as" in reason


def test_a_chosen_row_may_be_inserted_or_treated_as_chosen_whatever_was_planned(stack: ImportStack) -> None:
    _user(stack, "ann")
    planned = _planned(stack)
    stack.change_in("control", "UPDATE user_account SET username = 'bo'")
    done = stack.run(apply(stack, planned.id, caller=OPERATOR, chosen={(_USER, Policy.MERGE): [1, 2]}).id)
    assert done.state is State.SUCCEEDED, stack.findings(done.id)
    users = stack.all_in("control", "SELECT username FROM user_account ORDER BY username")
    assert [row["username"] for row in users] == ["ann", "bo"]


def test_a_row_that_is_chosen_to_be_overwritten_and_was_changed_is_a_drift(stack: ImportStack) -> None:
    stack.do_import([_option("old")], **_CONFIG)
    planned = _planned(stack, [_option("new")], **_CONFIG)
    changed = """ UPDATE kept_row SET fields = fields || '{"value": "by hand"}' WHERE model = 'sentry.option' """
    stack.change_in("region", changed)
    ((_, _, reason),) = _drifts(stack, planned.id, {(_OPTION, Policy.OVERWRITE): [1]})
    assert "the plan says: merge with row" in reason
    assert "changed to overwrite; now: it holds other values than then" in reason
    assert [row["fields"]["value"] for row in stack.kept(_OPTION)] == ["by hand"]


def test_another_row_in_the_place_of_the_planned_one_is_a_drift_of_a_chosen_row(stack: ImportStack) -> None:
    stack.do_import([_option("old")], **_CONFIG)
    planned = _planned(stack, [_option("new")], options=ImportOptions(overwrite_configs=True), **_CONFIG)
    stack.change_in("region", "DELETE FROM kept_row")
    stack.do_import([_option("other")], **_CONFIG)
    ((_, _, reason),) = _drifts(stack, planned.id, {(_OPTION, Policy.MERGE): [1]})
    assert "changed to merge; now: merge with row" in reason


def test_a_key_that_was_taken_meanwhile_is_a_drift_beside_choices(stack: ImportStack) -> None:
    file = [*_FILE, rows.project(1, 1, "web"), rows.project_key(1, 1, "a" * 32, "b" * 32)]
    planned = _planned(stack, file)
    other = [rows.organization(2, "other"), rows.project(2, 2, "x"), rows.project_key(2, 2, "a" * 32, "c" * 32)]
    stack.do_import(other)
    ((model, pk, _),) = _drifts(stack, planned.id, {(_TEAM, Policy.SKIP): [2]})
    assert (model, pk) == ("sentry.projectkey", "1")


def test_a_planned_name_that_is_taken_is_a_drift_although_another_row_of_the_model_was_chosen(
    stack: ImportStack,
) -> None:
    _user(stack, "ann")
    _user(stack, "bo")
    planned = _planned(stack)
    (name,) = (
        row["suffixed"]
        for row in stack.all_in("control", "SELECT suffixed FROM import_row WHERE model = 'sentry.user' AND old_pk = 2")
        if row["suffixed"]
    )
    _user(stack, name)
    ((model, pk, reason),) = _drifts(stack, planned.id, {(_USER, Policy.MERGE): [1]})
    assert (model, pk) == (_USER, "2")
    assert f'the plan says: written as "{name}"' in reason
