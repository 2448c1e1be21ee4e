"""What an export's file looks like, and that it holds what was imported."""

import json
import re
from typing import Any

from region_silo.exports.domain import Scope
from shared.importing.registry import models
from tests.integration.exports.stack import ExportStack, by_model, values
from tests.integration.imports import rows_of_files as rows


def small_file() -> list[dict[str, Any]]:
    return [
        rows.user(1, "ada@example.com", flags="5", last_login="2023-06-22T22:59:55.000Z"),
        rows.user(2, "bob@example.com"),
        rows.email(1, "ada@example.com"),
        rows.user_email(1, 1, "ada@example.com"),
        rows.organization(1),
        rows.member(1, 1, 1, role="owner"),
        rows.member(2, 1, 2, inviter_id=1),
        rows.team(1, 1, "red"),
        rows.member_team(1, 1, 1),
        rows.project(1, 1, "web", flags="18446744073709551"),
        rows.project_team(1, 1, 1),
        {**rows.project_key(1, 1, "a" * 32, "b" * 32)},
    ]


def test_nothing_to_export_is_an_empty_array(stack: ExportStack) -> None:
    for scope in Scope:
        assert stack.build(scope) == b"[]\n"


def test_a_file_has_one_object_a_line_models_in_order_of_references_and_rows_by_pk(stack: ExportStack) -> None:
    stack.import_all(small_file())
    lines = stack.build(Scope.GLOBAL).decode().splitlines()
    assert (lines[0], lines[-1]) == ("[", "]")
    objects = [json.loads(line.removesuffix(",")) for line in lines[1:-1]]
    assert all(list(each) == ["model", "pk", "fields"] for each in objects)
    places = [(models()[each["model"]].order, each["pk"]) for each in objects]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


def test_the_same_rows_are_the_same_bytes(stack: ExportStack) -> None:
    stack.import_all(small_file())
    assert stack.build() == stack.build()


def test_values_have_the_forms_of_exports(stack: ExportStack) -> None:
    stack.import_all(small_file())
    found = by_model(stack.export())
    ada = next(each["fields"] for each in found["sentry.user"] if each["fields"]["username"] == "ada@example.com")
    assert (ada["flags"], ada["last_login"]) == ("5", "2023-06-22T22:59:55.000Z")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ada["last_password_change"])
    (project,) = found["sentry.project"]
    assert project["fields"]["flags"] == "18446744073709551"
    (key,) = found["sentry.projectkey"]
    assert (key["fields"]["data"], key["fields"]["roles"]) == ({}, "1")


def test_references_stand_under_the_names_of_fields(stack: ExportStack) -> None:
    stack.import_all(small_file())
    found = by_model(stack.export())
    (organization,), (team,), (project,) = found["sentry.organization"], found["sentry.team"], found["sentry.project"]
    users = {row["fields"]["username"]: row["pk"] for row in found["sentry.user"]}
    members = {row["fields"]["user_id"]: row for row in found["sentry.organizationmember"]}
    assert members[users["bob@example.com"]]["fields"]["inviter_id"] == users["ada@example.com"]
    assert {row["fields"]["organization"] for row in members.values()} == {organization["pk"]}
    (link,) = found["sentry.organizationmemberteam"]
    assert link["fields"]["organizationmember"] == members[users["ada@example.com"]]["pk"]
    assert link["fields"]["team"] == team["pk"]
    assert found["sentry.projectteam"][0]["fields"] == {"project": project["pk"], "team": team["pk"]}
    assert organization["fields"]["slug"] == "acme"


def test_text_of_any_kind_comes_back_as_it_was(stack: ExportStack) -> None:
    name = 'a "quoted" \\ back\nslash \u2028 \U0001f600 \x7f </script>'
    stack.import_all([rows.organization(1), {**rows.team(1, 1, "red"), "fields": {**_team_fields(), "name": name}}])
    assert values(stack.export(), "sentry.team", "name") == [name]


def test_what_is_exported_can_be_imported_and_is_exported_alike(stack: ExportStack) -> None:
    stack.import_all(small_file())
    first = stack.export()
    stack.import_all(first)
    again = stack.export(slugs=(stack.value("region", "SELECT slug FROM organization ORDER BY id DESC LIMIT 1"),))
    assert {model: len(each) for model, each in by_model(again).items()} == {
        model: len(each) for model, each in by_model(first).items()
    }
    assert values(again, "sentry.team", "slug") == ["red"]
    assert values(again, "sentry.project", "name") == values(first, "sentry.project", "name")


def _team_fields() -> dict[str, Any]:
    fields: dict[str, Any] = rows.team(1, 1, "red")["fields"]
    return fields
