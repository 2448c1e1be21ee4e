"""An edited plan: another policy for single rows, and what follows from it for rows that refer to them."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from control_silo.model_imports.targets import target_of as of_control
from region_silo.imports.cleaner import import_tasks
from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.options import ImportOptions
from region_silo.imports.targets import target_of as of_region
from shared.cleaner import Cleaner
from shared.importing.policies import POLICIES, Policy
from shared.importing.registry import ImportScope, Silo, models
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask
from tests.integration.imports.planned import apply, ledger, plan
from tests.integration.imports.stack import OPERATOR, ImportStack

pytestmark = pytest.mark.integration

_USER = "sentry.user"
_OPTION = "sentry.option"
_CONFIG: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}
_PEOPLE = [
    *(rows.user(pk, name) for pk, name in enumerate(("ann", "bo", "cy", "new"), 1)),
    *(rows.user_email(pk, pk, f"file{pk}@x.org") for pk in range(1, 5)),
    rows.organization(1),
    *(rows.member(pk, 1, pk, inviter_id=1) for pk in range(1, 5)),
]
_Chosen = Mapping[tuple[str, Policy], Sequence[int]]


def option(pk: int, key: str, value: str) -> dict[str, Any]:
    return rows.row(_OPTION, pk, key=key, value=value, last_updated=rows.TIME)


def planned_of(stack: ImportStack, objects: list[dict[str, Any]], **how: Any) -> DataImport:
    return plan(stack, json.dumps(objects).encode(), **{"caller": OPERATOR, **how})


def applied(stack: ImportStack, plan_id: int, chosen: _Chosen, **how: Any) -> DataImport:
    """The application, which has succeeded."""
    ended = stack.run(apply(stack, plan_id, caller=OPERATOR, chosen=chosen, **how).id)
    assert ended.state is State.SUCCEEDED, stack.findings(ended.id)
    return ended


def decided(stack: ImportStack, import_id: int, model: str) -> dict[int, int]:
    return {pk: decision for (name, pk), (decision, _) in ledger(stack, import_id).items() if name == model}


def _fill(stack: ImportStack) -> dict[str, int]:
    """Users ann, bo and cy are there; their ids by name."""
    stack.do_import(
        [rows.user(pk, name) for pk, name in enumerate(("ann", "bo", "cy"), 7)], scope=Scope.USER, caller=OPERATOR
    )
    return {row["username"]: row["id"] for row in stack.all_in("control", "SELECT id, username FROM user_account")}


def test_users_of_one_file_are_merged_and_suffixed_each_as_chosen(stack: ImportStack) -> None:
    there = _fill(stack)
    planned = planned_of(stack, _PEOPLE)
    assert decided(stack, planned.id, _USER) == {1: 4, 2: 4, 3: 4, 4: 1}
    done = applied(stack, planned.id, {(_USER, Policy.MERGE): [1, 4], (_USER, Policy.SKIP): [3]})
    assert decided(stack, done.id, _USER) == {1: 2, 2: 4, 4: 1}
    assert ledger(stack, done.id)[_USER, 2] == ledger(stack, planned.id)[_USER, 2]
    # What hangs on a user who is merged or left out is treated as it would be in any import.
    assert set(decided(stack, done.id, "sentry.useremail")) == {2, 4}
    members = stack.all_in("region", "SELECT user_id, inviter_id FROM organization_member")
    assert len(members) == 3
    assert {row["inviter_id"] for row in members} == {there["ann"]}
    assert there["bo"] not in {row["user_id"] for row in members}
    assert {each.kind for each in stack.findings(done.id)} >= {"SUFFIXED", "EXISTING_USER", "NOT_UNIQUE"}


def test_users_that_a_plan_merges_are_suffixed_where_that_is_chosen(stack: ImportStack) -> None:
    there = _fill(stack)
    planned = planned_of(stack, [*_PEOPLE, rows.email(1, "bo")], options=ImportOptions(merge_users=True))
    assert decided(stack, planned.id, _USER) == {1: 2, 2: 2, 3: 2, 4: 1}
    assert set(decided(stack, planned.id, "sentry.useremail")) == {4}
    done = applied(stack, planned.id, {(_USER, Policy.SUFFIX): [2]})
    assert decided(stack, done.id, _USER) == {1: 2, 2: 4, 3: 2, 4: 1}
    assert set(decided(stack, done.id, "sentry.useremail")) == {2, 4}
    names = {row["username"] for row in stack.all_in("control", "SELECT username FROM user_account")}
    assert len(names) == 5
    members = {row["user_id"] for row in stack.all_in("region", "SELECT user_id FROM organization_member")}
    assert members >= {there["ann"], there["cy"]}
    assert there["bo"] not in members


def test_two_users_whom_a_plan_merges_into_one_can_be_kept_apart(stack: ImportStack) -> None:
    _fill(stack)
    file = [
        rows.user(1, "ann"),
        rows.user(2, "Ann"),
        rows.organization(1),
        rows.member(1, 1, 1),
        rows.member(2, 1, 2),
        rows.team(1, 1, "one"),
        rows.member_team(1, 2, 1),
    ]
    planned = planned_of(stack, file, options=ImportOptions(merge_users=True))
    assert set(decided(stack, planned.id, "sentry.organizationmember")) == {1}
    done = applied(stack, planned.id, {(_USER, Policy.SUFFIX): [1]})
    assert set(decided(stack, done.id, "sentry.organizationmember")) == {1, 2}
    assert set(decided(stack, done.id, "sentry.organizationmemberteam")) == {1}


def test_two_users_whom_a_plan_keeps_apart_can_become_one(stack: ImportStack) -> None:
    _fill(stack)
    file = [
        rows.user(1, "ann"),
        rows.user(2, "Ann"),
        rows.user(3, "dan"),
        rows.user(4, "Dan"),
        rows.organization(1),
        *(rows.member(pk, 1, pk) for pk in range(1, 5)),
    ]
    planned = planned_of(stack, file)
    done = applied(stack, planned.id, {(_USER, Policy.MERGE): [1, 2, 4]})
    assert decided(stack, done.id, _USER) == {1: 2, 2: 2, 3: 1, 4: 2}
    assert len(stack.all_in("region", "SELECT DISTINCT user_id FROM organization_member")) == 2
    assert set(decided(stack, done.id, "sentry.organizationmember")) == {1, 3}


@pytest.mark.parametrize(("options", "overwritten"), [(ImportOptions(overwrite_configs=True), 2), (ImportOptions(), 1)])
def test_options_are_overwritten_or_kept_each_as_chosen(
    stack: ImportStack, options: ImportOptions, overwritten: int
) -> None:
    stack.do_import([option(pk, f"key{pk}", "old") for pk in range(1, 4)], **_CONFIG)
    planned = planned_of(stack, [option(pk, f"key{pk}", "new") for pk in range(1, 5)], options=options, **_CONFIG)
    other = Policy.MERGE if options.overwrite_configs else Policy.OVERWRITE
    done = applied(stack, planned.id, {(_OPTION, other): [2, 4]})
    stands = {row["fields"]["key"]: row["fields"]["value"] for row in stack.kept(_OPTION)}
    kept = "old" if options.overwrite_configs else "new"
    turned = "new" if options.overwrite_configs else "old"
    assert stands == {"key1": turned, "key2": kept, "key3": turned, "key4": "new"}
    assert list(decided(stack, done.id, _OPTION).values()).count(3) == overwritten
    images = stack.all_in("region", "SELECT image FROM import_before_image")
    assert [row["image"]["fields"]["value"] for row in images] == ["old"] * overwritten


def test_of_one_option_that_stands_twice_in_a_file_one_row_overwrites(stack: ImportStack) -> None:
    stack.do_import([option(1, "key", "old")], **_CONFIG)
    planned = planned_of(stack, [option(pk, "key", f"new{pk}") for pk in range(1, 4)], **_CONFIG)
    done = applied(stack, planned.id, {(_OPTION, Policy.OVERWRITE): [2, 3]})
    assert decided(stack, done.id, _OPTION) == {1: 2, 2: 3, 3: 2}
    assert {row["fields"]["value"] for row in stack.kept(_OPTION)} == {"new2"}


def test_a_row_that_a_plan_leaves_out_by_policy_can_be_written(stack: ImportStack) -> None:
    file = [
        rows.organization(1),
        rows.team(1, 1, "one"),
        rows.team(2, 1, "one"),
        rows.project(1, 1, "web"),
        rows.project_team(1, 1, 2),
    ]
    planned = planned_of(stack, file, options=ImportOptions(policies=(("sentry.team", Policy.SKIP.value),)))
    assert set(decided(stack, planned.id, "sentry.projectteam")) == set()
    done = applied(stack, planned.id, {("sentry.team", Policy.SUFFIX): [2]})
    assert decided(stack, done.id, "sentry.team") == {1: 1, 2: 4}
    assert set(decided(stack, done.id, "sentry.projectteam")) == {1}


@pytest.mark.parametrize("model", ["sentry.team", "sentry.project"])
def test_a_team_or_project_that_a_plan_suffixes_can_be_left_out(stack: ImportStack, model: str) -> None:
    file = [
        rows.organization(1),
        *(rows.team(pk, 1, "one") for pk in (1, 2, 3)),
        *(rows.project(pk, 1, "web") for pk in (1, 2, 3)),
        *(rows.project_team(pk, pk, pk) for pk in (1, 2, 3)),
    ]
    planned = planned_of(stack, file)
    done = applied(stack, planned.id, {(model, Policy.SKIP): [2]}, taken_out={model: [1]})
    # The slug of the first is free now: whose values are free is inserted, whatever was chosen or planned.
    assert decided(stack, done.id, model) == {2: 1, 3: 4}
    assert set(decided(stack, done.id, "sentry.projectteam")) == {2, 3}
    again = planned_of(stack, file)
    done = applied(stack, again.id, {(model, Policy.SKIP): [2]})
    assert decided(stack, done.id, model) == {1: 1, 3: 4}
    assert set(decided(stack, done.id, "sentry.projectteam")) == {1, 3}


def test_a_row_whose_inviter_is_taken_out_of_a_plan_is_written_without_one(stack: ImportStack) -> None:
    planned = planned_of(stack, _PEOPLE)
    done = applied(stack, planned.id, {}, taken_out={_USER: [1]})
    assert set(decided(stack, done.id, "sentry.organizationmember")) == {2, 3, 4}
    assert {each.kind for each in stack.findings(done.id)} == {"FILTERED_OUT", "NULLED_REFERENCE"}


def test_a_retry_keeps_the_choices_and_they_go_with_the_import(stack: ImportStack) -> None:
    _fill(stack)
    planned = planned_of(stack, _PEOPLE)
    stack.do_import([rows.user(9, "new")], scope=Scope.USER, caller=OPERATOR)
    queued = apply(stack, planned.id, caller=OPERATOR, chosen={(_USER, Policy.MERGE): [1, 2, 3]})
    failed = stack.run(queued.id)
    assert failed.error is not None
    assert failed.error.reason == "IMPORT_DRIFTED"
    stack.change_in("control", "UPDATE user_account SET username = 'somebody' WHERE username = 'new'")
    ask(stack, "retry", queued.id, None, caller=OPERATOR)
    done = stack.run(queued.id)
    assert done.state is State.SUCCEEDED, stack.findings(done.id)
    assert decided(stack, done.id, _USER) == {1: 2, 2: 2, 3: 2, 4: 1}
    assert len(stack.all_in("region", "SELECT * FROM import_choice")) == 3
    stack.clock.advance(91 * 86400)
    assert Cleaner(stack.region, import_tasks()).clean_once()["import_choice"] == 3


def test_a_policy_for_every_row_does_what_the_policy_of_the_model_does(stack: ImportStack) -> None:
    _fill(stack)
    file = [*_PEOPLE, rows.user(5, "Ann"), rows.member(5, 1, 5), rows.email(1, "bo"), rows.email(2, "Ann")]
    around = (Policy.SUFFIX, Policy.MERGE, Policy.SKIP, Policy.SUFFIX)
    for planned_as, chosen in pairwise(around):
        wanted = planned_of(stack, file, options=ImportOptions(policies=((_USER, chosen.value),)))
        planned = planned_of(stack, file, options=ImportOptions(policies=((_USER, planned_as.value),)))
        done = applied(stack, planned.id, {(_USER, chosen): range(1, 6)})
        found, expected = (
            {key: decision for key, (decision, _) in ledger(stack, each.id).items()} for each in (done, wanted)
        )
        assert found == expected


def test_choices_are_the_same_in_small_batches(stack: ImportStack) -> None:
    _fill(stack)
    planned = planned_of(stack, _PEOPLE)
    queued = apply(stack, planned.id, caller=OPERATOR, chosen={(_USER, Policy.MERGE): [1, 3]})
    done = stack.run(queued.id, stack.runner(rows_max=1))
    assert done.state is State.SUCCEEDED, stack.findings(done.id)
    assert decided(stack, done.id, _USER) == {1: 2, 2: 4, 3: 2, 4: 1}


def test_each_model_with_policies_has_one_unique_set_and_one_way_to_write_taken_values() -> None:
    for model, known in POLICIES.items():
        of = of_control if models()[model].silo is Silo.CONTROL else of_region
        assert len(of(model, Terms(ImportScope.GLOBAL)).unique) == 1
        assert len(known & {Policy.SUFFIX, Policy.OVERWRITE}) <= 1
        assert of(model, Terms(ImportScope.GLOBAL)).snowflake or Policy.SUFFIX not in known
