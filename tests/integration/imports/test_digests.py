"""The ledger tells of each written row how the import left it."""

import pytest

from control_silo.model_imports.targets import target_of as control_target_of
from region_silo.imports.domain import Scope, State
from region_silo.imports.targets import target_of
from shared.importing.decisions import Decision
from shared.importing.digests import FOLLOWED, PARTS, digest_of
from shared.importing.registry import ImportScope, Silo, models
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR, ImportStack

_TERMS = Terms(ImportScope.ORGANIZATION)
_TABLES = {
    name: target_of(name, _TERMS).table if model.silo is Silo.REGION else control_target_of(name, _TERMS).table
    for name, model in models().items()
}
_FILE = rows.one_of_each()


def _changed(stack: ImportStack, import_id: int) -> tuple[list[str], int]:
    """The models of rows that are not as the ledger says, and how many rows were looked at."""
    changed, seen = [], 0
    for silo in ("region", "control"):
        ledger = stack.all_in(silo, "SELECT * FROM import_row WHERE import_id = :id AND ordinal > 0", id=import_id)
        for model in sorted({row["model"] for row in ledger if models()[row["model"]].silo.value == silo}):
            table = _TABLES[model]
            for row in (each for each in ledger if each["model"] == model):
                query = f"SELECT {digest_of(table, 't')} AS digest FROM {table} t WHERE t.id = :id"
                (found,) = stack.all_in(silo, query, id=row["new_pk"])
                seen += 1
                if row["decision"] == Decision.MERGE:
                    assert row["digest"] is None
                elif row["digest"] != found["digest"]:
                    changed.append(model)
    return changed, seen


def test_every_row_stands_as_the_ledger_says_when_its_import_has_ended(stack: ImportStack) -> None:
    for _ in range(2):
        done = stack.do_import(_FILE)
        assert done.state is State.SUCCEEDED
        assert _changed(stack, done.id) == ([], len(_FILE))


def test_kept_rows_stand_as_the_ledger_says_also_when_their_organization_comes_later(stack: ImportStack) -> None:
    query = {"dataset": "events", "aggregate": "count()", "query": "", "time_window": 60, "resolution": 60, "type": 0}
    file = [
        rows.organization(1),
        rows.project(1, 1, "project"),
        {
            "model": "sentry.snubaquery",
            "pk": 1,
            "fields": {**query, "date_added": rows.TIME, "environment": None},
        },
        {
            "model": "sentry.querysubscription",
            "pk": 1,
            "fields": {
                "project": 1,
                "snuba_query": 1,
                "type": "incidents",
                "status": 0,
                "subscription_id": None,
                "date_added": rows.TIME,
                "date_updated": rows.TIME,
                "query_extra": None,
            },
        },
    ]
    done = stack.do_import(file)
    owners = stack.all_in("region", "SELECT organization_id FROM kept_row WHERE model = 'sentry.snubaquery'")
    assert owners[0]["organization_id"] is not None
    assert _changed(stack, done.id) == ([], len(file))


@pytest.mark.parametrize(
    ("silo", "statement", "model"),
    [
        ("region", "UPDATE organization SET name = 'Other'", "sentry.organization"),
        ("region", "UPDATE organization SET slug = 'other'", "sentry.organization"),
        ("region", "UPDATE organization_member SET role = 'owner'", "sentry.organizationmember"),
        ("region", "UPDATE team SET name = 'Other'", "sentry.team"),
        ("region", "UPDATE project SET platform = 'other'", "sentry.project"),
        ("region", "UPDATE project_key SET data = '{\"a\": 1}'", "sentry.projectkey"),
        ("control", "UPDATE user_account SET name = 'Other'", "sentry.user"),
        ("control", "UPDATE user_email SET is_verified = true", "sentry.useremail"),
    ],
)
def test_a_change_of_a_row_is_seen(stack: ImportStack, silo: str, statement: str, model: str) -> None:
    done = stack.do_import(_FILE)
    stack.change_in(silo, statement)
    assert _changed(stack, done.id) == ([model], len(_FILE))


def test_a_change_of_a_kept_row_is_seen(stack: ImportStack) -> None:
    option = {"model": "sentry.option", "pk": 1, "fields": {"key": "a", "value": 1, "last_updated": rows.TIME}}
    done = stack.do_import([option], scope=Scope.CONFIG, caller=OPERATOR)
    assert _changed(stack, done.id) == ([], 1)
    stack.change_in("region", "UPDATE kept_row SET fields = fields || '{\"value\": 2}'")
    assert _changed(stack, done.id) == (["sentry.option"], 1)


def test_what_the_silos_count_and_follow_is_no_change(stack: ImportStack) -> None:
    done = stack.do_import(_FILE)
    stack.change_in("region", "UPDATE organization SET version = version + 1, fence_version = 99")
    stack.change_in("region", "UPDATE organization_member SET version = version + 1, user_is_active = false")
    stack.change_in("control", "UPDATE user_account SET version = version + 1")
    assert _changed(stack, done.id) == ([], len(_FILE))


def test_every_column_is_told_to_count_or_not(stack: ImportStack) -> None:
    query = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = :table"
    assert PARTS.keys() == FOLLOWED.keys()
    for table, counted in PARTS.items():
        silo = "control" if table == "user_account" else "region"
        columns = {row["column_name"] for row in stack.all_in(silo, query, table=table)}
        assert columns == {*counted.split(), *FOLLOWED[table]}, table
