"""An import leaves the machine to others while there are any, and its turn ends when another principal's waits."""

import json

import psycopg
import pytest
from sqlalchemy import text

from region_silo.imports.domain import State
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.sharing import ShareSettings, Turn, TurnOverError
from region_silo.imports.writer import BatchLimits
from shared import barrier
from shared.database import Database
from tests.clock import FakeClock
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import CALLER, OPERATOR, REGION, ImportStack


class _Time:
    """Moves when somebody waits, or when told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds

    def taken(self) -> float:
        waited, self.waited = sum(self.waited), []
        return waited


def _turn(stack: ImportStack, time: _Time, **settings: float) -> Turn:
    given = ShareSettings(**{"turn_s": 1e9, "calls_per_second_min": 100.0, **settings})
    return Turn(stack.region, given, CALLER.principal, now=lambda: time.now, wait=time.wait)


def _url(stack: ImportStack) -> str:
    return stack.region.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def _others_work(stack: ImportStack, transactions: int) -> None:
    """Transactions of other processes, counted by the database at once."""
    with psycopg.connect(_url(stack), autocommit=True) as connection:
        for _ in range(transactions):
            connection.execute("SELECT 1")
        connection.execute("SELECT pg_stat_force_next_flush()")


def _work_ourselves(database: Database, transactions: int) -> None:
    """The same, of this process."""
    for _ in range(transactions):
        database.read(lambda transaction: transaction.execute(text("SELECT count(*) FROM data_import")).scalar_one())
    database.read(lambda transaction: transaction.execute(text("SELECT pg_stat_force_next_flush()")).one())


def test_breaks_are_taken_while_others_work_in_proportion_to_the_batch_and_none_when_nobody_does(
    stack: ImportStack,
) -> None:
    time = _Time()
    turn = _turn(stack, time, busy_share=0.25)
    turn.after_batch(0.4, lambda: False)
    assert time.taken() == 0, "it cannot know yet"
    for taken in (0, 1.2):
        _others_work(stack, 300)
        time.now += 1
        turn.after_batch(0.4, lambda: False)
        assert time.taken() == pytest.approx(taken)
    _others_work(stack, 600)
    turn.after_batch(60.0, lambda: False)
    assert time.taken() == pytest.approx(2.0), "a break has an end"
    _others_work(stack, 600)
    turn.after_batch(0.4, lambda: True)
    assert time.taken() == 0, "a process that stops waited"
    time.now += 60
    turn.after_batch(0.4, lambda: False)
    assert time.taken() == 0, "nobody was there any more"


def test_what_this_process_does_itself_is_no_reason_for_a_break(stack: ImportStack, clock: FakeClock) -> None:
    """The outbox has a pool of its own, and delivers hundreds of messages while an import is written."""
    time = _Time()
    turn = _turn(stack, time, busy_share=0.25)
    outbox = Database.open(_url(stack), clock=clock)
    for _ in range(4):
        turn.after_batch(0.4, lambda: False)
        _work_ourselves(stack.region, 200)
        _work_ourselves(outbox, 300)
        _others_work(stack, 50)
        time.now += 1
    assert time.taken() == 0
    for _ in range(2):
        _work_ourselves(outbox, 100)
        _others_work(stack, 400)
        time.now += 1
        turn.after_batch(0.4, lambda: False)
    assert time.taken() == pytest.approx(1.2), "others are seen behind our own"
    outbox.close()


def test_an_import_that_may_have_everything_never_takes_a_break(stack: ImportStack) -> None:
    time = _Time()
    turn = _turn(stack, time, busy_share=1.0)
    for _ in range(3):
        turn.after_batch(0.4, lambda: False)
        _others_work(stack, 200)
        time.now += 1
    assert time.taken() == 0


def test_a_turn_ends_when_it_was_long_enough_and_another_principals_import_waits(stack: ImportStack) -> None:
    time = _Time()
    turn = _turn(stack, time, turn_s=5.0)
    own = stack.upload(json.dumps([rows.organization(1)]).encode(), caller=CALLER)
    time.now += 6
    turn.after_batch(0.1, lambda: False)
    stack.upload(json.dumps([rows.organization(2)]).encode(), caller=OPERATOR)
    turn.after_batch(0.1, lambda: False)
    time.now += 6
    with pytest.raises(TurnOverError):
        turn.after_batch(0.1, lambda: False)
    assert stack.report(own.id).data_import.state is State.QUEUED


def test_two_principals_imports_are_written_in_turns_and_both_end(stack: ImportStack) -> None:
    settings = RunnerSettings(limits=BatchLimits(rows_max=2), share=ShareSettings(turn_s=0.0))
    runner = ImportRunner(stack.region, stack.spool, stack.peer, stack.ids[REGION], settings)
    files = {
        caller: json.dumps(
            [rows.organization(place, f"slug-{place}"), *(rows.team(pk, place, f"t{pk}") for pk in range(1, 7))]
        ).encode()
        for place, caller in enumerate((CALLER, OPERATOR), 1)
    }
    ids = {stack.upload(data, caller=caller).id: caller.principal for caller, data in files.items()}
    written: list[str] = []

    def note(_: int) -> None:
        found = stack.all_in("region", "SELECT principal FROM data_import WHERE state = 3 AND lease_token IS NOT NULL")
        written.append(found[0]["principal"])

    with barrier.registered("import.after_batch", note):
        for _ in range(12):
            runner.run_once()
            stack.clock.advance(0.01)
    assert written[:6] == [CALLER.principal, OPERATOR.principal] * 3
    for import_id in ids:
        assert stack.run(import_id, runner).state is State.SUCCEEDED
