"""Plans: nothing is written, slugs are held, an application does what was planned or says what drifted."""

import json
from typing import Any

import pytest

from control_silo.model_imports.plans import TABLES, plan_tasks
from control_silo.slugs.checking import check_slug
from control_silo.slugs.rules import IN_PLAN, Availability
from region_silo.imports.cleaner import import_tasks
from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.options import ImportOptions
from region_silo.imports.targets import TABLES as REGION_TABLES
from shared.cleaner import Cleaner
from shared.database import Transaction
from shared.errors import (
    FileBeingImported,
    ImportNotFound,
    InvalidArgument,
    PeerUnavailable,
    PlanApplied,
    PlanExpired,
    PlanNotReady,
    RequestIdReused,
    ScopeMissing,
    WrongImportState,
)
from shared.importing import planning
from shared.importing.statements import PLANNER
from shared.rpc.call import Caller
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask
from tests.integration.imports.planned import apply, decisions, digests, ledger, plan, schemas
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

pytestmark = pytest.mark.integration

_ID = "00000000-0000-4000-8000-000000000001"
_FILE = [
    rows.user(1, "ann"),
    rows.organization(1),
    rows.member(1, 1, 1),
    rows.team(1, 1, "one"),
    rows.project(1, 1, "web"),
    rows.project_key(1, 1, "a" * 32, "b" * 32),
]
_OPTION: dict[str, Any] = {
    "model": "sentry.option",
    "pk": 1,
    "fields": {"key": "mail.from", "value": "new", "last_updated": rows.TIME},
}


def _data(objects: list[dict[str, Any]]) -> bytes:
    return json.dumps(objects).encode()


def _drifted(stack: ImportStack, plan_id: int, caller: Caller = CALLER) -> tuple[DataImport, list[Any]]:
    ended = stack.run(apply(stack, plan_id, caller=caller).id)
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.reason == "IMPORT_DRIFTED"
    return ended, stack.findings(ended.id, "DRIFTED")


def test_a_plan_tells_names_and_slugs_and_leaves_nothing_but_its_holds(stack: ImportStack) -> None:
    stack.do_import(_FILE)
    before = digests(stack, frozenset({"slug_reservation"}))
    planned = plan(stack, _data(_FILE))
    assert digests(stack, frozenset({"slug_reservation"})) == before
    decided = {each.model: each for each in decisions(stack, planned.id)}
    assert decided["sentry.user"].name.startswith("ann-")
    slug = decided["sentry.organization"].name
    assert slug.startswith("acme-")
    held = stack.all_in("control", "SELECT slug, holder, expires_at FROM slug_reservation WHERE expires_at IS NOT NULL")
    assert [(row["slug"], row["holder"]) for row in held] == [(slug, planned.name)]
    assert planned.expires_at == held[0]["expires_at"]


def test_an_application_writes_the_planned_names(stack: ImportStack) -> None:
    stack.do_import(_FILE)
    planned = plan(stack, _data(_FILE))
    applied = stack.run(apply(stack, planned.id).id)
    assert applied.state is State.SUCCEEDED
    assert ledger(stack, applied.id) == ledger(stack, planned.id)
    slugs = {each.name for each in decisions(stack, planned.id) if each.model == "sentry.organization"}
    assert {each.slug for each in stack.report(applied.id).organizations} == slugs
    assert not stack.all_in("control", "SELECT slug FROM slug_reservation WHERE expires_at IS NOT NULL")


def test_a_username_that_was_taken_meanwhile_is_a_drift_and_no_user_is_written(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    stack.do_import([rows.user(9, "ann")], scope=Scope.USER, caller=OPERATOR)
    users = "SELECT * FROM user_account"
    before = stack.all_in("control", users)
    _, found = _drifted(stack, planned.id)
    assert [(each.model, each.pk) for each in found] == [("sentry.user", "1")]
    assert "the plan says: inserted; now: written as" in found[0].reason
    assert stack.all_in("control", users) == before


def test_a_planned_name_that_was_taken_meanwhile_is_a_drift(stack: ImportStack) -> None:
    stack.do_import(_FILE)
    planned = plan(stack, _data(_FILE))
    name = next(each.name for each in decisions(stack, planned.id) if each.model == "sentry.user")
    stack.do_import([rows.user(9, name)], scope=Scope.USER, caller=OPERATOR)
    _, found = _drifted(stack, planned.id)
    assert f'the plan says: written as "{name}"' in found[0].reason


def test_a_key_that_was_taken_meanwhile_is_a_drift_of_its_batch_alone(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    other = [rows.organization(2, "other"), rows.project(2, 2, "x"), rows.project_key(2, 2, "a" * 32, "c" * 32)]
    stack.do_import(other)
    ended, found = _drifted(stack, planned.id)
    assert [(each.model, each.pk) for each in found] == [("sentry.projectkey", "1")]
    keys = "SELECT count(*) AS n FROM project_key"
    assert stack.all_in("region", keys) == [{"n": 1}]
    assert 0 < ended.done_count == len(ledger(stack, ended.id)) < len(_FILE)


def test_an_option_that_was_changed_meanwhile_is_not_overwritten(stack: ImportStack) -> None:
    how: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}
    old = {**_OPTION, "fields": {**_OPTION["fields"], "value": "old"}}
    stack.do_import([old], **how)
    planned = plan(stack, _data([_OPTION]), options=ImportOptions(overwrite_configs=True), **how)
    assert [(each.decision, each.existing is not None) for each in decisions(stack, planned.id, OPERATOR)] == [
        (3, True)
    ]
    changed = """ UPDATE kept_row SET fields = fields || '{"value": "by hand"}' WHERE model = 'sentry.option' """
    stack.change_in("region", changed)
    _, found = _drifted(stack, planned.id, OPERATOR)
    assert "holds other values" in found[0].reason
    assert stack.kept("sentry.option")[0]["fields"]["value"] == "by hand"


def test_a_row_that_is_overwritten_in_a_plan_stays_until_the_plan_is_applied(stack: ImportStack) -> None:
    how: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR}
    old = {**_OPTION, "fields": {**_OPTION["fields"], "value": "old"}}
    stack.do_import([old], **how)
    planned = plan(stack, _data([_OPTION]), options=ImportOptions(overwrite_configs=True), **how)
    assert stack.kept("sentry.option")[0]["fields"]["value"] == "old"
    assert stack.run(apply(stack, planned.id, caller=OPERATOR).id).state is State.SUCCEEDED
    assert stack.kept("sentry.option")[0]["fields"]["value"] == "new"


def test_a_slug_whose_hold_ran_out_and_that_somebody_has_is_a_drift(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    stack.change_in("control", "UPDATE slug_reservation SET expires_at = created_at WHERE expires_at IS NOT NULL")
    stack.do_import([rows.organization(7, "acme")])
    _, found = _drifted(stack, planned.id)
    assert [(each.model, each.field) for each in found] == [("sentry.organization", "slug")]


def test_a_drift_that_has_passed_leaves_nothing_to_a_retry(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE), continue_on_error=True)
    stack.do_import([rows.user(9, "ann")], scope=Scope.USER, caller=OPERATOR)
    ended, drifts = _drifted(stack, planned.id)
    assert len(drifts) == ended.error_count == 1
    stack.change_in("control", "UPDATE user_account SET username = 'somebody'")
    ask(stack, "retry", ended.id, None)
    done = stack.run(ended.id)
    assert (done.state, done.error_count, done.finding_count) == (State.SUCCEEDED, 0, 0)
    with pytest.raises(WrongImportState):
        ask(stack, "retry", ended.id, None)


def test_a_held_slug_is_given_to_nobody_else(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    checked = stack.control.read(lambda transaction: check_slug(transaction, "acme"))
    assert (checked.availability, checked.reason) == (Availability.HELD, IN_PLAN)
    other = stack.do_import([rows.organization(7, "acme")])
    assert [each.slug != "acme" for each in stack.report(other.id).organizations] == [True]
    applied = stack.run(apply(stack, planned.id).id)
    assert [each.slug for each in stack.report(applied.id).organizations] == ["acme"]


def test_two_plans_of_one_file_stand_side_by_side_and_know_nothing_of_each_other(stack: ImportStack) -> None:
    first, second = (stack.upload(_data(_FILE), is_plan=True).id for _ in range(2))
    found = [stack.run(each) for each in (first, second)]
    assert [each.state for each in found] == [State.PLANNED, State.PLANNED]
    assert ledger(stack, first) == ledger(stack, second)
    slugs = {each.name for plan_id in (first, second) for each in decisions(stack, plan_id) if each.name}
    assert len(slugs) == 2


def test_a_plan_is_applied_once_and_within_its_time(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    applied = apply(stack, planned.id, request_id=_ID)
    assert apply(stack, planned.id, request_id=_ID).id == applied.id
    with pytest.raises(PlanApplied):
        apply(stack, planned.id)
    stack.run(applied.id)
    with pytest.raises(PlanApplied):
        apply(stack, planned.id)
    late = plan(stack, _data(_FILE))
    stack.clock.advance(3601)
    with pytest.raises(PlanExpired):
        apply(stack, late.id)
    with pytest.raises(RequestIdReused):
        apply(stack, late.id, request_id=_ID)


def test_a_plan_is_applied_by_those_who_may_import(stack: ImportStack) -> None:
    config = plan(stack, _data([_OPTION]), scope=Scope.CONFIG, caller=OPERATOR)
    planned = plan(stack, _data(_FILE))
    with pytest.raises(ImportNotFound):
        apply(stack, config.id)
    with pytest.raises(ImportNotFound):
        decisions(stack, planned.id, Caller("tokens/99", frozenset({"import:write"})))
    with pytest.raises(ScopeMissing):
        apply(stack, config.id, caller=Caller(OPERATOR.principal, frozenset({"import:write"})))
    imported = stack.do_import(_FILE)
    with pytest.raises(PlanNotReady):
        apply(stack, imported.id)
    with pytest.raises(WrongImportState):
        ask(stack, "retry", planned.id, None)


def test_a_plan_is_not_applied_while_its_file_is_imported(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    stack.upload(_data(_FILE))
    with pytest.raises(FileBeingImported):
        apply(stack, planned.id)


def test_a_plan_that_is_cancelled_leaves_no_schema(stack: ImportStack) -> None:
    queued = stack.upload(_data(_FILE), is_plan=True)
    stack.peer.before = _Away(1)
    stack.runner().run_once()
    assert schemas(stack)
    stack.clock.advance(60)
    ask(stack, "cancel", queued.id)
    Cleaner(stack.region, import_tasks()).clean_once()
    Cleaner(stack.control, plan_tasks()).clean_once()
    assert len(schemas(stack)) == 1, "control does not know that it was cancelled"
    stack.clock.advance(6 * 3600)
    Cleaner(stack.control, plan_tasks()).clean_once()
    assert not schemas(stack)


def test_a_plan_goes_on_after_a_crash_with_the_same_outcome(stack: ImportStack) -> None:
    stack.do_import(_FILE)
    whole = plan(stack, _data(_FILE))
    for batches in range(4):
        queued = stack.upload(_data(_FILE), is_plan=True)
        stack.peer.before = _Away(batches)
        stack.runner().run_once()
        stack.peer.before = lambda: None
        stack.clock.advance(60)
        assert stack.run(queued.id).state is State.PLANNED
        found = {key: decision for key, (decision, _) in ledger(stack, queued.id).items()}
        assert found == {key: decision for key, (decision, _) in ledger(stack, whole.id).items()}
        assert not schemas(stack)


class _Away:
    """Control is away after so many calls."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise PeerUnavailable(retry_after_s=1)


def test_rows_taken_out_of_a_plan_are_left_out_with_what_refers_to_them(stack: ImportStack) -> None:
    planned = plan(stack, _data([*_FILE, rows.project(2, 1, "api"), rows.project_key(2, 2, "c" * 32, "d" * 32)]))
    applied = stack.run(apply(stack, planned.id, taken_out={"sentry.project": [2], "sentry.team": [1]}).id)
    assert applied.state is State.SUCCEEDED
    assert set(ledger(stack, planned.id)) - set(ledger(stack, applied.id)) == {
        ("sentry.project", 2),
        ("sentry.projectkey", 2),
        ("sentry.team", 1),
    }
    assert {each.model for each in stack.findings(applied.id, "FILTERED_OUT")} == {
        "sentry.project",
        "sentry.projectkey",
        "sentry.team",
    }


def test_a_user_can_be_taken_out_of_a_plan_whose_address_stays(stack: ImportStack) -> None:
    file = [
        rows.email(1, "ann@x.org"),
        rows.user(1, "ann@x.org"),
        rows.user_email(1, 1, "ann@x.org"),
        rows.user(2, "bo"),
    ]
    how: dict[str, Any] = {"scope": Scope.USER, "caller": OPERATOR}
    planned = plan(stack, _data(file), **how)
    applied = stack.run(apply(stack, planned.id, caller=OPERATOR, taken_out={"sentry.user": [1]}).id)
    assert applied.state is State.SUCCEEDED, stack.findings(applied.id)
    assert set(ledger(stack, applied.id)) == {("sentry.email", 1), ("sentry.user", 2)}


def test_only_rows_of_models_of_the_file_can_be_taken_out(stack: ImportStack) -> None:
    planned = plan(stack, _data(_FILE))
    with pytest.raises(InvalidArgument) as refused:
        apply(stack, planned.id, taken_out={"sentry.rule": [1]})
    assert [each.field for each in refused.value.violations] == ["skips.model"]


def test_what_a_plan_looks_up_is_found_by_indexes_in_both_tables(stack: ImportStack) -> None:
    looked_up = {
        stack.control: ("SELECT id FROM user_account t WHERE lower(t.username) = lower('x')", TABLES),
        stack.region: ("SELECT id FROM project_key t WHERE t.public_key = 'x'", REGION_TABLES),
    }
    for database, (query, tables) in looked_up.items():

        def explained(transaction: Transaction, query: str = query, tables: tuple[str, ...] = tables) -> str:
            planning.enter(transaction, 7, tables)
            transaction.driver.execute(PLANNER.encode(), prepare=False)
            return "\n".join(row[0] for row in transaction.driver.execute(f"EXPLAIN {query}".encode()).fetchall())

        told = database.transact(explained)
        assert "Seq Scan" not in told, told
        assert told.count("Index") >= 2, told


def test_a_plan_can_be_paused_and_goes_on_as_if_it_had_not_been(stack: ImportStack) -> None:
    queued = stack.upload(_data(_FILE), is_plan=True)
    stack.peer.before = _Away(1)
    stack.runner().run_once()
    stack.peer.before = lambda: None
    assert ledger(stack, queued.id)
    assert ask(stack, "pause", queued.id).state is State.PAUSED
    assert ask(stack, "resume", queued.id).state is State.QUEUED
    assert stack.run(queued.id).state is State.PLANNED
    assert len(ledger(stack, queued.id)) == len(_FILE)


def test_a_plan_whose_rows_control_has_forgotten_is_no_plan(stack: ImportStack) -> None:
    queued = stack.upload(_data([*_FILE, rows.email(1, "ann@x.org")]), is_plan=True)
    stack.peer.before = _Away(1)
    stack.runner().run_once()
    stack.peer.before = lambda: None
    stack.peer.forget_plan(queued.name)
    stack.clock.advance(60)
    ended = stack.run(queued.id)
    assert ended.error is not None
    assert (ended.state, ended.error.reason) == (State.FAILED, "PLAN_EXPIRED")
    assert not schemas(stack)
