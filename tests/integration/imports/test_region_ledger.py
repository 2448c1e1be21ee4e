"""Of control's rows the region's ledger has those that rows may refer to; the others are counted, also when undone."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from control_silo.model_imports import usecases as control_usecases
from region_silo.imports.domain import DataImport, Scope, State
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.writer import BatchLimits
from shared import barrier
from shared.importing.handover import HandedAnswer, HandedBatch
from shared.importing.registry import Silo, models, referred_models
from shared.importing.undo_handover import UndoWanted
from shared.importing.undoing import UndonePage
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask, refusing
from tests.integration.imports.planned import apply, decisions, plan
from tests.integration.imports.stack import OPERATOR, REGION, ImportStack
from tests.integration.imports.undone import contents, kept, runner, settle, undo

_COUNT = range(1, 6)


def _option(pk: int, user: int) -> rows.Row:
    fields = {"user": user, "key": "timezone", "value": "UTC", "organization_id": None, "project_id": None}
    return rows.row("sentry.useroption", pk, **fields)


_FILE = [
    rows.organization(1),
    *(rows.user(pk, last_active=rows.TIME) for pk in _COUNT),
    *(rows.email(pk, f"user{pk}@example.com") for pk in _COUNT),
    rows.email(9, "nobody@example.com"),
    rows.email(10, "Nobody@example.com"),
    *(rows.user_email(pk, pk, f"user{pk}@example.com") for pk in _COUNT),
    *(_option(pk, pk) for pk in _COUNT),
    *(rows.member(pk, 1, pk) for pk in _COUNT),
]
_DATA = json.dumps(_FILE).encode()
_MERGED = 1
"""An address that the file has twice, in another case."""


class _Killed(BaseException):
    """The process dies here."""


class _OlderControl:
    """Answers as a control that knows of no counts; with `every` 2 only every other time, as while it is replaced."""

    def __init__(self, stack: ImportStack, every: int = 1) -> None:
        self._peer, self._every, self._calls = stack.peer, every, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        self._calls += 1
        is_old = self._calls % self._every == 0
        return self._peer.import_batch(replace(batch, without_rows=batch.without_rows and not is_old))

    def undo_rows(self, wanted: UndoWanted) -> UndonePage:
        return replace(self._peer.undo_rows(wanted), in_all=None)


def _runner(stack: ImportStack, control: Any, **limits: int) -> ImportRunner:
    return ImportRunner(
        stack.region, stack.spool, control, stack.ids[REGION], RunnerSettings(limits=BatchLimits(**limits))
    )


def _imported(stack: ImportStack, importer: ImportRunner | None = None) -> DataImport:
    done = stack.run(stack.upload(_DATA).id, importer)
    assert (done.state, stack.findings(done.id)) == (State.SUCCEEDED, [])
    settle(stack)
    return done


def _of_control(stack: ImportStack, import_id: int) -> set[str]:
    """Control's models of which the region's ledger has rows."""
    found = stack.all_in("region", "SELECT DISTINCT model FROM import_row WHERE import_id = :id", id=import_id)
    return {row["model"] for row in found if models()[row["model"]].silo is Silo.CONTROL}


@contextmanager
def _killed_at(point: str, at: int) -> Iterator[None]:
    def kill(times: int) -> None:
        if times == at:
            raise _Killed

    with barrier.registered(point, kill), pytest.raises(_Killed):
        yield


def test_the_region_has_no_rows_of_control_that_nothing_refers_to_and_counts_as_with_them(
    make_stack: Callable[[], ImportStack],
) -> None:
    stack, older = make_stack(), make_stack()
    done, before = _imported(stack), _imported(older, _runner(older, _OlderControl(older)))
    assert _of_control(stack, done.id) == {"sentry.user"}
    assert _of_control(older, before.id) == {"sentry.user", "sentry.email", "sentry.useremail", "sentry.useroption"}
    assert stack.natural_rows(done.id) == older.natural_rows(before.id)
    assert stack.all_in("region", "SELECT model FROM import_chunk WHERE took_s <= 0 OR took_s IS NULL") == []
    assert stack.report(done.id).counts == older.report(before.id).counts
    assert (done.done_count, done.finding_count) == (before.done_count, before.finding_count)
    assert undo(older, before.id).undo.undone_count == len(_FILE) - _MERGED


def test_whatever_is_referred_to_is_in_the_regions_ledger(stack: ImportStack) -> None:
    done = stack.do_import(
        [
            rows.user(1),
            rows.row("sentry.apiapplication", 1, owner=1, name="app", client_id="c", client_secret="s"),
            rows.row("sentry.userrole", 1, name="role", permissions=[]),
            rows.row("sentry.userroleuser", 1, user=1, role=1),
        ],
        scope=Scope.GLOBAL,
        caller=OPERATOR,
    )
    known = {row["model"] for row in stack.ledger(done.id)}
    assert "sentry.userrole" in _of_control(stack, done.id)
    assert _of_control(stack, done.id) == known & referred_models()


@pytest.mark.parametrize("every", [1, 2])
def test_what_an_older_control_has_answered_is_undone_by_a_newer_one_and_counted_once(
    stack: ImportStack, every: int
) -> None:
    before = contents(stack)
    done = _imported(stack, _runner(stack, _OlderControl(stack, every), rows_max=2))
    assert "sentry.useremail" in _of_control(stack, done.id)
    undone = undo(stack, done.id, runner=runner(stack, rows_max=2))
    assert (undone.undo.undone_count, undone.undo.kept_count) == (len(_FILE) - _MERGED, 0)
    assert contents(stack)["control", "user_email"] == before["control", "user_email"]


@pytest.mark.parametrize("point", ["undo.committed", "undo.told", "undo.in_page", "before_commit"])
def test_rows_are_counted_once_wherever_the_undoing_dies(stack: ImportStack, point: str) -> None:
    done = _imported(stack)
    ask(stack, "undo", done.id)
    times, killed = 1, True
    while killed:
        try:
            with _killed_at(point, times):
                runner(stack, rows_max=2).run_once()
        except pytest.fail.Exception:
            killed = False
        times += 3
        stack.clock.advance(60)
    assert times > 4
    undone = stack.run(done.id)
    assert (undone.state, undone.undo.undone_count) == (State.UNDONE, len(_FILE) - _MERGED)


def test_what_stays_and_is_undone_later_is_counted_then(stack: ImportStack) -> None:
    done = _imported(stack)
    change = "UPDATE user_email SET is_verified = NOT is_verified WHERE email = 'user2@example.com'"
    stack.change_in("control", change)
    undone = undo(stack, done.id)
    stays = {(model, pk) for _, model, pk in kept(stack, done.id)}
    assert {("sentry.user", "2"), ("sentry.useremail", "2"), ("sentry.useroption", "2")} <= stays
    assert undone.undo.undone_count == len(_FILE) - _MERGED - undone.undo.kept_count
    stack.change_in("control", change)
    undone = undo(stack, done.id)
    assert (undone.undo.undone_count, undone.undo.kept_count) == (len(_FILE) - _MERGED, 0)


def test_a_batch_that_the_region_never_recorded_is_undone_and_not_counted(stack: ImportStack) -> None:
    before = contents(stack)
    addresses = json.dumps([rows.email(pk, f"{pk}@example.com") for pk in _COUNT]).encode()
    upload = stack.upload(addresses, scope=Scope.USER, caller=OPERATOR)
    with _killed_at("import.handed", 2):
        stack.runner(rows_max=2).run_once()
    assert len(stack.ledger(upload.id)) > stack.report(upload.id).data_import.done_count == 2
    ask(stack, "cancel", upload.id, caller=OPERATOR)
    stack.clock.advance(60)
    stack.run(upload.id)
    assert undo(stack, upload.id, caller=OPERATOR).undo.undone_count == 2
    assert contents(stack)["control", "email_address"] == before["control", "email_address"]


def test_an_import_of_such_rows_alone_notices_that_control_has_forgotten_it(stack: ImportStack) -> None:
    done = stack.do_import([rows.email(1, "a@example.com")], scope=Scope.USER, caller=OPERATOR)
    assert stack.all_in("region", "SELECT FROM import_row") == []
    kept_chunks = stack.all_in("control", "SELECT created_at FROM import_chunk")
    assert len(kept_chunks) == 1
    stack.change_in("control", "DELETE FROM import_chunk")
    ask(stack, "undo", done.id, caller=OPERATOR)
    failed = stack.run(done.id)
    assert failed.error is not None
    assert (failed.state, failed.error.reason) == (State.FAILED, "UNDO_TOO_LATE")


def test_what_is_tried_again_of_such_rows_is_counted_and_undone(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"rows_max": 2}
    with monkeypatch.context() as patched:
        patched.setattr(control_usecases, "RowDecoder", refusing(("sentry.useroption", 2), ("sentry.email", 9)))
        partly = stack.run(stack.upload(_DATA, continue_on_error=True).id, stack.runner(**limits))
    assert (partly.state, partly.error_count) == (State.SUCCEEDED, 2)
    ask(stack, "retry", partly.id, None)
    with _killed_at("import.handed", 1):
        stack.runner(**limits).run_once()
    stack.clock.advance(60)
    done = stack.run(partly.id, stack.runner(**limits))
    assert (done.state, done.finding_count) == (State.SUCCEEDED, 0)
    counts = {total.model: counts for total, counts in stack.report(done.id).counts}
    assert (counts["sentry.useroption"].inserted, counts["sentry.email"].inserted) == (5, 6)
    settle(stack)
    assert undo(stack, done.id).undo.undone_count == len(_FILE) - _MERGED


def test_a_plan_lists_all_rows_and_what_applies_it_has_not_all(stack: ImportStack) -> None:
    planned = plan(stack, _DATA)
    assert len(decisions(stack, planned.id)) == len(_FILE)
    applied = stack.run(apply(stack, planned.id).id)
    assert (applied.state, _of_control(stack, applied.id)) == (State.SUCCEEDED, {"sentry.user"})


def test_batches_that_control_wrote_already_count_the_same_in_any_size(stack: ImportStack) -> None:
    upload = stack.upload(_DATA)
    with _killed_at("import.in_batch", 4):
        stack.run(upload.id, stack.runner(rows_max=2))
    for batch in stack.peer.batches:
        first, again = (stack.model_imports.import_batch(REGION, batch) for _ in range(2))
        assert first == again
    stack.clock.advance(60)
    assert stack.run(upload.id, stack.runner(rows_max=4)).state is State.SUCCEEDED
    counts = {total.model: counts for total, counts in stack.report(upload.id).counts}
    assert (counts["sentry.email"].inserted, counts["sentry.email"].merged) == (6, 1)
    assert all(each.skipped == 0 for each in counts.values())
