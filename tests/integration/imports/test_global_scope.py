"""Imports in global scope: into an empty silo, next to others when told so, and projects with the ids that they had."""

import json
import uuid

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from shared import errors
from shared.snowflake.domain import describe
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.rows_of_files import row
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

_FILE = [
    rows.user(1),
    rows.organization(1),
    rows.project(4242, 1, "web"),
    rows.project(2**53, 1, "big"),
    rows.project_key(1, 4242, "a" * 32, "b" * 32),
    row("sentry.option", 1, key="mail.from", value="a@example.com"),
    row("sentry.controloption", 1, key="auth", value=1),
]
_ADD = ImportOptions(add_to_silo=True)


def _upload(stack: ImportStack, options: ImportOptions = ImportOptions(), request_id: str | None = None) -> int:  # noqa: B008
    data = json.dumps(_FILE).encode()
    return stack.upload(data, scope=Scope.GLOBAL, caller=OPERATOR, options=options, request_id=request_id).id


def test_projects_keep_their_ids_and_one_that_is_taken_gets_a_new_one(stack: ImportStack) -> None:
    first = stack.run(_upload(stack))
    assert first.state is State.SUCCEEDED
    held = stack.all_in("region", "SELECT id, slug FROM project ORDER BY id")
    assert held[0] == {"id": 4242, "slug": "web"}
    assert held[1]["id"] < 2**53, "an id that clients cannot hold is not kept"
    assert [(each.kind, each.pk) for each in stack.findings(first.id)] == [("ID_REPLACED", str(2**53))]

    second = stack.run(_upload(stack, _ADD))
    replaced = stack.findings(second.id, "ID_REPLACED")
    assert [(each.pk, each.field, each.skipped) for each in replaced] == [
        ("4242", "pk", False),
        (str(2**53), "pk", False),
    ]
    ids = [each["id"] for each in stack.all_in("region", "SELECT id FROM project WHERE slug = 'web' ORDER BY id")]
    assert ids[0] == 4242
    assert describe(ids[1]).region == 1
    keys = stack.all_in("region", "SELECT project_id, public_key FROM project_key ORDER BY id")
    assert [each["project_id"] for each in keys] == ids
    assert keys[0]["public_key"] == "a" * 32 != keys[1]["public_key"]


def test_in_other_scopes_projects_get_new_ids(stack: ImportStack) -> None:
    stack.do_import(_FILE)
    assert 4242 not in {each["id"] for each in stack.all_in("region", "SELECT id FROM project")}


def test_a_silo_that_holds_other_organizations_is_refused_before_a_byte_is_taken(stack: ImportStack) -> None:
    stack.do_import([rows.organization(1, "other")])
    before = stack.spool.import_ids()
    with pytest.raises(errors.SiloHoldsOrganizations) as refused:
        _upload(stack)
    assert [each.field for each in refused.value.violations] == ["header.options.add_to_silo"]
    assert stack.spool.import_ids() == before
    assert len(stack.all_in("region", "SELECT id FROM data_import")) == 1
    assert stack.run(_upload(stack, _ADD)).state is State.SUCCEEDED
    assert len(stack.all_in("region", "SELECT id FROM organization")) == 2, "and nothing is ever wiped"


def test_an_organization_that_comes_before_the_writing_begins_ends_the_import_with_nothing_written(
    stack: ImportStack,
) -> None:
    waiting = _upload(stack)
    other = stack.upload(json.dumps([rows.organization(1, "other")]).encode()).id
    stack.change_in("region", f"UPDATE data_import SET available_at = now() + interval '9 years' WHERE id = {waiting}")
    stack.run(other)
    stack.change_in("region", f"UPDATE data_import SET available_at = created_at WHERE id = {waiting}")
    ended = stack.run(waiting)
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.reason == "SILO_HOLDS_ORGANIZATIONS"
    assert stack.all_in("region", "SELECT * FROM import_chunk WHERE import_id = :id", id=waiting) == []
    assert stack.all_in("control", "SELECT * FROM import_chunk WHERE import_id = :id", id=waiting) == []


def test_a_repeated_upload_gets_its_import_although_the_silo_is_full_now(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    done = stack.run(_upload(stack, request_id=request_id))
    assert _upload(stack, request_id=request_id) == done.id


def test_configuration_needs_an_operator_and_brings_no_organizations(stack: ImportStack) -> None:
    data = json.dumps(_FILE).encode()
    for scope in (Scope.CONFIG, Scope.GLOBAL, Scope.USER):
        with pytest.raises(errors.ScopeMissing):
            stack.upload(data, scope=scope, caller=CALLER)
    done = stack.run(stack.upload(data, scope=Scope.CONFIG, caller=OPERATOR).id)
    assert done.state is State.SUCCEEDED
    assert [each["fields"]["key"] for each in stack.kept("sentry.option")] == ["mail.from"]
    assert [each["fields"]["key"] for each in stack.kept("sentry.controloption", "control")] == ["auth"]
    assert stack.all_in("region", "SELECT id FROM organization") == []
    left_out = {each.model for each in stack.findings(done.id, "OUT_OF_SCOPE")}
    assert left_out == {"sentry.organization", "sentry.project", "sentry.projectkey"}


@pytest.mark.parametrize(
    ("scope", "options", "field"),
    [
        (Scope.GLOBAL, ImportOptions(merge_users=True), "merge_users"),
        (Scope.ORGANIZATION, ImportOptions(overwrite_configs=True), "overwrite_configs"),
        (Scope.GLOBAL, ImportOptions(overwrite_configs=True), "overwrite_configs"),
        (Scope.USER, ImportOptions(hide_organizations=True), "hide_organizations"),
        (Scope.ORGANIZATION, ImportOptions(add_to_silo=True), "add_to_silo"),
        (Scope.ORGANIZATION, ImportOptions(usernames=()), "usernames"),
        (Scope.USER, ImportOptions(organization_slugs=()), "organization_slugs"),
    ],
)
def test_a_choice_that_the_scope_has_no_use_for_is_refused(
    stack: ImportStack, scope: Scope, options: ImportOptions, field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        stack.upload(b"[]", scope=scope, caller=OPERATOR, options=options)
    assert [each.field for each in refused.value.violations] == [f"header.options.{field}"]


def test_merging_users_needs_an_operator(stack: ImportStack) -> None:
    with pytest.raises(errors.ScopeMissing):
        stack.upload(b"[]", options=ImportOptions(merge_users=True))
