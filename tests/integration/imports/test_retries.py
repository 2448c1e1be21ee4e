"""What failed is tried again from the same file into the same target, and no row is ever written twice."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from control_silo.model_imports import usecases as control_usecases
from region_silo.imports import own_batches, writer
from region_silo.imports.domain import Scope, State
from region_silo.imports.writer import BatchLimits
from shared import barrier, errors
from shared.importing.handover import HandedBatch
from shared.rpc.call import Caller
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask, refusing
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack
from tests.unit.importing.rows_of import handed_row

_PEOPLE = [rows.user(pk, last_active=rows.TIME) for pk in range(1, 6)]
_FILE = [
    rows.organization(1),
    *_PEOPLE,
    *(rows.member(pk, 1, pk) for pk in range(1, 6)),
    *(rows.team(pk, 1, f"team-{pk}") for pk in range(1, 6)),
    *(rows.member_team(pk, pk, pk) for pk in range(1, 6)),
]
_LIMITS = {"rows_max": 2}
_REFUSED = (("sentry.user", 2), ("sentry.team", 4), ("sentry.team", 5))


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Some rows cannot be read, until it is called."""
    for module in (writer, own_batches, control_usecases):
        monkeypatch.setattr(module, "RowDecoder", refusing(*_REFUSED))
    return monkeypatch.undo


def _data() -> bytes:
    return json.dumps(_FILE).encode()


def _imported(stack: ImportStack, **how: Any) -> Any:
    return stack.run(stack.upload(_data(), **how).id, stack.runner(**_LIMITS))


def _ledger(stack: ImportStack) -> list[dict[str, Any]]:
    return stack.all_in("region", "SELECT model, old_pk, new_pk FROM import_row ORDER BY model, old_pk")


def _refused(stack: ImportStack, import_id: int) -> set[tuple[str, int]]:
    return {(each.model, each.ordinal) for each in stack.findings(import_id)}


def test_what_went_on_behind_errors_is_completed_by_a_retry_that_writes_nothing_twice(
    make_stack: Callable[[], ImportStack], unreadable: Callable[[], None]
) -> None:
    stack = make_stack()
    partly = _imported(stack, continue_on_error=True)
    assert (partly.state, partly.error_count) == (State.SUCCEEDED, 3)
    kinds = [(each.kind, each.model, each.ordinal) for each in stack.findings(partly.id)]
    missing = [each for each in kinds if each[0] == "MISSING_REFERENCE"]
    assert len(kinds) == 7, "user 2 takes its member along, and that and the teams three memberships of teams"
    assert missing[0] == ("MISSING_REFERENCE", "sentry.organizationmember", 2)
    written = _ledger(stack)
    unreadable()

    assert ask(stack, "retry", partly.id, None).state is State.QUEUED
    done = stack.run(partly.id, stack.runner(**_LIMITS))
    assert (done.state, done.error_count, done.finding_count, done.tries) == (State.SUCCEEDED, 0, 0, 1)
    assert done.done_count == done.object_count == len(_FILE)
    assert [row for row in _ledger(stack) if row in written] == written, "a row that stood got another pk"
    counts = {total.model: (counts.inserted, counts.skipped) for total, counts in stack.report(done.id).counts}
    assert counts == {
        "sentry.organization": (1, 0),
        **{f"sentry.{name}": (5, 0) for name in ("user", "organizationmember", "team", "organizationmemberteam")},
    }
    undisturbed = make_stack()
    wanted = undisturbed.natural_rows(_imported(undisturbed).id)
    found = stack.natural_rows(done.id)
    assert {model: sorted(map(str, table)) for model, table in found.items()} == {
        model: sorted(map(str, table)) for model, table in wanted.items()
    }
    chunks = stack.all_in("control", "SELECT counts, findings FROM import_chunk")
    assert all(row["findings"] == [] and row["counts"]["skipped"] == 0 for row in chunks)
    with pytest.raises(errors.WrongImportState):
        ask(stack, "retry", done.id, None)


class Stopping(NamedTuple):
    """A file with the rows of one silo, whose batches come one after the other; where it stops, and its errors."""

    file: list[dict[str, Any]]
    scope: Scope
    caller: Caller
    stops_at: int
    errors_in_all: int


@pytest.mark.parametrize(
    "case",
    [
        Stopping([_FILE[0], *_FILE[11:16]], Scope.ORGANIZATION, CALLER, 5, 2),
        Stopping(_PEOPLE, Scope.USER, OPERATOR, 2, 1),
    ],
    ids=["region", "control"],
)
def test_a_stopped_import_stops_again_at_the_same_rows_and_goes_on_when_it_may(
    stack: ImportStack, unreadable: Callable[[], None], case: Stopping
) -> None:
    upload = stack.upload(json.dumps(case.file).encode(), scope=case.scope, caller=case.caller)
    first = stack.run(upload.id, stack.runner(**_LIMITS))
    assert (first.state, first.error_count, first.done_count) == (State.STOPPED, 1, case.stops_at)
    ask(stack, "retry", first.id, None, caller=case.caller)
    again = stack.run(first.id, stack.runner(**_LIMITS))
    assert (again.state, again.error_count, again.done_count, again.tries) == (State.STOPPED, 1, case.stops_at, 1)
    assert ask(stack, "retry", first.id, True, caller=case.caller).continue_on_error
    done = stack.run(first.id, stack.runner(**_LIMITS))
    assert (done.state, done.error_count) == (State.SUCCEEDED, case.errors_in_all)
    assert done.done_count == len(case.file)


def test_a_stopped_import_of_both_silos_stops_again_and_is_completed(
    stack: ImportStack, unreadable: Callable[[], None]
) -> None:
    first = _imported(stack)
    refused = _refused(stack, first.id)
    # A batch of the other lane may be at hand when the first row is refused.
    assert (first.state, first.error_count) == (State.STOPPED, len(refused))
    ask(stack, "retry", first.id, None)
    again = stack.run(first.id, stack.runner(**_LIMITS))
    assert (again.state, again.tries) == (State.STOPPED, 1)
    assert again.done_count >= first.done_count
    assert refused
    assert refused <= _refused(stack, first.id)
    assert ask(stack, "retry", first.id, True).continue_on_error
    done = stack.run(first.id, stack.runner(**_LIMITS))
    assert (done.state, done.error_count, done.done_count) == (State.SUCCEEDED, 3, len(_FILE))
    states = stack.all_in("region", "SELECT state, error FROM request_record WHERE method LIKE '%UploadImport'")
    assert [row["state"] for row in states] == ["SUCCEEDED"]
    unreadable()
    ask(stack, "retry", first.id, False)
    assert stack.run(first.id, stack.runner(**_LIMITS)).error_count == 0


@pytest.mark.parametrize(("point", "at"), [("import.in_batch", 1), ("import.in_batch", 3), ("import.after_batch", 2)])
def test_a_retry_that_is_killed_anywhere_goes_on_and_ends_the_same(
    stack: ImportStack, unreadable: Callable[[], None], point: str, at: int
) -> None:
    import_id = _imported(stack, continue_on_error=True).id
    unreadable()
    ask(stack, "retry", import_id, None)

    def kill(times: int) -> None:
        if times == at:
            raise Killed

    with barrier.registered(point, kill), pytest.raises(Killed):
        stack.run(import_id, stack.runner(**_LIMITS))
    stack.clock.advance(BatchLimits().lease_s + 10)
    done = stack.run(import_id, stack.runner(rows_max=3))
    assert (done.state, done.finding_count) == (State.SUCCEEDED, 0)
    assert len(_ledger(stack)) == len(_FILE)
    assert stack.all_in("control", "SELECT count(*) AS n FROM user_account") == [{"n": len(_PEOPLE)}]


def test_an_import_that_was_given_up_is_taken_up_where_it_was(stack: ImportStack) -> None:
    import_id = stack.upload(_data()).id
    scopes = dict(stack.scopes)
    stack.scopes.clear()
    failed = stack.run(import_id, stack.runner(**_LIMITS))
    assert failed.state is State.FAILED
    assert failed.done_count <= len(_FILE) - len(_PEOPLE), "what control takes none of"
    stack.scopes.update(scopes)
    taken = ask(stack, "retry", import_id, None)
    assert (taken.error, taken.ended_at, taken.attempts) == (None, None, 0)
    done = stack.run(import_id, stack.runner(**_LIMITS))
    assert (done.state, done.done_count) == (State.SUCCEEDED, len(_FILE))


def test_control_tries_rows_again_that_came_before_and_no_others(
    stack: ImportStack, unreadable: Callable[[], None]
) -> None:
    _imported(stack, continue_on_error=True)
    unreadable()
    first = stack.peer.batches[0]
    again = HandedBatch(first.import_id, first.principal, first.terms, first.model, first.rows, again=True)
    answer = stack.model_imports.import_batch("us", again)
    assert [row.ordinal for row in answer.rows] == [1, 2]
    assert stack.model_imports.import_batch("us", again) == answer
    for ordinals in ((2, 1), (4, 9)):
        handed = [handed_row(ordinal, json.dumps(_PEOPLE[0]).encode()) for ordinal in ordinals]
        wrong = HandedBatch(first.import_id, first.principal, first.terms, first.model, handed, again=True)
        with pytest.raises(errors.InvalidArgument):
            stack.model_imports.import_batch("us", wrong)


def test_what_control_told_of_a_retried_row_is_told_again_when_the_answer_was_lost(
    stack: ImportStack, unreadable: Callable[[], None]
) -> None:
    import_id = _imported(stack, continue_on_error=True).id
    unreadable()
    taken = rows.user(9, str(_PEOPLE[1]["fields"]["username"]))
    stack.do_import([taken], scope=Scope.USER, caller=OPERATOR)
    ask(stack, "retry", import_id, None)

    def kill(_: int) -> None:
        raise Killed

    with barrier.registered("import.handed", kill), pytest.raises(Killed):
        stack.run(import_id, stack.runner(**_LIMITS))
    stack.clock.advance(BatchLimits().lease_s + 10)
    done = stack.run(import_id, stack.runner(**_LIMITS))
    assert [(each.kind, each.model, each.pk) for each in stack.findings(done.id)] == [("SUFFIXED", "sentry.user", "2")]


@pytest.mark.parametrize("change", ["UPDATE organization SET deletion = 2", "purged"])
def test_nothing_more_is_written_into_an_organization_that_goes_or_has_gone(
    stack: ImportStack, unreadable: Callable[[], None], change: str
) -> None:
    import_id = _imported(stack).id
    tables = ("organization_member", "team", "project", "organization")
    statements = [f"DELETE FROM {name}" for name in tables] if change == "purged" else [change]
    stack.region.transact(lambda transaction: [transaction.execute(text(each)) for each in statements])
    with pytest.raises(errors.ImportTargetGone):
        ask(stack, "retry", import_id, None)
