"""The rules for the rows of control's models: spec imports.md 5 and 10."""

import base64
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.importing.handover import HandedAnswer, HandedBatch, KnownRow
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.rows_of_files import TIME, Row
from tests.integration.imports.stack import ImportStack
from tests.unit.importing.rows_of import handed_row

USER, ORGANIZATION, CONFIG, GLOBAL = map(Terms, ImportScope)
MERGING = Terms(ImportScope.ORGANIZATION, merge_users=True)
OVERWRITING = Terms(ImportScope.CONFIG, overwrite_configs=True)


class Run:
    """One import on some terms, handed over model by model."""

    def __init__(self, stack: ImportStack, terms: Terms) -> None:
        self.stack, self.terms = stack, terms
        self.id = stack.ids["us"].take(1)[0]

    def write(self, *given: Row, known: dict[str, dict[int, int]] | None = None) -> HandedAnswer:
        """Rows of one model."""
        handed = [handed_row(place, json.dumps(row).encode()) for place, row in enumerate(given, 1)]
        referred = [KnownRow(model, old, new) for model, pks in (known or {}).items() for old, new in pks.items()]
        batch = HandedBatch(self.id, "tokens/8", self.terms, given[0]["model"], handed, referred)
        return self.stack.model_imports.import_batch("us", batch)

    def kept(self, *given: Row, **how: Any) -> list[dict[str, Any]]:
        """The kept rows that came of rows of one model, with their fields."""
        answer = self.write(*given, **how)
        return [self.row(row.new_pk) for row in answer.rows]

    def row(self, pk: int) -> dict[str, Any]:
        (found,) = self.stack.all_in("control", "SELECT * FROM kept_row WHERE id = :pk", pk=pk)
        return found


@pytest.fixture
def run(stack: ImportStack) -> Callable[[Terms], Run]:
    stack.scopes["tokens/8"] = frozenset({"silo:operate", "import:write"})
    return lambda terms: Run(stack, terms)


Runs = Callable[[Terms], Run]


def _row(model: str, pk: int, **fields: Any) -> Row:
    return {"model": model, "pk": pk, "fields": fields}


def _kinds(answer: HandedAnswer) -> list[tuple[str, str]]:
    return [(each.kind, each.field) for each in answer.findings]


def _users(stack: ImportStack) -> list[dict[str, Any]]:
    return stack.all_in("control", "SELECT * FROM user_account ORDER BY id")


@pytest.mark.parametrize("terms", [USER, ORGANIZATION, CONFIG, GLOBAL], ids=lambda terms: terms.scope.name)
def test_power_over_the_installation_comes_only_with_its_configuration(
    stack: ImportStack, run: Runs, terms: Terms
) -> None:
    run(terms).write(rows.user(1, is_staff=True, is_superuser=True, is_managed=True))
    (user,) = _users(stack)
    powers = {user["is_staff"], user["is_superuser"], user["is_managed"]}
    assert powers == {terms.scope in (ImportScope.CONFIG, ImportScope.GLOBAL)}


@pytest.mark.parametrize("terms", [USER, ORGANIZATION, CONFIG], ids=lambda terms: terms.scope.name)
def test_a_password_comes_only_with_the_whole_installation(stack: ImportStack, run: Runs, terms: Terms) -> None:
    run(terms).write(rows.user(1, last_password_change=TIME, is_password_expired=True))
    (user,) = _users(stack)
    assert re.fullmatch(r"sha256\$[A-Za-z0-9]{12}\$[0-9a-f]{64}", user["password"])
    assert (user["is_unclaimed"], user["is_password_expired"]) == (True, False)
    assert stack.clock.now() - user["last_password_change"] < timedelta(seconds=5)


def test_in_global_scope_a_password_is_kept_unless_its_user_is_unclaimed(stack: ImportStack, run: Runs) -> None:
    run(GLOBAL).write(
        rows.user(1, last_password_change=TIME, is_password_expired=True), rows.user(2, is_unclaimed=True)
    )
    claimed, unclaimed = _users(stack)
    assert (claimed["password"], claimed["is_unclaimed"], claimed["is_password_expired"]) == ("md5$a$b", False, True)
    assert claimed["last_password_change"].isoformat() == "2023-06-22T22:59:55.521000+00:00"
    assert unclaimed["password"].startswith("sha256$")
    assert unclaimed["is_unclaimed"]


def test_a_username_in_other_letters_is_taken_and_gets_a_suffix(stack: ImportStack, run: Runs) -> None:
    run(ORGANIZATION).write(rows.user(1, "owner@example.com"))
    answer = run(ORGANIZATION).write(rows.user(1, "Owner@Example.com"))
    assert _kinds(answer) == [("SUFFIXED", "username")]
    assert re.fullmatch("Owner@Example.com-[a-z0-9]{2,12}", _users(stack)[1]["username"])


def test_merge_users_uses_the_user_that_is_there_and_drops_what_would_change_it(stack: ImportStack, run: Runs) -> None:
    run(ORGANIZATION).write(rows.user(1, "owner@example.com"))
    before = stack.all_in("control", "SELECT * FROM user_account, user_email")
    merging = run(Terms(ImportScope.GLOBAL, merge_users=True))
    answer = merging.write(rows.user(5, "OWNER@example.com", name="Evil", is_superuser=True), rows.user(6))
    assert [(row.old_pk, row.decision) for row in answer.rows] == [(5, 2), (6, 1)]
    assert answer.rows[0].new_pk == before[0]["user_id"]
    dropped = [
        rows.user_email(1, 5, "evil@example.com"),
        _row("sentry.userip", 1, user=5, ip_address="10.0.0.1", first_seen=TIME, last_seen=TIME),
        _row("sentry.userpermission", 1, user=5, permission="users.admin"),
        _row("sentry.useroption", 1, user=5, key="theme", value="dark", organization_id=None, project_id=None),
    ]
    for row in dropped:
        other = {**row, "pk": 2, "fields": {**row["fields"], "user": 6}}
        answer = merging.write(row, other)
        assert _kinds(answer) == [("EXISTING_USER", "user")]
        assert [each.old_pk for each in answer.rows] == [2]
    of_owner = "SELECT * FROM user_account u JOIN user_email e ON e.user_id = u.id WHERE u.id = :id"
    assert len(stack.all_in("control", of_owner, id=before[0]["user_id"])) == 1
    assert stack.all_in("control", "SELECT * FROM user_account ORDER BY id LIMIT 1")[0]["name"] == "User 1"


def test_an_address_is_as_verified_as_it_was_only_in_global_scope(stack: ImportStack, run: Runs) -> None:
    for terms in (ORGANIZATION, GLOBAL):
        importing = run(terms)
        importing.write(rows.user(1, f"{terms.scope.name}@example.com"))
        importing.write(rows.user_email(1, 1, "second@example.com"))
    found = stack.all_in("control", "SELECT * FROM user_email WHERE email LIKE 'second%' ORDER BY id")
    assert [row["is_verified"] for row in found] == [False, True]
    assert found[0]["validation_hash"] != "x" * 32 == found[1]["validation_hash"]
    assert found[1]["date_hash_added"].isoformat() == "2023-06-22T22:59:55.521000+00:00"


def test_an_ip_is_checked_kept_once_and_its_country_is_not_taken_over(run: Runs) -> None:
    importing = run(GLOBAL)
    importing.write(rows.user(1))
    times = {"first_seen": TIME, "last_seen": TIME, "country_code": "US", "region_code": "CA"}
    given = [
        _row("sentry.userip", pk, user=1, ip_address=ip, **times)
        for pk, ip in enumerate(("127.0.0.2", "nowhere", "127.0.0.2", "2001:DB8::1"), 1)
    ]
    answer = importing.write(*given)
    assert _kinds(answer) == [("INVALID_VALUE", "ip_address"), ("NOT_UNIQUE", "user")]
    kept = [importing.row(row.new_pk)["fields"] for row in answer.rows]
    assert [fields["ip_address"] for fields in kept] == ["127.0.0.2", "2001:db8::1"]
    assert all((fields["country_code"], fields["region_code"]) == (None, None) for fields in kept)
    assert kept[0]["first_seen"] == TIME


@pytest.mark.parametrize(
    ("key", "value", "is_good"),
    [
        ("timezone", "Europe/Vienna", True),
        ("timezone", '"Europe/Vienna"', True),
        ("timezone", "Middle/Earth", False),
        ("timezone", 5, False),
        ("language", "de-at", True),
        ("language", "not a language", False),
        ("theme", "neon", False),
        ("clock24Hours", True, True),
        ("clock_24_hours", "maybe", False),
        ("stacktraceOrder", 2, True),
        ("stacktrace_order", [], False),
        ("defaultIssueEvent", "latest", True),
        ("defaultIssueEvent", "best", False),
        ("something else", {"any": ["thing"]}, True),
    ],
)
def test_a_users_options_are_what_the_settings_allow(run: Runs, key: str, value: Any, is_good: bool) -> None:
    importing = run(USER)
    importing.write(rows.user(1))
    answer = importing.write(
        _row("sentry.useroption", 1, user=1, key=key, value=value, organization_id=None, project_id=None)
    )
    assert _kinds(answer) == ([] if is_good else [("INVALID_VALUE", "value")])
    assert len(answer.rows) == is_good


def test_a_users_option_for_everything_stands_once(run: Runs) -> None:
    importing = run(USER)
    importing.write(rows.user(1))
    option = {"user": 1, "key": "theme", "value": "dark", "organization_id": None, "project_id": None}
    answer = importing.write(_row("sentry.useroption", 1, **option), _row("sentry.useroption", 2, **option))
    assert [row.old_pk for row in answer.rows] == [1]
    assert _kinds(answer) == [("NOT_UNIQUE", "user")]


@pytest.mark.parametrize(
    ("model", "fields", "other"),
    [
        ("sentry.controloption", {"key": "mail.from", "value": "a"}, {"value": "b"}),
        ("sentry.userrole", {"name": "Admin", "permissions": ["a"]}, {"permissions": ["b"]}),
    ],
)
def test_configuration_that_is_there_stays_or_is_overwritten(
    stack: ImportStack, run: Runs, model: str, fields: Row, other: Row
) -> None:
    (first,) = run(CONFIG).kept(_row(model, 1, **fields))
    kept = run(CONFIG).write(_row(model, 7, **fields, date_added=TIME) | {"fields": {**fields, **other}})
    assert [(row.new_pk, row.decision) for row in kept.rows] == [(first["id"], 2)]
    overwriting = run(OVERWRITING)
    answer = overwriting.write({**_row(model, 8), "fields": {**fields, **other}})
    assert [(row.new_pk, row.decision) for row in answer.rows] == [(first["id"], 3)]
    assert overwriting.row(first["id"])["fields"] == {**fields, **other}
    (image,) = stack.all_in("control", "SELECT * FROM import_before_image")
    assert (image["import_id"], image["model"], image["pk"]) == (overwriting.id, model, first["id"])
    assert image["image"]["fields"] == fields


def test_options_that_an_installation_knows_itself_by_are_left_out(run: Runs) -> None:
    answer = run(OVERWRITING).write(
        _row("sentry.controloption", 1, key="sentry:install-id", value='"x"'),
        _row("sentry.controloption", 2, key="good", value=5),
    )
    assert _kinds(answer) == [("EXCLUDED_OPTION", "key")]
    assert [row.old_pk for row in answer.rows] == [2]


def test_tokens_of_applications_belong_to_global_scope_and_others_to_configuration(run: Runs) -> None:
    for terms, expected in ((CONFIG, [1]), (GLOBAL, [1, 2])):
        importing = run(terms)
        importing.write(rows.user(1, f"{terms.scope.name}@example.com"))
        if terms is GLOBAL:
            importing.write(_row("sentry.apiapplication", 5, client_id="c" * 64, client_secret="s", owner=None))
        given = [
            _row("sentry.apitoken", pk, user=1, token=f"{terms.scope.name}{pk}", application=application)
            for pk, application in ((1, None), (2, 5))
        ]
        answer = importing.write(*given)
        assert [row.old_pk for row in answer.rows] == expected
        assert _kinds(answer) == ([] if terms is GLOBAL else [("OUT_OF_SCOPE", "")])


def test_a_token_that_is_taken_is_a_new_one_in_all_its_parts(run: Runs) -> None:
    token = {
        "user": 1,
        "token": "sntryu_" + "a" * 64,
        "refresh_token": "b" * 64,
        "hashed_token": "c" * 64,
        "hashed_refresh_token": "d" * 64,
        "token_last_characters": "aaaa",
        "token_type": "sntryu_",
        "expires_at": TIME,
        "name": "mine",
        "scope_list": "['org:ci']",
    }
    found = []
    for username in ("one", "two"):
        importing = run(CONFIG)
        importing.write(rows.user(1, username))
        found += importing.kept(_row("sentry.apitoken", 1, **token))
    first, second = (each["fields"] for each in found)
    assert first["token"] == token["token"]
    assert (first["scope_list"], second["scope_list"]) == (["org:ci"], ["org:ci"])
    assert re.fullmatch("sntryu_[0-9a-f]{64}", second["token"])
    assert second["token_last_characters"] == second["token"][-4:]
    changed = {"token", "refresh_token", "hashed_token", "hashed_refresh_token", "expires_at"}
    assert all(first[field] != second[field] for field in changed)
    assert second["expires_at"] > TIME
    assert second["name"] == "mine"
    assert [found[0][f"key_{n}"] != found[1][f"key_{n}"] for n in (1, 2, 3, 4)] == [True] * 4


def test_a_token_without_an_end_or_a_refresh_token_gets_none(run: Runs) -> None:
    for username in ("one", "two"):
        importing = run(CONFIG)
        importing.write(rows.user(1, username))
        answer = importing.write(
            _row("sentry.apitoken", 1, user=1, token="t" * 64, refresh_token=None, expires_at=None)
        )
    assert _kinds(answer)[0][0] == "KEY_REPLACED"
    fields = importing.row(answer.rows[0].new_pk)["fields"]
    assert (fields["refresh_token"], fields["expires_at"]) == (None, None)
    assert fields["token"] != "t" * 64


@pytest.mark.parametrize(
    ("model", "fields", "shape"),
    [
        ("sentry.apiapplication", {"client_id": "a" * 64}, "[0-9a-f]{64}"),
        ("sentry.apikey", {"key": "b" * 32}, "[0-9a-f]{32}"),
        ("sentry.sentryapp", {"slug": "my-app"}, "my-app-[a-z0-9]{7}"),
    ],
)
def test_a_unique_value_that_is_taken_is_replaced_in_its_shape(
    stack: ImportStack, run: Runs, model: str, fields: Row, shape: str
) -> None:
    (field,) = fields
    organization = stack.ids["us"].take(1)[0]
    reference = {"sentry.apikey": "organization_id", "sentry.sentryapp": "owner_id"}.get(model)
    given = {**fields, **({reference: 9} if reference else {})}
    known = {"sentry.organization": {9: organization}}
    (first,) = run(GLOBAL).kept(_row(model, 1, **given), known=known)
    (second,) = run(GLOBAL).kept(_row(model, 1, **given), known=known)
    assert first["fields"][field] == fields[field]
    assert re.fullmatch(shape, second["fields"][field])
    assert (first["organization_id"], second["organization_id"]) == ((organization,) * 2 if reference else (None,) * 2)


def test_an_organizations_token_that_is_missing_or_taken_is_made_up(stack: ImportStack, run: Runs) -> None:
    known = {"sentry.organization": {9: stack.ids["us"].take(1)[0]}}
    given = [
        _row("sentry.orgauthtoken", pk, organization_id=9, name="ci", token_hashed=hashed, scope_list=["org:ci"])
        for pk, hashed in ((1, "x" * 64), (2, "x" * 64), (3, None))
    ]
    importing = run(ORGANIZATION)
    answer = importing.write(*given, known=known)
    assert [kind for kind, _ in _kinds(answer)] == ["KEY_REPLACED"] * 2
    hashes = [importing.row(row.new_pk)["fields"]["token_hashed"] for row in answer.rows]
    assert hashes[0] == "x" * 64
    assert all(re.fullmatch("[0-9a-f]{64}", hashed) for hashed in hashes[1:])
    assert len(set(hashes)) == 3


def test_the_same_account_at_a_provider_is_used(run: Runs) -> None:
    account = {"provider": "slack", "external_id": "T1", "name": "Slack", "metadata": {"a": 1}}
    (first,) = run(GLOBAL).kept(_row("sentry.integration", 1, **account))
    answer = run(GLOBAL).write(_row("sentry.integration", 4, **{**account, "name": "Other"}))
    assert [(row.new_pk, row.decision) for row in answer.rows] == [(first["id"], 2)]


def test_an_imported_token_opens_nothing(stack: ImportStack, run: Runs) -> None:
    importing = run(CONFIG)
    importing.write(rows.user(1))
    before = stack.all_in("control", "SELECT * FROM token ORDER BY id")
    secret = "siloway_" + base64.urlsafe_b64encode(b"0" * 32).decode().rstrip("=")
    importing.write(_row("sentry.apitoken", 1, user=1, token=secret, scope_list=["silo:operate"]))
    assert stack.all_in("control", "SELECT * FROM token ORDER BY id") == before
