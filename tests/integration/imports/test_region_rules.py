"""The rules for the rows of a region's models: spec imports.md 4 and 10."""

import json
import uuid
from typing import Any

import pytest

from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.options import ImportOptions
from shared.errors import PeerUnavailable
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.rows_of_files import TIME, row
from tests.integration.imports.stack import OPERATOR, ImportStack

_MINE = [rows.organization(1), rows.project(1, 1, "web")]
_UUID = "6a0ff5ba-33b1-4d0c-a2a1-6f1e5d2b6a10"


def _kinds(stack: ImportStack, done: DataImport) -> list[tuple[str, str, str, str]]:
    return [(each.kind, each.model, each.pk, each.field) for each in stack.findings(done.id)]


def _new_pks(stack: ImportStack, done: DataImport, model: str) -> dict[int, int]:
    found = stack.all_in(
        "region",
        "SELECT old_pk, new_pk FROM import_row WHERE import_id = :id AND model = :model",
        id=done.id,
        model=model,
    )
    return {each["old_pk"]: each["new_pk"] for each in found}


def test_environments_repositories_and_counters_become_rows_that_the_region_acts_on(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            *_MINE,
            row("sentry.integration", 7, provider="github", external_id="1", name="acme", metadata={}),
            row("sentry.environment", 3, organization_id=1, name="prod", date_added=TIME),
            row("sentry.environment", 4, organization_id=1, name="", date_added=TIME),
            row("sentry.environmentproject", 5, project=1, environment=3, is_hidden=None),
            row("sentry.environmentproject", 6, project=1, environment=4, is_hidden=True),
            row(
                "sentry.repository",
                8,
                organization_id=1,
                name="acme/web",
                url="https://example.com/acme/web",
                provider="integrations:github",
                external_id="42",
                config={"name": "acme/web"},
                status=0,
                date_added=TIME,
                integration_id=7,
                languages="['python', 'go']",
            ),
            row("sentry.counter", 9, project=1, value=17),
        ],
        scope=Scope.GLOBAL,
        caller=OPERATOR,
    )
    assert _kinds(stack, done) == []
    (organization,) = stack.all_in("region", "SELECT * FROM organization")
    (project,) = stack.all_in("region", "SELECT * FROM project")
    prod, none = stack.all_in("region", "SELECT * FROM environment ORDER BY name DESC")
    assert (prod["name"], none["name"], prod["organization_id"]) == ("prod", "", organization["id"])
    assert prod["date_added"].isoformat() == "2023-06-22T22:59:55.521000+00:00"
    pairs = stack.all_in("region", "SELECT * FROM environment_project")
    assert {(each["environment_id"], each["project_id"], each["is_hidden"]) for each in pairs} == {
        (prod["id"], project["id"], None),
        (none["id"], project["id"], True),
    }
    (repository,) = stack.all_in("region", "SELECT * FROM repository")
    (integration,) = stack.kept("sentry.integration", "control")
    assert {name: repository[name] for name in ("name", "url", "provider", "external_id", "config", "status")} == {
        "name": "acme/web",
        "url": "https://example.com/acme/web",
        "provider": "integrations:github",
        "external_id": "42",
        "config": {"name": "acme/web"},
        "status": 0,
    }
    assert (repository["integration_id"], repository["languages"]) == (integration["id"], ["python", "go"])
    (counter,) = stack.all_in("region", "SELECT * FROM project_counter")
    assert (counter["project_id"], counter["organization_id"], counter["value"]) == (
        project["id"],
        organization["id"],
        17,
    )
    assert _new_pks(stack, done, "sentry.counter") == {9: counter["id"]}


def test_a_name_of_an_environment_or_an_active_repository_stands_once(stack: ImportStack) -> None:
    def repository(pk: int, **fields: Any) -> rows.Row:
        return row("sentry.repository", pk, organization_id=1, name="acme/web", date_added=TIME, config={}, **fields)

    done = stack.do_import(
        [
            *_MINE,
            row("sentry.environment", 1, organization_id=1, name="prod"),
            row("sentry.environment", 2, organization_id=1, name="prod"),
            row("sentry.environment", 3, organization_id=1, name="x" * 65),
            row("sentry.environmentproject", 1, project=1, environment=2),
            row("sentry.counter", 1, project=1, value=5),
            row("sentry.counter", 2, project=1, value=6),
            repository(1),
            repository(2),
            repository(3, status=1),
            repository(4, provider="github", external_id="1"),
            repository(5, provider="github", external_id="1"),
        ],
        scope=Scope.GLOBAL,
        caller=OPERATOR,
        continue_on_error=True,
    )
    assert set(_kinds(stack, done)) == {
        ("NOT_UNIQUE", "sentry.environment", "2", "name"),
        ("INVALID_VALUE", "sentry.environment", "3", "name"),
        ("MISSING_REFERENCE", "sentry.environmentproject", "1", "environment"),
        ("NOT_UNIQUE", "sentry.counter", "2", "project_id"),
        ("NOT_UNIQUE", "sentry.repository", "2", "name"),
        ("NOT_UNIQUE", "sentry.repository", "5", "external_id"),
    }
    kept = stack.all_in("region", "SELECT status, provider FROM repository ORDER BY provider, status")
    assert [(each["status"], each["provider"]) for each in kept] == [(0, "github"), (0, None), (1, None)]


def test_a_monitor_gets_a_new_guid_always(stack: ImportStack) -> None:
    given = {"organization_id": 1, "project_id": 1, "name": "nightly", "type": 3}
    stack.do_import(
        [
            *_MINE,
            row("sentry.monitor", 1, **given, slug="a", guid=_UUID),
            row("sentry.monitor", 2, **given, slug="b", guid=_UUID),
            row("sentry.monitor", 3, **given, slug="c"),
        ]
    )
    guids = [each["fields"]["guid"] for each in stack.kept("sentry.monitor")]
    assert len({uuid.UUID(guid) for guid in guids}) == 3, "the same guid twice in the file costs neither row"
    assert _UUID not in guids


def test_an_incident_and_its_activity_get_new_uuids_where_they_have_one(stack: ImportStack) -> None:
    stack.do_import(
        [
            *_MINE,
            row("sentry.snubaquery", 1, dataset="events", query=""),
            row("sentry.alertrule", 1, organization=1, snuba_query=1, name="errors"),
            row("sentry.incident", 1, organization=1, alert_rule=1, identifier=1, detection_uuid=_UUID),
            row("sentry.incident", 2, organization=1, alert_rule=1, identifier=2, detection_uuid=None),
            row("sentry.incidentactivity", 1, incident=1, type=1, notification_uuid=_UUID),
            row("sentry.incidentactivity", 2, incident=1, type=1),
        ]
    )
    with_one, without = (each["fields"]["detection_uuid"] for each in stack.kept("sentry.incident"))
    assert uuid.UUID(with_one) != uuid.UUID(_UUID)
    assert without is None
    told, untold = (each["fields"] for each in stack.kept("sentry.incidentactivity"))
    assert uuid.UUID(told["notification_uuid"]) != uuid.UUID(_UUID)
    assert "notification_uuid" not in untold


def test_a_query_subscription_gets_a_new_id_in_the_same_partition(stack: ImportStack) -> None:
    given = {"project": 1, "type": "incidents", "status": 0, "date_added": TIME}
    old = f"3/{'a' * 32}"
    stack.do_import(
        [
            *_MINE,
            row("sentry.querysubscription", 1, **given, subscription_id=old),
            row("sentry.querysubscription", 2, **given, subscription_id=None),
        ]
    )
    first, second = (each["fields"] for each in stack.kept("sentry.querysubscription"))
    partition, digits = first["subscription_id"].split("/")
    assert (partition, len(digits)) == ("3", 32)
    assert uuid.UUID(digits).hex == digits != "a" * 32
    assert first["date_added"] == TIME
    assert second["subscription_id"] is None


def test_a_project_has_the_keys_and_options_of_the_file_and_no_others(stack: ImportStack) -> None:
    """What the source makes together with a project is in the file already; nothing is made twice or made up."""
    stack.do_import(
        [
            *_MINE,
            rows.project(2, 1, "bare"),
            rows.project_key(1, 1, "a" * 32, "b" * 32),
            rows.project_key(2, 1, "c" * 32, "d" * 32),
            row("sentry.projectoption", 1, project=1, key="sentry:option-epoch", value=11),
            row("sentry.projectoption", 2, project=1, key="sentry:origins", value='["*"]'),
        ]
    )
    keys = stack.all_in(
        "region", "SELECT p.slug, k.public_key FROM project_key k JOIN project p ON p.id = k.project_id"
    )
    assert sorted((each["slug"], each["public_key"][0]) for each in keys) == [("web", "a"), ("web", "c")]
    options = [each["fields"] for each in stack.kept("sentry.projectoption")]
    assert options == [
        {"key": "sentry:option-epoch", "value": 11},
        {"key": "sentry:origins", "value": ["*"]},
    ]


def test_an_option_of_a_project_or_an_organization_stands_once(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            *_MINE,
            rows.project(2, 1, "other"),
            *(row("sentry.projectoption", pk, project=of, key="a", value=pk) for pk, of in ((1, 1), (2, 1), (3, 2))),
            *(row("sentry.organizationoption", pk, organization=1, key="a", value=pk) for pk in (1, 2)),
        ]
    )
    assert [each["fields"]["value"] for each in stack.kept("sentry.projectoption")] == [1, 3]
    assert [each["fields"]["value"] for each in stack.kept("sentry.organizationoption")] == [1]
    assert [(each.kind, each.model, each.pk) for each in stack.findings(done.id)] == [
        ("NOT_UNIQUE", "sentry.organizationoption", "2"),
        ("NOT_UNIQUE", "sentry.projectoption", "2"),
    ]


def test_a_model_may_appear_again_later_in_the_file(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.organization(1),
            rows.team(1, 1, "first"),
            rows.project(1, 1, "web"),
            rows.team(2, 1, "second"),
            rows.organization(2, "other"),
            rows.team(3, 2, "third"),
        ]
    )
    assert done.finding_count == 0
    slugs = stack.all_in("region", "SELECT slug FROM team ORDER BY slug")
    assert [each["slug"] for each in slugs] == ["first", "second", "third"]


def test_rows_of_a_model_that_the_source_has_dropped_are_left_out_wherever_they_stand(stack: ImportStack) -> None:
    actors = [row("sentry.actor", pk, type=0) for pk in range(1, 6)]
    done = stack.do_import([actors[0], *_MINE, *actors[1:4], rows.team(1, 1, "a"), actors[4]])
    assert _kinds(stack, done) == [("MODEL_REMOVED", "sentry.actor", str(pk), "") for pk in range(1, 6)]
    assert len(stack.all_in("region", "SELECT id FROM team")) == 1


def test_a_natural_key_in_a_reference_is_told_for_each_row(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            *_MINE,
            rows.user(1, "a@example.com"),
            row("sentry.projectbookmark", 1, project=1, user_id=["a@example.com"]),
            row("sentry.projectbookmark", 2, project=1, user_id=1),
            row("sentry.useroption", 3, user=["a@example.com"], key="theme", value="light"),
        ],
        continue_on_error=True,
    )
    found = stack.findings(done.id)
    assert {(each.kind, each.model, each.pk, each.field) for each in found} == {
        ("INVALID_VALUE", "sentry.projectbookmark", "1", "user_id"),
        ("INVALID_VALUE", "sentry.useroption", "3", "user"),
    }
    assert all("natural key" in each.reason for each in found)


def test_hidden_organizations_wait_for_approval(stack: ImportStack) -> None:
    done = stack.do_import(_MINE, options=ImportOptions(hide_organizations=True))
    stack.do_import([rows.organization(2, "seen")])
    found = stack.all_in("region", "SELECT base_slug, status FROM organization ORDER BY base_slug")
    assert found == [{"base_slug": "acme", "status": 3}, {"base_slug": "seen", "status": 0}]
    assert stack.report(done.id).data_import.options.hide_organizations


@pytest.mark.parametrize("scope", [Scope.ORGANIZATION, Scope.GLOBAL])
def test_rows_that_decide_themselves_are_taken_by_their_own_scope(stack: ImportStack, scope: Scope) -> None:
    action = {"organization": 1, "type": 0, "trigger_type": 0, "target_type": 0}
    file = [
        *_MINE,
        row("sentry.integration", 7, provider="slack", external_id="1", name="acme", metadata={}),
        row("sentry.notificationaction", 1, **action, integration_id=None, sentry_app_id=None),
        row("sentry.notificationaction", 2, **action, integration_id=7, sentry_app_id=None),
        row("sentry.notificationactionproject", 1, action=1, project=1),
        row("sentry.notificationactionproject", 2, action=2, project=1),
        row("sentry.savedsearch", 1, organization=1, owner_id=None, is_global=False, name="mine", query="a"),
        row("sentry.savedsearch", 2, organization=None, owner_id=None, is_global=True, name="all", query="b"),
    ]
    done = stack.do_import(file, scope=scope, caller=OPERATOR)
    is_global = scope is Scope.GLOBAL
    assert len(stack.kept("sentry.notificationaction")) == 1 + is_global
    assert len(stack.kept("sentry.notificationactionproject")) == 1 + is_global
    assert [each["fields"]["name"] for each in stack.kept("sentry.savedsearch")] == ["mine", "all"][: 1 + is_global]
    left_out = [
        ("OUT_OF_SCOPE", "sentry.integration", "7", ""),
        ("OUT_OF_SCOPE", "sentry.notificationaction", "2", ""),
        ("MISSING_REFERENCE", "sentry.notificationactionproject", "2", "action"),
        ("OUT_OF_SCOPE", "sentry.savedsearch", "2", ""),
    ]
    assert set(_kinds(stack, done)) == set() if is_global else set(left_out)


def test_tokens_of_organizations_are_written_when_these_have_their_slugs(stack: ImportStack) -> None:
    handed: list[tuple[str, list[str | None]]] = []

    def before() -> None:
        slugs = stack.all_in("region", "SELECT slug FROM organization")
        handed.append(("call", [each["slug"] for each in slugs]))

    stack.peer.before = before
    done = stack.do_import(
        [
            row("sentry.orgauthtoken", 1, organization_id=1, name="ci", created_by=1, project_last_used_id=1),
            row("sentry.orgauthtoken", 2, organization_id=1, name="ci", token_hashed="2" * 64),
            row("sentry.orgauthtoken", 3, organization_id=9, name="ci", token_hashed="3" * 64),
            rows.user(1),
            *_MINE,
        ]
    )
    assert done.done_count == 6
    assert [each.model for each in stack.peer.batches] == ["sentry.user", "sentry.orgauthtoken"]
    assert handed[-1] == ("call", ["acme"])
    tokens = stack.kept("sentry.orgauthtoken", "control")
    assert len(tokens) == 2
    (organization,) = stack.all_in("region", "SELECT id, state FROM organization")
    assert {each["organization_id"] for each in tokens} == {organization["id"]}
    assert organization["state"] == 1
    assert ("MISSING_REFERENCE", "sentry.orgauthtoken", "3", "organization_id") in _kinds(stack, done)


def test_tokens_that_could_not_be_handed_over_are_when_control_is_back(stack: ImportStack) -> None:
    token = row("sentry.orgauthtoken", 1, organization_id=1, name="ci", token_hashed="1" * 64)
    waiting = stack.upload(json.dumps([*_MINE, token]).encode())
    states: list[str] = []

    def before() -> None:
        states.append(stack.report(waiting.id).data_import.state.name)
        if states.count("FINISHING") == 1:
            raise PeerUnavailable

    stack.peer.before = before
    done = stack.run(waiting.id)
    assert done.state is State.SUCCEEDED
    assert states == ["RESERVING", "FINISHING", "FINISHING"]
    assert len(stack.kept("sentry.orgauthtoken", "control")) == 1
    assert done.done_count == 3
