"""The life of an undoing: who may ask for it and when, kills at any point, and imports that did not succeed."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from region_silo.imports.cleaner import import_tasks
from region_silo.imports.domain import Scope, State
from shared import barrier, errors
from shared.cleaner import Cleaner
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask
from tests.integration.imports.planned import apply, plan
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack
from tests.integration.imports.test_undo import FILE
from tests.integration.imports.undone import contents, kept, settle, undo
from tests.integration.imports.undone import runner as undoing_runner

_POINTS = (
    "import.leased",
    "undo.closed",
    "undo.before_page",
    "undo.in_page",
    "undo.told",
    "undo.committed",
    "undo.before_end",
    "before_commit",
)


class _Killed(BaseException):
    """The process dies here."""


def _imported(stack: ImportStack, **how: Any) -> int:
    done = stack.do_import(FILE, **how)
    assert done.state is State.SUCCEEDED
    settle(stack)
    return done.id


def _die_at(times: int) -> Callable[[int], None]:
    def die(reached: int) -> None:
        if reached == times:
            raise _Killed

    return die


@pytest.mark.parametrize("point", _POINTS)
def test_a_kill_at_any_point_changes_nothing_in_the_end(stack: ImportStack, point: str) -> None:
    settle(stack)
    before = contents(stack)
    done = _imported(stack)
    ask(stack, "undo", done)
    times, killed = 1, True
    while killed:
        killed = False
        with barrier.registered(point, _die_at(times)):
            try:
                undoing_runner(stack, rows_max=2).run_once()
            except _Killed:
                killed = True
        times += 5
        stack.clock.advance(60)
    assert times > 6 or point in ("import.leased", "undo.closed", "undo.before_end")
    assert stack.run(done).state is State.UNDONE
    settle(stack)
    assert contents(stack) == before
    assert kept(stack, done) == []


def test_a_repeat_of_the_request_gets_the_import_as_it_is(stack: ImportStack) -> None:
    done, request_id = _imported(stack), str(uuid.uuid4())
    assert ask(stack, "undo", done, request_id=request_id).state is State.UNDOING
    assert ask(stack, "undo", done).state is State.UNDOING, "another request finds it under way"
    assert stack.run(done).state is State.UNDONE
    again = ask(stack, "undo", done, request_id=request_id)
    assert (again.state, again.undo.count) == (State.UNDONE, 1)
    entries = stack.all_in("region", "SELECT principal FROM audit_entry WHERE action = 'import.undo'")
    assert [row["principal"] for row in entries] == [CALLER.principal] * 2


def test_nothing_else_may_be_asked_of_it_meanwhile_or_afterwards(stack: ImportStack) -> None:
    done = _imported(stack)
    ask(stack, "undo", done)
    for what in ("pause", "resume", "cancel"):
        with pytest.raises(errors.WrongImportState):
            ask(stack, what, done)
    with pytest.raises(errors.FileBeingImported):
        stack.upload(json.dumps(FILE).encode())
    stack.run(done)
    for what, more in (("pause", ()), ("resume", ()), ("cancel", ()), ("retry", (True,))):
        with pytest.raises(errors.WrongImportState):
            ask(stack, what, done, *more)


def test_an_import_that_has_not_ended_and_a_plan_are_not_undone(stack: ImportStack) -> None:
    running = stack.upload(json.dumps(FILE).encode()).id
    with pytest.raises(errors.WrongImportState):
        ask(stack, "undo", running)
    ask(stack, "pause", running)
    with pytest.raises(errors.WrongImportState):
        ask(stack, "undo", running)
    ask(stack, "cancel", running)
    planned = plan(stack, json.dumps(FILE).encode())
    with pytest.raises(errors.WrongImportState):
        ask(stack, "undo", planned.id)
    applied = stack.run(apply(stack, planned.id).id)
    assert applied.state is State.SUCCEEDED
    assert undo(stack, applied.id).state is State.UNDONE


def test_who_may_not_make_such_an_import_may_not_undo_it(stack: ImportStack) -> None:
    done = stack.do_import(FILE[:1], scope=Scope.GLOBAL, caller=OPERATOR).id
    with pytest.raises(errors.ImportNotFound):
        ask(stack, "undo", done)
    stack.change_in("region", f"UPDATE data_import SET principal = '{CALLER.principal}'")
    with pytest.raises(errors.ScopeMissing):
        ask(stack, "undo", done)
    assert undo(stack, done, caller=OPERATOR).state is State.UNDONE


def test_control_refuses_whom_it_knows_better_and_another_one_goes_on(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    done = _imported(stack)
    stack.scopes[CALLER.principal] = frozenset()
    ask(stack, "undo", done)
    failed = stack.run(done)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error.reason == "SCOPE_MISSING"
    assert stack.all_in("region", "SELECT state FROM organization") == [{"state": 0}], "it stays closed"
    with pytest.raises(errors.WrongImportState):
        ask(stack, "retry", done, True)
    assert undo(stack, done, caller=OPERATOR).state is State.UNDONE
    assert contents(stack) == before


def test_behind_the_retention_nobody_knows_what_to_undo(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.clock.advance(timedelta(days=91).total_seconds())
    with pytest.raises(errors.UndoTooLate):
        ask(stack, "undo", done)


def test_a_ledger_that_control_has_no_more_is_told(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in("control", "DELETE FROM import_chunk")
    ask(stack, "undo", done)
    failed = stack.run(done)
    assert failed.error is not None
    assert (failed.state, failed.error.reason) == (State.FAILED, "UNDO_TOO_LATE")


def test_the_ledger_is_kept_while_it_is_undone_and_goes_after_its_time(stack: ImportStack) -> None:
    done = _imported(stack)
    ask(stack, "undo", done)
    stack.clock.advance(timedelta(days=91).total_seconds())
    assert set(Cleaner(stack.region, import_tasks()).clean_once().values()) == {0}
    stack.change_in("control", "UPDATE import_chunk SET created_at = created_at + interval '91 days'")
    assert stack.run(done).state is State.UNDONE
    stack.clock.advance(timedelta(days=91).total_seconds())
    assert Cleaner(stack.region, import_tasks()).clean_once()["data_import"] == 1


@pytest.mark.parametrize(
    ("point", "times"), [("import.after_batch", 4), ("import.handed", 1), ("import.after_reserve", 1)]
)
def test_an_import_that_was_cancelled_anywhere_is_undone(stack: ImportStack, point: str, times: int) -> None:
    settle(stack)
    before = contents(stack)
    import_id = stack.upload(json.dumps(FILE).encode()).id

    def cancel(reached: int) -> None:
        if reached == times:
            ask(stack, "cancel", import_id)

    with barrier.registered(point, cancel):
        stack.run(import_id)
    assert stack.report(import_id).data_import.state is State.CANCELLED
    settle(stack)
    assert undo(stack, import_id).state is State.UNDONE
    assert kept(stack, import_id) == []
    assert contents(stack) == before


def test_an_import_that_errors_stopped_is_undone(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    stopped = stack.do_import([*FILE, rows.row("sentry.monitor", 1, name=3)])
    assert stopped.state is State.STOPPED
    settle(stack)
    assert undo(stack, stopped.id).state is State.UNDONE
    assert contents(stack) == before


def test_its_organizations_are_closed_until_it_is_done(stack: ImportStack) -> None:
    done = _imported(stack)
    stack.change_in("region", "UPDATE project SET name = 'renamed'")
    ask(stack, "undo", done)
    seen: list[int] = []

    def look(_: int) -> None:
        seen.extend(row["state"] for row in stack.all_in("region", "SELECT state FROM organization"))

    with barrier.registered("undo.before_page", look):
        stack.run(done)
    assert set(seen) == {0}
    settle(stack)
    assert stack.all_in("region", "SELECT state FROM organization") == [{"state": 1}]
    assert stack.all_in("control", "SELECT state FROM organization_mapping") == [{"state": "active"}]


def test_its_file_goes_with_it(stack: ImportStack) -> None:
    done = _imported(stack)
    assert stack.spool.holds(str(done))
    undo(stack, done)
    assert not stack.spool.holds(str(done))


def test_a_region_hears_of_users_who_are_no_more(stack: ImportStack) -> None:
    done = _imported(stack)
    undo(stack, done)
    assert {row["state"] for row in stack.all_in("region", "SELECT state FROM known_user")} == {3}


def test_pages_may_be_of_any_size(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    done = _imported(stack)
    stack.change_in("region", "UPDATE organization_member SET role = 'owner' WHERE inviter_id IS NULL")
    undo(stack, done, runner=undoing_runner(stack, rows_max=1))
    assert kept(stack, done)[0] == ("KEPT_CHANGED", "sentry.organizationmember", "1")
    stack.change_in("region", "UPDATE organization_member SET role = 'member'")
    undo(stack, done, runner=undoing_runner(stack, rows_max=1))
    assert contents(stack) == before
