"""What an undoing leaves where it is, and what it tells of that."""

import json
from typing import Any

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR, ImportStack
from tests.integration.imports.test_undo import FILE
from tests.integration.imports.undone import contents, kept, settle, undo

_CONFIG: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}


def _option(model: str, value: str) -> list[rows.Row]:
    return [rows.row(model, 1, key="mail.from", value=value, last_updated=rows.TIME)]


def _imported(stack: ImportStack, file: list[rows.Row] = FILE, **how: Any) -> int:
    done = stack.do_import(file, **how)
    assert done.state is State.SUCCEEDED
    settle(stack)
    return done.id


@pytest.mark.parametrize(("silo", "model"), [("region", "sentry.option"), ("control", "sentry.controloption")])
def test_an_overwritten_row_is_as_it_was_before_each_of_several_imports(
    stack: ImportStack, silo: str, model: str
) -> None:
    overwriting = ImportOptions(overwrite_configs=True)
    held = []
    imports = []
    for value in ("first", "second", "third"):
        imports.append(_imported(stack, _option(model, value), **_CONFIG, options=overwriting))
        held.append(contents(stack))
    # Not while a later import stands on it.
    assert undo(stack, imports[1], caller=OPERATOR).state is State.UNDONE
    assert kept(stack, imports[1]) == [("KEPT_CHANGED", model, "1")]
    assert contents(stack) == held[2]
    for place in (2, 1):
        assert undo(stack, imports[place], caller=OPERATOR).state is State.UNDONE
        assert kept(stack, imports[place]) == []
        assert contents(stack) == held[place - 1]
    undo(stack, imports[0], caller=OPERATOR)
    assert stack.all_in(silo, "SELECT id FROM kept_row") == []
    assert stack.all_in(silo, "SELECT pk FROM import_before_image") == []


@pytest.mark.parametrize(("silo", "model"), [("region", "sentry.option"), ("control", "sentry.controloption")])
def test_a_row_that_another_import_uses_stays_until_that_one_is_undone(
    stack: ImportStack, silo: str, model: str
) -> None:
    first = _imported(stack, _option(model, "first"), **_CONFIG)
    second = _imported(stack, _option(model, "second"), **_CONFIG)
    undo(stack, first, caller=OPERATOR)
    assert kept(stack, first) == [("KEPT_REFERRED", model, "1")]
    (told,) = stack.findings(first, "KEPT_REFERRED")
    assert f"imports/{second} refers to it" in told.reason
    assert undo(stack, second, caller=OPERATOR).undo.undone_count == 0
    again = undo(stack, first, caller=OPERATOR)
    assert (again.undo.undone_count, again.undo.kept_count) == (1, 0)
    assert kept(stack, first) == []
    assert stack.all_in(silo, "SELECT id FROM kept_row") == []


def test_a_changed_row_stays_and_what_it_refers_to(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in("region", "UPDATE project SET name = 'renamed'")
    undone = undo(stack, done)
    assert kept(stack, done) == [
        ("KEPT_CHANGED", "sentry.project", "1"),
        ("KEPT_REFERRED", "sentry.organization", "1"),
    ]
    assert undone.undo.kept_count == 2
    (told,) = stack.findings(done, "KEPT_REFERRED")
    assert "project refers to it" in told.reason
    held = stack.all_in("region", "SELECT state, slug FROM organization")
    assert held == [{"state": 1, "slug": "acme"}], "it is open again"
    for table in ("team", "organization_member", "project_team", "project_key", "kept_row"):
        assert stack.all_in("region", f"SELECT id FROM {table}") == [], table
    assert stack.all_in("control", "SELECT id FROM user_account") == []
    assert [row["slug"] for row in stack.all_in("control", "SELECT slug FROM organization_mapping")] == ["acme"]


def test_what_stayed_goes_when_it_is_as_it_was(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    done = _imported(stack)
    stack.change_in("region", "UPDATE project SET name = 'renamed'")
    stack.change_in("control", "UPDATE user_account SET name = 'other' WHERE username = 'other@example.com'")
    undo(stack, done)
    assert ("KEPT_CHANGED", "sentry.user", "2") in kept(stack, done)
    stack.change_in("region", "UPDATE project SET name = 'project'")
    stack.change_in("control", "UPDATE user_account SET name = 'User 2' WHERE username = 'other@example.com'")
    undone = undo(stack, done)
    assert kept(stack, done) == []
    assert contents(stack) == before
    assert (undone.undo.undone_count, undone.undo.kept_count) == (len(FILE), 0)


def test_a_row_that_something_from_outside_refers_to_stays(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in(
        "region",
        """
        INSERT INTO release (id, organization_id, version, status, date_added)
        SELECT 7, id, '1.0', 0, now() FROM organization
        """,
    )
    stack.change_in(
        "region",
        """
        INSERT INTO release_project (organization_id, project_id, release_id, new_groups)
        SELECT organization_id, id, 7, 0 FROM project
        """,
    )
    undo(stack, done)
    assert kept(stack, done) == [
        ("KEPT_REFERRED", "sentry.project", "1"),
        ("KEPT_REFERRED", "sentry.organization", "1"),
    ]
    assert "release_project refers to it" in stack.findings(done, "KEPT_REFERRED")[0].reason
    assert len(stack.all_in("region", "SELECT FROM release_project")) == 1


def test_a_token_keeps_its_organization(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in(
        "control",
        """
        INSERT INTO token (id, secret_hash, name, audience, scopes, organization_id, created_at, version)
        SELECT 9, 'x', 'ci', '{}', '{}', organization_id, now(), 1 FROM organization_mapping
        """,
    )
    undo(stack, done)
    assert kept(stack, done) == [("KEPT_REFERRED", "sentry.organization", "1")]


def test_a_user_whom_another_organization_has_stays_with_what_is_the_users_own(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in(
        "region",
        """
        INSERT INTO organization (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added)
        VALUES (5, 'other', 'other', 'Other', 1, 0, 'member', 0, false, now())
        """,
    )
    (owner,) = stack.all_in("control", "SELECT id FROM user_account WHERE username = 'owner@example.com'")
    stack.change_in(
        "region",
        f"""
        INSERT INTO organization_member (organization_id, user_id, role, flags, has_global_access, invite_status, type,
            user_is_active, date_added)
        VALUES (5, {owner["id"]}, 'member', 0, true, 0, 50, true, now())
        """,
    )
    undo(stack, done)
    assert sorted(kept(stack, done)) == [
        ("KEPT_MEMBER", "sentry.user", "1"),
        ("KEPT_REFERRED", "sentry.email", "1"),
        ("KEPT_WITH_USER", "sentry.useremail", "1"),
        ("KEPT_WITH_USER", "sentry.useroption", "1"),
    ]
    users = stack.all_in("control", "SELECT username FROM user_account")
    assert users == [{"username": "owner@example.com"}]
    assert stack.all_in("control", "SELECT email FROM email_address") == [{"email": "owner@example.com"}]
    assert stack.all_in("region", "SELECT id FROM organization") == [{"id": 5}]


def test_a_member_in_another_region_keeps_the_user(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in(
        "control",
        """
        INSERT INTO organization_membership (organization_id, member_id, region, user_id, role, version, updated_at)
        SELECT 77, 1, 'de', id, 'member', 1, now() FROM user_account WHERE username = 'other@example.com'
        """,
    )
    undo(stack, done)
    assert kept(stack, done) == [("KEPT_MEMBER", "sentry.user", "2")]
    assert "organizations/77 has the user" in stack.findings(done, "KEPT_MEMBER")[0].reason


def test_an_address_that_was_verified_keeps_its_user_and_all_that_is_the_users(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in("control", "UPDATE user_email SET is_verified = true WHERE email = 'owner@example.com'")
    undo(stack, done)
    assert sorted(kept(stack, done)) == [
        ("KEPT_CHANGED", "sentry.useremail", "1"),
        ("KEPT_REFERRED", "sentry.email", "1"),
        ("KEPT_REFERRED", "sentry.user", "1"),
        ("KEPT_WITH_USER", "sentry.useroption", "1"),
    ]


def test_slugs_of_organizations_that_went_are_in_quarantine(stack: ImportStack) -> None:
    done = _imported(stack)
    undo(stack, done)
    held = stack.all_in("control", "SELECT slug, organization_id, state, expires_at FROM slug_reservation")
    assert [(row["slug"], row["organization_id"]) for row in held] == [("acme", None)]
    assert held[0]["expires_at"] is not None
    again = _imported(stack)
    (slug,) = [row["slug"] for row in stack.all_in("region", "SELECT slug FROM organization")]
    assert slug != "acme", "nobody gets it as long as it rests"
    assert undo(stack, again).state is State.UNDONE


def test_users_that_were_merged_are_left_as_they_are(stack: ImportStack) -> None:
    first = _imported(stack)
    merging = ImportOptions(merge_users=True)
    data = json.dumps(FILE).encode()
    second = stack.run(stack.upload(data, caller=OPERATOR, options=merging).id)
    assert second.state is State.SUCCEEDED
    settle(stack)
    undo(stack, first)
    assert ("KEPT_MEMBER", "sentry.user", "1") in kept(stack, first)
    undo(stack, second.id, caller=OPERATOR)
    assert kept(stack, second.id) == []
    undo(stack, first)
    assert kept(stack, first) == []
    assert stack.all_in("control", "SELECT id FROM user_account") == []


def test_what_a_deletion_would_take_along_keeps_a_row_too(stack: ImportStack) -> None:
    template = rows.row("sentry.projecttemplate", 1, name="web", organization=1, date_added=rows.TIME)
    counter = rows.row("sentry.counter", 1, project=1, value=7)
    templated = [row if row["model"] != "sentry.project" else rows.project(1, 1, "p", template=1) for row in FILE]
    done = _imported(stack, [*templated, template, counter])
    stack.change_in("region", "UPDATE project_counter SET value = 8")
    undo(stack, done)
    assert kept(stack, done) == [
        ("KEPT_CHANGED", "sentry.counter", "1"),
        ("KEPT_REFERRED", "sentry.project", "1"),
        ("KEPT_REFERRED", "sentry.projecttemplate", "1"),
        ("KEPT_REFERRED", "sentry.organization", "1"),
    ]
    assert stack.all_in("region", "SELECT value FROM project_counter") == [{"value": 8}]
