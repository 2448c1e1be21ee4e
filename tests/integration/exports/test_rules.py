"""What goes into an export and what does not: scopes, filters, closure; one by one."""

from typing import Any

import pytest

from region_silo.exports.domain import Scope
from shared.importing.registry import ImportScope, models
from tests.integration.exports.stack import ExportStack, by_model, values
from tests.integration.imports import rows_of_files as rows

Row = dict[str, Any]


def kept(model: str, pk: int, **fields: Any) -> Row:
    return {"model": model, "pk": pk, "fields": fields}


def two_organizations() -> list[Row]:
    """Ada is in acme, bob in umbrella, eve in none."""
    return [
        *(rows.user(pk, name) for pk, name in ((1, "ada"), (2, "bob"), (3, "eve"))),
        *(rows.user_email(pk, pk, f"{pk}@example.com") for pk in (1, 2, 3)),
        rows.organization(1, "acme"),
        rows.organization(2, "umbrella"),
        rows.member(1, 1, 1),
        rows.member(2, 2, 2, inviter_id=1),
        rows.member(3, 2, None, email="new@example.com"),
        *(rows.team(pk, pk, f"team{pk}") for pk in (1, 2)),
        *(rows.project(pk, pk, f"web{pk}") for pk in (1, 2)),
        kept("sentry.projectoption", 1, project=1, key="a", value=1),
        kept("sentry.projectoption", 2, project=2, key="a", value=2),
        kept("sentry.useroption", 1, user=1, key="theme", value="dark", organization_id=None, project_id=None),
        kept("sentry.useroption", 2, user=1, key="mail", value="1", organization_id=1, project_id=None),
        kept("sentry.useroption", 3, user=1, key="mail", value="2", organization_id=2, project_id=None),
        kept("sentry.useroption", 4, user=1, key="seen", value="3", organization_id=None, project_id=2),
    ]


@pytest.mark.parametrize("scope", list(Scope), ids=lambda scope: scope.name)
def test_a_scope_takes_its_models_and_no_others(stack: ExportStack, scope: Scope) -> None:
    stack.import_all(two_organizations())
    found = {row["model"] for row in stack.export(scope)}
    assert found <= {name for name, model in models().items() if model.in_scope(scope.takes)}
    if scope in (Scope.ORGANIZATION, Scope.GLOBAL):
        assert {"sentry.user", "sentry.organization", "sentry.projectoption"} <= found


def test_scopes_are_those_of_imports() -> None:
    assert [scope.takes for scope in Scope] == [
        ImportScope.USER,
        ImportScope.ORGANIZATION,
        ImportScope.CONFIG,
        ImportScope.GLOBAL,
    ]


def test_organizations_by_slug_go_with_their_members_users_alone(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    found = stack.export(slugs=("acme",))
    assert values(found, "sentry.organization", "slug") == ["acme"]
    assert values(found, "sentry.user", "username") == ["ada"]
    assert values(found, "sentry.useremail", "email") == ["1@example.com", "ada"]
    assert "ada" in values(found, "sentry.email", "email")
    assert not {"bob", "eve"} & set(values(found, "sentry.email", "email"))
    assert values(found, "sentry.team", "slug") == ["team1"]
    assert values(found, "sentry.projectoption", "value") == [1]
    options = {row["fields"]["key"]: row["fields"]["value"] for row in by_model(found)["sentry.useroption"]}
    assert options == {"theme": "dark", "mail": "1"}, "nothing about another organization"


def test_an_inviter_who_does_not_go_is_nulled_and_the_member_stays(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    members = by_model(stack.export(slugs=("umbrella",)))["sentry.organizationmember"]
    assert [row["fields"]["inviter_id"] for row in members] == [None, None]
    everybody = by_model(stack.export())["sentry.organizationmember"]
    assert [row["fields"]["inviter_id"] is None for row in everybody] == [True, False, True]


def test_a_filter_without_values_lets_nothing_pass_and_no_filter_everything(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    assert stack.export(slugs=()) == []
    assert stack.export(Scope.USER, usernames=()) == []
    assert values(stack.export(), "sentry.user", "username") == ["ada", "bob", "eve"]
    assert stack.export(slugs=("nobody-has-this",)) == []


def test_users_by_name_go_with_what_is_theirs(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    found = stack.export(Scope.USER, usernames=("ada", "nobody", "BOB"))
    assert {row["model"] for row in found} == {"sentry.user", "sentry.email", "sentry.useremail", "sentry.useroption"}
    assert values(found, "sentry.user", "username") == ["ada"]
    assert values(found, "sentry.useroption", "key") == ["theme"], "organizations do not go in this scope"


def test_a_config_export_holds_the_privileged_users_alone(stack: ExportStack) -> None:
    stack.import_all([*two_organizations(), rows.user(4, "zoe"), rows.user(5, "yan")])
    pks = {
        row["username"]: row["id"] for row in stack.imports.all_in("control", "SELECT id, username FROM user_account")
    }
    stack.imports.change_in("control", "UPDATE user_account SET is_staff = true WHERE username = 'ada'")
    stack.imports.change_in("control", "UPDATE user_account SET is_superuser = true WHERE username = 'bob'")
    for model, user, more in (("userpermission", "zoe", {}), ("userroleuser", "yan", {"role": 1})):
        stack.keep("control", f"sentry.{model}", {"user": pks[user], **more})
    found = stack.export(Scope.CONFIG)
    assert values(found, "sentry.user", "username") == ["ada", "bob", "zoe", "yan"]
    assert "sentry.userroleuser" not in by_model(found), "its role does not go"
    assert "sentry.userpermission" in by_model(found)


def test_some_options_never_go(stack: ExportStack) -> None:
    never = ("sentry:install-id", "sentry:latest_version", "sentry:last_worker_ping", "sentry:last_worker_version")
    for silo, model in (("region", "sentry.option"), ("control", "sentry.controloption")):
        for key in (*never, "mail.from"):
            stack.keep(silo, model, {}, {"key": key, "value": 1})
    for scope in (Scope.CONFIG, Scope.GLOBAL):
        found = stack.export(scope)
        assert [(row["model"], row["fields"]["key"]) for row in found] == [
            ("sentry.controloption", "mail.from"),
            ("sentry.option", "mail.from"),
        ]


def test_a_row_with_a_nullable_reference_to_what_does_not_go_does_not_go_either(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    project = stack.value("region", "SELECT id FROM project WHERE slug = 'web1'")
    organization = stack.value("region", "SELECT id FROM organization WHERE slug = 'acme'")
    stranger = stack.value("control", "SELECT id FROM user_account WHERE username = 'eve'")
    rule = {"project": project, "environment_id": None, "owner_team": None}
    stack.keep("region", "sentry.rule", {**rule, "owner_user_id": None}, {"label": "kept"}, organization)
    stack.keep("region", "sentry.rule", {**rule, "owner_user_id": stranger}, {"label": "dropped"}, organization)
    gone = stack.value("region", "SELECT max(id) FROM kept_row WHERE model = 'sentry.rule'")
    stack.keep("region", "sentry.ruleactivity", {"rule": gone, "user_id": None}, {"type": 1}, organization)
    found = stack.export(slugs=("acme",))
    assert values(found, "sentry.rule", "label") == ["kept"]
    assert "sentry.ruleactivity" not in by_model(found), "what hangs on it does not go either"
    assert len(by_model(stack.export(Scope.GLOBAL))["sentry.rule"]) == 2, "global is everything"


def test_a_reference_to_a_model_that_nobody_exports_costs_the_row(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    organization = stack.value("region", "SELECT id FROM organization WHERE slug = 'acme'")
    incident = {"organization": organization, "subscription": None}
    rule = {"organization": organization, "snuba_query": None, "team": None, "user_id": None}
    stack.keep("region", "sentry.alertrule", rule, {"name": "x"}, organization)
    alert = stack.value("region", "SELECT max(id) FROM kept_row")
    for activation in (None, 5):
        refs = {**incident, "alert_rule": alert, "activation": activation}
        stack.keep("region", "sentry.incident", refs, {"identifier": activation or 1}, organization)
    assert values(stack.export(), "sentry.incident", "identifier") == [1]


def test_a_row_is_in_organization_scope_or_global_by_what_it_points_to(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    organization = stack.value("region", "SELECT id FROM organization WHERE slug = 'acme'")
    project = stack.value("region", "SELECT id FROM project WHERE slug = 'web1'")
    stack.keep("control", "sentry.integration", {}, {"provider": "github", "external_id": "1"})
    integration = stack.value("control", "SELECT max(id) FROM kept_row")
    for pointed in (None, integration):
        refs = {"organization": organization, "integration_id": pointed, "sentry_app_id": None}
        stack.keep("region", "sentry.notificationaction", refs, {"type": 0}, organization)
        action = stack.value("region", "SELECT max(id) FROM kept_row")
        refs = {"action": action, "project": project}
        stack.keep("region", "sentry.notificationactionproject", refs, {}, organization)
    for scope, count in ((Scope.ORGANIZATION, 1), (Scope.GLOBAL, 2)):
        found = by_model(stack.export(scope))
        assert len(found["sentry.notificationaction"]) == len(found["sentry.notificationactionproject"]) == count


def test_a_token_is_configuration_unless_it_is_bound_to_an_application(stack: ExportStack) -> None:
    stack.import_all([rows.user(1, "ada")])
    stack.imports.change_in("control", "UPDATE user_account SET is_staff = true")
    user = stack.value("control", "SELECT id FROM user_account")
    stack.keep("control", "sentry.apiapplication", {"owner": user}, {"client_id": "x"})
    application = stack.value("control", "SELECT max(id) FROM kept_row")
    for pointed in (None, application):
        refs = {"user": user, "application": pointed, "scoping_organization_id": None}
        stack.keep("control", "sentry.apitoken", refs, {"token": str(pointed)})
    assert values(stack.export(Scope.CONFIG), "sentry.apitoken", "application") == [None]
    assert values(stack.export(Scope.GLOBAL), "sentry.apitoken", "application") == [None, application]


@pytest.mark.parametrize("change", ["state = 0, slug = NULL", "deletion = 2"])
@pytest.mark.parametrize("scope", [Scope.ORGANIZATION, Scope.GLOBAL], ids=lambda scope: scope.name)
def test_an_organization_that_is_not_whole_does_not_go_nor_does_anything_of_it(
    stack: ExportStack, scope: Scope, change: str
) -> None:
    stack.import_all(two_organizations())
    stack.imports.change_in("region", f"UPDATE organization SET {change} WHERE slug = 'umbrella'")
    found = stack.export(scope)
    assert values(found, "sentry.organization", "slug") == ["acme"]
    assert values(found, "sentry.project", "slug") == ["web1"]
    assert values(found, "sentry.projectoption", "value") == [1]
    assert len(by_model(found)["sentry.organizationmember"]) == 1
    assert stack.export(slugs=("umbrella",)) == []


def test_an_organization_that_is_marked_for_deletion_still_goes(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    stack.imports.change_in("region", "UPDATE organization SET deletion = 1 WHERE slug = 'umbrella'")
    assert values(stack.export(slugs=("umbrella",)), "sentry.organization", "slug") == ["umbrella"]


def test_dangling_rows_go_with_the_organization_of_what_refers_to_them(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    for slug in ("acme", "umbrella"):
        organization = stack.value("region", "SELECT id FROM organization WHERE slug = :slug", slug=slug)
        stack.keep("region", "sentry.snubaquery", {"environment": None}, {"query": slug}, organization)
    stack.keep("region", "sentry.snubaquery", {"environment": None}, {"query": "nobody's"})
    assert values(stack.export(slugs=("acme",)), "sentry.snubaquery", "query") == ["acme"]
    assert values(stack.export(), "sentry.snubaquery", "query") == ["acme", "umbrella"]
    assert len(by_model(stack.export(Scope.GLOBAL))["sentry.snubaquery"]) == 3
