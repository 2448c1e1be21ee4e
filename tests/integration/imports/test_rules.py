"""What becomes of single rows: each rule of the ten models, and each way in which a row can be bad."""

import json
from typing import Any

from region_silo.imports.domain import DataImport, Scope, State
from shared.importing.decisions import Counts
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR, ImportStack


def _kinds(stack: ImportStack, done: DataImport) -> list[tuple[str, str, str, str, bool]]:
    return [(each.kind, each.model, each.pk, each.field, each.skipped) for each in stack.findings(done.id)]


def _counts(stack: ImportStack, done: DataImport) -> dict[str, Counts]:
    return {total.model: counts for total, counts in stack.report(done.id).counts}


def test_bad_rows_are_findings_and_the_others_are_imported(stack: ImportStack) -> None:
    file: list[Any] = [
        rows.organization(1),
        {**rows.organization(2, "text-pk"), "pk": "2"},
        {**rows.organization(3, "big-pk"), "pk": 2**63},
        rows.organization(4, "nul\0"),
        rows.team(1, 1, "good"),
        rows.team(2, 99, "orphan"),
        rows.team(1, 1, "same-pk"),
        {"model": "sentry.nosuchmodel", "pk": 1, "fields": {}},
        {"model": "sentry.option", "pk": 7, "fields": {"key": "a", "value": "b"}},
        {"model": "sentry.environment", "pk": 8, "fields": {"name": "prod", "organization_id": 1}},
        {"nothing": "at all"},
        rows.project(1, 1, "flags", flags="no number"),
        rows.project(2, 1, "good"),
        rows.project(3, 1, "templated", template=5),
    ]
    done = stack.do_import(file, continue_on_error=True)
    assert done.state is State.SUCCEEDED
    assert done.done_count == len(file)
    assert set(_kinds(stack, done)) == {
        ("INVALID_PK", "sentry.organization", "", "pk", True),
        ("INVALID_VALUE", "sentry.organization", "4", "name", True),
        ("INVALID_VALUE", "sentry.organization", "4", "slug", True),
        ("MISSING_REFERENCE", "sentry.team", "2", "organization", True),
        ("REPEATED_PK", "sentry.team", "1", "pk", True),
        ("UNKNOWN_MODEL", "sentry.nosuchmodel", "1", "", True),
        ("OUT_OF_SCOPE", "sentry.option", "7", "", True),
        ("INVALID_OBJECT", "", "", "", True),
        ("INVALID_VALUE", "sentry.project", "1", "flags", True),
        ("MISSING_REFERENCE", "sentry.project", "3", "template", True),
    }
    assert [row["base_slug"] for row in stack.all_in("region", "SELECT base_slug FROM organization")] == ["acme"]
    assert [row["slug"] for row in stack.all_in("region", "SELECT slug FROM team")] == ["good"]
    assert [row["slug"] for row in stack.all_in("region", "SELECT slug FROM project")] == ["good"]


def test_a_pk_of_an_earlier_batch_costs_the_row_in_whatever_order_pks_come(stack: ImportStack) -> None:
    pks = (5, 9, 7, 6, 9, 1, 8)
    teams = [rows.team(pk, 1, f"team-{place}") for place, pk in enumerate(pks)]
    queued = stack.upload(json.dumps([rows.organization(1), *teams]).encode(), continue_on_error=True)
    done = stack.run(queued.id, stack.runner(rows_max=2))
    assert _kinds(stack, done) == [("REPEATED_PK", "sentry.team", "9", "pk", True)]
    slugs = stack.all_in("region", "SELECT slug FROM team ORDER BY slug")
    assert [row["slug"] for row in slugs] == [f"team-{place}" for place in (0, 1, 2, 3, 5, 6)]


def test_an_import_gives_users_no_power_and_touches_nobody_who_was_there(stack: ImportStack) -> None:
    stack.do_import([rows.user(1, "Owner@example.com", is_staff=False)])
    before = stack.all_in("control", "SELECT * FROM user_account")
    done = stack.do_import(
        [rows.user(5, "owner@EXAMPLE.com", is_staff=True, is_superuser=True, is_managed=True, is_unclaimed=False)]
    )
    after = stack.all_in("control", "SELECT * FROM user_account ORDER BY id")
    assert after[0] == before[0]
    imported = after[1]
    assert imported["username"].lower().startswith("owner@example.com-")
    assert [imported[name] for name in ("is_staff", "is_superuser", "is_managed")] == [False] * 3
    assert imported["is_unclaimed"]
    assert _counts(stack, done)["sentry.user"] == Counts(suffixed=1)
    assert [each.kind for each in stack.findings(done.id)] == ["SUFFIXED"]


def test_the_longest_username_keeps_its_length_when_suffixed(stack: ImportStack) -> None:
    name = "x" * 128
    stack.do_import([rows.user(1, name), rows.user(2, name)])
    names = [row["username"] for row in stack.all_in("control", "SELECT username FROM user_account ORDER BY id")]
    assert len(names) == 2
    assert all(len(each) == 128 for each in names)


def test_addresses_merge_ignoring_case_and_a_users_own_is_written_once(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.user(1, "a@example.com"),
            rows.user(2, "nameless", email=""),
            rows.email(11, "A@example.com"),
            rows.email(12, "new@example.com"),
            rows.email(13, "NEW@example.com"),
            rows.user_email(21, 1, "a@example.com"),
            rows.user_email(22, 1, "second@example.com"),
            rows.user_email(23, 1, "SECOND@example.com"),
            rows.user_email(24, 9, "nobody@example.com"),
        ]
    )
    counts = _counts(stack, done)
    assert counts["sentry.email"] == Counts(inserted=2, merged=1)
    assert counts["sentry.useremail"] == Counts(inserted=2, skipped=2)
    new = {row["old_pk"]: row["new_pk"] for row in stack.ledger(done.id) if row["model"] == "sentry.email"}
    assert new[12] == new[13]
    addresses = stack.all_in(
        "control", "SELECT u.username, e.* FROM user_email e JOIN user_account u ON u.id = e.user_id"
    )
    assert sorted((row["username"], row["email"]) for row in addresses) == [
        ("a@example.com", "a@example.com"),
        ("a@example.com", "second@example.com"),
    ]
    assert not any(row["is_verified"] for row in addresses)
    assert not any(row["validation_hash"] == "x" * 32 for row in addresses)
    assert {each.kind for each in stack.findings(done.id)} == {"NOT_UNIQUE", "MISSING_REFERENCE"}


def test_an_inviter_who_was_not_imported_is_nulled_and_a_member_who_was_not_costs_the_row(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.organization(1),
            rows.user(1),
            rows.member(1, 1, 1, inviter_id=99),
            rows.member(2, 1, 98),
            rows.member(3, 1, None, email="invited@example.com", inviter_id=1),
            rows.member(4, 1, 1),
            rows.member(5, 1, None, email="invited@example.com"),
        ]
    )
    assert _kinds(stack, done) == [
        ("NULLED_REFERENCE", "sentry.organizationmember", "1", "inviter_id", False),
        ("MISSING_REFERENCE", "sentry.organizationmember", "2", "user_id", True),
        ("NOT_UNIQUE", "sentry.organizationmember", "4", "user_id", True),
        ("NOT_UNIQUE", "sentry.organizationmember", "5", "email", True),
    ]
    members = stack.all_in("region", "SELECT * FROM organization_member ORDER BY id")
    assert [row["inviter_id"] for row in members] == [None, members[0]["user_id"]]


def test_a_taken_token_is_cleared_with_its_expiry(stack: ImportStack) -> None:
    file = [
        rows.organization(1),
        *(
            rows.member(pk, 1, None, email=f"{pk}@example.com", token="t" * 64, token_expires_at=rows.TIME)
            for pk in (1, 2)
        ),
    ]
    first, second = stack.do_import(file), stack.do_import(file)
    members = stack.all_in("region", "SELECT token, token_expires_at FROM organization_member ORDER BY id")
    assert [row["token"] for row in members] == ["t" * 64, None, None, None]
    assert [row["token_expires_at"] is None for row in members] == [False, True, True, True]
    assert [each.pk for each in stack.findings(first.id, "TOKEN_CLEARED")] == ["2"]
    assert [each.pk for each in stack.findings(second.id, "TOKEN_CLEARED")] == ["1", "2"]


def test_repeated_slugs_get_a_suffix_within_their_organization_only(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.organization(1),
            rows.organization(2, "other"),
            rows.project(1, 1, "web"),
            rows.project(2, 1, "web"),
            rows.project(3, 2, "web"),
            {**rows.project(4, 1, ""), "fields": {**rows.project(4, 1, "")["fields"], "name": "Nice Name"}},
        ]
    )
    slugs = [row["slug"] for row in stack.all_in("region", "SELECT slug FROM project ORDER BY id")]
    assert slugs[0] == slugs[2] == "web"
    assert slugs[1].startswith("web-")
    assert slugs[3] == "nice-name"
    assert _counts(stack, done)["sentry.project"] == Counts(inserted=3, suffixed=1)
    assert [(each.kind, each.pk) for each in stack.findings(done.id)] == [("SUFFIXED", "2")]


def test_all_keys_of_a_project_are_kept_and_taken_ones_replaced(stack: ImportStack) -> None:
    file = [
        rows.organization(1),
        rows.project(1, 1, "web"),
        rows.project_key(1, 1, "a" * 32, "b" * 32),
        rows.project_key(2, 1, "a" * 32, "c" * 32),
        rows.project_key(3, 1, None, ""),
    ]
    done = stack.do_import(file)
    keys = stack.all_in("region", "SELECT public_key, secret_key FROM project_key ORDER BY id")
    assert keys[0] == {"public_key": "a" * 32, "secret_key": "b" * 32}
    assert keys[1]["secret_key"] == "c" * 32
    assert len({key for row in keys for key in row.values()}) == 6
    assert all(len(key) == 32 for row in keys for key in row.values())
    assert [(each.pk, each.field) for each in stack.findings(done.id, "KEY_REPLACED")] == [
        ("2", "public_key"),
        ("3", "public_key"),
        ("3", "secret_key"),
    ]


def test_rows_that_join_two_organizations_are_refused(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.organization(1),
            rows.organization(2, "other"),
            rows.team(1, 1, "mine"),
            rows.team(2, 2, "theirs"),
            rows.project(1, 1, "web"),
            rows.project_team(1, 1, 1),
            rows.project_team(2, 1, 2),
        ]
    )
    assert _kinds(stack, done) == [("FOREIGN_REFERENCE", "sentry.projectteam", "2", "team", True)]


def test_user_scope_takes_users_only(stack: ImportStack) -> None:
    upload = stack.upload(json.dumps([rows.user(1), rows.organization(1)]).encode(), scope=Scope.USER, caller=OPERATOR)
    done = stack.run(upload.id)
    assert done.state is State.SUCCEEDED
    assert _kinds(stack, done) == [("OUT_OF_SCOPE", "sentry.organization", "1", "", True)]
    assert len(stack.all_in("control", "SELECT id FROM user_account")) == 1


def test_rows_of_a_model_may_stand_anywhere_in_the_file(stack: ImportStack) -> None:
    file = [
        rows.project_key(1, 1, "a" * 32, "b" * 32),
        rows.project(1, 1, "web"),
        rows.user(2),
        rows.member(1, 1, 2),
        rows.organization(1),
        rows.user(1),
        rows.member(2, 1, 1),
    ]
    done = stack.do_import(file)
    assert done.finding_count == 0
    assert sum(counts.inserted for counts in _counts(stack, done).values()) == len(file)


def test_an_empty_file_is_imported(stack: ImportStack) -> None:
    done = stack.do_import([])
    assert (done.state, done.object_count, done.models) == (State.SUCCEEDED, 0, ())
