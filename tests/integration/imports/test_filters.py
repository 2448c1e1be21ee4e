"""Filters by name: who passes, who follows, and what is told of the others. Spec imports.md 7."""

import json
import uuid
from typing import Any

import pytest

from region_silo.imports import sieve
from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.options import ImportOptions
from shared import errors
from shared.importing.decisions import Counts
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.rows_of_files import row
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

# Two organizations with a user each, and one user who is in both.
_FILE = [
    *(rows.user(pk, f"user{pk}@example.com") for pk in (1, 2, 3, 4)),
    *(rows.email(pk, f"USER{pk}@example.com") for pk in (1, 2, 3, 4)),
    *(rows.user_email(pk, pk, f"user{pk}@example.com") for pk in (1, 2, 3, 4)),
    rows.organization(1, "mine"),
    rows.organization(2, "theirs"),
    rows.member(1, 1, 1, inviter_id=2),
    rows.member(2, 2, 2),
    rows.member(3, 1, 3),
    rows.member(4, 2, 3),
    rows.member(5, 1, None, email="invited@example.com"),
    rows.team(1, 1, "a"),
    rows.team(2, 2, "b"),
    rows.member_team(1, 1, 1),
    rows.member_team(2, 2, 2),
    rows.project(1, 1, "web"),
    rows.project(2, 2, "web"),
    rows.project_key(1, 1, "a" * 32, "b" * 32),
    rows.project_key(2, 2, "c" * 32, "d" * 32),
    row("sentry.rule", 1, project=1, label="followed by nobody", owner_user_id=None),
    row("sentry.rule", 2, project=1, label="of somebody who is left out", owner_user_id=2),
    row("sentry.rule", 3, project=1, label="of nobody who is known", owner_user_id=99),
    row("sentry.orgauthtoken", 1, organization_id=1, name="ci", token_hashed="1" * 64),
    row("sentry.orgauthtoken", 2, organization_id=2, name="ci", token_hashed="2" * 64),
]


def _options(*slugs: str) -> dict[str, Any]:
    return {"options": ImportOptions(organization_slugs=slugs)}


def _names(stack: ImportStack, silo: str, statement: str) -> list[str]:
    return sorted(str(next(iter(each.values()))) for each in stack.all_in(silo, statement))


def _left_out(stack: ImportStack, done: DataImport) -> dict[str, int]:
    found = stack.findings(done.id, "FILTERED_OUT")
    assert all((each.ordinal, each.pk, each.skipped) == (0, "", True) for each in found)
    return {each.model: int(each.reason.split()[0]) for each in found}


def _counts(stack: ImportStack, done: DataImport) -> dict[str, Counts]:
    return {total.model: counts for total, counts in stack.report(done.id).counts}


@pytest.mark.parametrize("rows_max", [1, 5000])
def test_a_wanted_organization_comes_with_its_members_and_everything_that_refers_to_it(
    stack: ImportStack, rows_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "_ROWS_A_TIME", rows_max)
    upload = stack.upload(json.dumps(_FILE).encode(), **_options("mine"))
    done = stack.run(upload.id, stack.runner(rows_max=rows_max), rounds_max=200)
    assert (done.state, done.done_count) == (State.SUCCEEDED, len(_FILE))
    assert _names(stack, "region", "SELECT slug FROM organization") == ["mine"]
    assert _names(stack, "control", "SELECT username FROM user_account") == ["user1@example.com", "user3@example.com"]
    assert _names(stack, "control", "SELECT lower(email) FROM email_address") == [
        "user1@example.com",
        "user3@example.com",
    ]
    assert _names(stack, "region", "SELECT COALESCE(email, '') FROM organization_member") == [
        "",
        "",
        "invited@example.com",
    ]
    assert _names(stack, "region", "SELECT slug FROM team") == ["a"]
    assert _names(stack, "region", "SELECT public_key FROM project_key") == ["a" * 32]
    assert [each["fields"]["label"] for each in stack.kept("sentry.rule")] == ["followed by nobody"]
    assert [each["fields"]["token_hashed"] for each in stack.kept("sentry.orgauthtoken", "control")] == ["1" * 64]
    assert _left_out(stack, done) == {
        "sentry.user": 2,
        "sentry.email": 2,
        "sentry.useremail": 2,
        "sentry.organization": 1,
        "sentry.organizationmember": 2,
        "sentry.team": 1,
        "sentry.organizationmemberteam": 1,
        "sentry.project": 1,
        "sentry.projectkey": 1,
        "sentry.rule": 1,
        "sentry.orgauthtoken": 1,
    }
    assert {(each.kind, each.model, each.pk) for each in stack.findings(done.id) if each.ordinal} == {
        ("NULLED_REFERENCE", "sentry.organizationmember", "1"),
        ("MISSING_REFERENCE", "sentry.rule", "3"),
    }
    assert _counts(stack, done)["sentry.user"] == Counts(inserted=2, skipped=2)
    assert _counts(stack, done)["sentry.rule"] == Counts(inserted=1, skipped=2)
    assert done.finding_count == len(stack.findings(done.id))


def test_an_empty_filter_lets_nothing_pass_and_none_everything(stack: ImportStack) -> None:
    file = [rows.user(1), rows.organization(1, "mine"), rows.team(1, 1, "a")]
    nothing = stack.do_import(file, **_options())
    assert [counts.skipped for counts in _counts(stack, nothing).values()] == [1, 1, 1]
    assert stack.all_in("region", "SELECT id FROM organization") == []
    assert stack.all_in("control", "SELECT id FROM user_account") == []
    everything = stack.do_import(file)
    assert [counts.inserted for counts in _counts(stack, everything).values()] == [1, 1, 1]


def test_a_name_that_the_file_does_not_hold_is_told_once(stack: ImportStack) -> None:
    done = stack.do_import([rows.organization(1, "mine")], **_options("Mine", "", "mine"))
    found = stack.findings(done.id)
    assert [(each.kind, each.model, each.field, each.skipped) for each in found] == [
        ("NOT_IN_FILE", "sentry.organization", "slug", False),
        ("NOT_IN_FILE", "sentry.organization", "slug", False),
    ]
    assert sorted(each.reason for each in found) == [
        'the file has no sentry.organization ""',
        'the file has no sentry.organization "Mine"',
    ]
    assert done.finding_count == 2


@pytest.mark.parametrize("scope", [Scope.USER, Scope.CONFIG])
def test_wanted_users_come_with_their_own_rows_in_any_order_of_the_file(stack: ImportStack, scope: Scope) -> None:
    file = [
        row("sentry.userpermission", 1, user=1, permission="users.admin"),
        row("sentry.userpermission", 2, user=2, permission="users.admin"),
        row("sentry.option", 1, key="mail.from", value="a@example.com"),
        rows.user_email(1, 1, "second@example.com"),
        rows.user_email(2, 2, "third@example.com"),
        rows.email(1, "USER1@example.com"),
        rows.email(2, "user2@example.com"),
        rows.user(2, "user2@example.com"),
        rows.user(1, "user1@example.com"),
    ]
    options = ImportOptions(usernames=("user1@example.com",))
    done = stack.do_import(file, scope=scope, caller=OPERATOR, options=options)
    assert _names(stack, "control", "SELECT username FROM user_account") == ["user1@example.com"]
    assert _names(stack, "control", "SELECT email FROM email_address") == ["USER1@example.com"]
    assert _names(stack, "control", "SELECT email FROM user_email") == ["second@example.com", "user1@example.com"]
    left_out = {"sentry.user": 1, "sentry.useremail": 1, "sentry.email": 1}
    if scope is Scope.CONFIG:
        left_out["sentry.userpermission"] = 1
        assert [each["fields"]["key"] for each in stack.kept("sentry.option")] == ["mail.from"]
    assert _left_out(stack, done) == left_out


def test_a_bad_row_is_told_although_a_filter_is_there(stack: ImportStack) -> None:
    file = [rows.organization(1, "mine"), {**rows.organization(2, "mine"), "pk": "bad"}, rows.team(1, 1, "a\0")]
    done = stack.do_import(file, continue_on_error=True, **_options("mine"))
    assert {(each.kind, each.model) for each in stack.findings(done.id)} == {
        ("INVALID_PK", "sentry.organization"),
        ("INVALID_VALUE", "sentry.team"),
    }


def test_what_filters_want_is_forgotten_with_the_import(stack: ImportStack) -> None:
    done = stack.do_import(_FILE, **_options("mine"))
    held = stack.all_in(
        "region", "SELECT model, wanted, count(*) AS rows FROM import_filter GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert {(each["model"], each["wanted"]): each["rows"] for each in held}["sentry.user", True] == 2
    assert done.filtered_at is not None


def test_another_filter_is_another_request(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    data = json.dumps(_FILE).encode()
    first = stack.upload(data, request_id=request_id, **_options("mine"))
    assert stack.upload(data, request_id=request_id, **_options("mine")).id == first.id
    with pytest.raises(errors.RequestIdReused):
        stack.upload(data, request_id=request_id, **_options("theirs"))
    assert stack.report(first.id, CALLER).data_import.options == ImportOptions(organization_slugs=("mine",))


def test_a_search_for_what_is_wanted_that_was_cut_short_begins_again_and_tells_once(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = sieve.Sieve._finish
    calls: list[int] = []

    def cut_short(self: sieve.Sieve, *given: Any) -> None:
        finish(self, *given)
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError

    monkeypatch.setattr(sieve.Sieve, "_finish", cut_short)
    done = stack.do_import(_FILE, **_options("mine", "absent"))
    assert (done.state, len(calls)) == (State.SUCCEEDED, 2)
    assert len(stack.findings(done.id, "NOT_IN_FILE")) == 1
    assert done.finding_count == len(stack.findings(done.id))
