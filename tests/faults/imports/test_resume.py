"""An import that is cut short anywhere goes on where its last chunk stands, and ends with the same rows."""

import io
import json
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from region_silo.imports.domain import State
from region_silo.imports.writer import BatchLimits
from shared import barrier, errors
from siloway_client.export_file import write_export
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import ImportStack

pytestmark = pytest.mark.faults

_LIMITS = {"rows_max": 40, "handed_bytes_max": 12_000}


_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_name = 'user_account'"
_WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Killed(BaseException):
    """Stands for the end of the process: nothing that handles errors handles it."""


def _export(objects: int = 400) -> bytes:
    file = io.BytesIO()
    write_export(file, objects=objects, seed=11, organization_slug="acme")
    return file.getvalue()


def _teams() -> bytes:
    """Rows of the region alone, which one lane writes."""
    return json.dumps([rows.organization(1), *(rows.team(pk, 1, f"team-{pk}") for pk in range(1, 60))]).encode()


def _kill_at(n: int) -> Callable[[int], None]:
    def kill(times: int) -> None:
        if times == n:
            raise Killed

    return kill


def _written(stack: ImportStack) -> int:
    """Rows in the region's ledger."""
    return int(stack.all_in("region", "SELECT count(*) AS n FROM import_row")[0]["n"])


@pytest.mark.parametrize(
    ("point", "at"),
    [
        ("import.in_batch", 1),
        ("import.in_batch", 9),
        ("import.after_batch", 1),
        ("import.after_batch", 12),
        ("import.before_reserve", 1),
        ("import.after_reserve", 1),
        ("import.before_finish", 1),
    ],
)
def test_a_killed_importer_is_taken_over_and_ends_with_the_rows_of_an_undisturbed_run(
    make_stack: Callable[[], ImportStack], point: str, at: int
) -> None:
    data = _export()
    undisturbed = make_stack()
    wanted = undisturbed.natural_rows(undisturbed.run(undisturbed.upload(data).id, undisturbed.runner(**_LIMITS)).id)

    stack = make_stack()
    import_id = stack.upload(data).id
    with barrier.registered(point, _kill_at(at)), pytest.raises(Killed):
        stack.run(import_id, stack.runner(**_LIMITS))
    if point in ("import.in_batch", "import.after_batch"):
        assert len(stack.ledger(import_id)) < len(wanted["ledger"])
    else:
        assert len(stack.ledger(import_id)) == len(wanted["ledger"])
    assert not stack.runner().run_once(), "the dead importer's lease still holds"
    stack.clock.advance(BatchLimits().lease_s + 10)
    assert stack.run(import_id, stack.runner(**_LIMITS)).state is State.SUCCEEDED
    assert stack.natural_rows(import_id) == wanted
    primary = stack.all_in("control", "SELECT slug FROM slug_reservation WHERE type = 0")
    assert [row["slug"] for row in primary] == ["acme"]


def test_a_batch_in_which_the_importer_is_killed_leaves_nothing(stack: ImportStack) -> None:
    import_id = stack.upload(_teams()).id
    with barrier.registered("import.in_batch", _kill_at(2)), pytest.raises(Killed):
        stack.run(import_id, stack.runner(**_LIMITS))
    assert _written(stack) == 1, "the organization alone"


def test_a_batch_that_control_wrote_and_the_region_did_not_record_is_not_written_again(stack: ImportStack) -> None:
    """Also not when batches have another size by then."""
    import_id = stack.upload(_export()).id
    with barrier.registered("import.in_batch", _kill_at(1_000)):
        writing = stack.runner(**_LIMITS)
        answered = stack.model_imports.import_batch
        calls: list[str] = []

        def control_answers_but_nobody_hears(*args: object) -> object:
            answer = answered(*args)  # type: ignore[arg-type]  # passed through
            calls.append("answered")
            if len(calls) == 2:
                raise Killed
            return answer

        object.__setattr__(stack.model_imports, "import_batch", control_answers_but_nobody_hears)
        with pytest.raises(Killed):
            stack.run(import_id, writing)
        object.__setattr__(stack.model_imports, "import_batch", answered)
    users = stack.all_in("control", "SELECT count(*) AS n FROM user_account")[0]["n"]
    known = stack.all_in("region", "SELECT count(*) AS n FROM import_row WHERE model = 'sentry.user'")[0]["n"]
    assert 0 < known < users
    stack.clock.advance(100)
    assert stack.run(import_id, stack.runner(rows_max=7, handed_bytes_max=1 << 20)).state is State.SUCCEEDED
    in_file = next(each.rows for each in stack.report(import_id).data_import.models if each.model == "sentry.user")
    assert stack.all_in("control", "SELECT count(*) AS n FROM user_account")[0]["n"] == in_file
    # User, address and its owner in the file, to which control has nothing to add.
    assert stack.all_in("control", "SELECT count(*) AS n FROM import_row")[0]["n"] == 3 * in_file


def test_a_handed_batch_that_is_repeated_writes_nothing_and_gets_the_stored_answer(stack: ImportStack) -> None:
    stack.run(stack.upload(_export()).id)
    before = stack.all_in("control", "SELECT xmin::text, * FROM user_account ORDER BY id")
    for batch in stack.peer.batches:
        first = stack.model_imports.import_batch("us", batch)
        assert first.counts(len(batch.rows)).skipped == 0
        assert len(first.rows) == (0 if batch.without_rows else len(batch.rows))
        assert stack.model_imports.import_batch("us", batch) == first
    assert stack.all_in("control", "SELECT xmin::text, * FROM user_account ORDER BY id") == before


def test_a_control_that_is_down_delays_an_import_and_never_fails_it(stack: ImportStack) -> None:
    def refuse() -> None:
        raise errors.PeerUnavailable

    stack.peer.before = refuse
    import_id = stack.upload(_export()).id
    waits = []
    for _ in range(40):
        if stack.runner().run_once():
            waits.append(stack.clock.now())
        stack.clock.advance(1)
    assert stack.report(import_id).data_import.state is State.WRITING
    assert len(waits) < 10, "it does not back off"
    stack.peer.before = lambda: None
    stack.clock.advance(30)
    assert stack.run(import_id).state is State.SUCCEEDED
    assert stack.report(import_id).data_import.attempts == 0


def test_an_import_waits_while_its_region_is_declared_lost_and_goes_on_when_it_is_recovered(stack: ImportStack) -> None:
    def refuse() -> None:
        raise errors.Internal(metadata={"peer_reason": "PEER_REFUSED"})  # as the channel tells of it

    import_id = stack.upload(_export()).id
    stack.peer.before = refuse
    for _ in range(60):
        stack.runner().run_once()
        stack.clock.advance(60)
    assert stack.report(import_id).data_import.state is State.WRITING
    stack.peer.before = lambda: None
    assert stack.run(import_id).state is State.SUCCEEDED
    assert stack.report(import_id).data_import.attempts == 0


def test_a_control_that_goes_down_before_the_slugs_are_asked_for_is_asked_again(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id
    calls: list[int] = []

    def fail_once(times: int) -> None:
        calls.append(times)
        if times == 1:
            raise errors.PeerUnavailable

    with barrier.registered("import.before_reserve", fail_once):
        stack.runner().run_once()
        assert stack.report(import_id).data_import.state is State.RESERVING
        assert stack.all_in("region", "SELECT state FROM organization") == [{"state": 0}]
        stack.clock.advance(2)
        assert stack.run(import_id).state is State.SUCCEEDED
    assert calls == [1, 2]
    assert stack.all_in("region", "SELECT state, slug FROM organization") == [{"state": 1, "slug": "acme"}]


def test_a_principal_that_may_not_import_any_more_fails_the_import_with_the_reason(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id
    stack.scopes.clear()
    done = stack.run(import_id)
    assert done.state is State.FAILED
    assert done.error is not None
    assert done.error.reason == "SCOPE_MISSING"
    states = stack.all_in("region", "SELECT state, error->>'reason' AS reason FROM request_record")
    assert states == [{"state": "FAILED", "reason": "SCOPE_MISSING"}]


def test_an_unexpected_error_is_tried_again_and_then_fails_the_import_without_its_text(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id

    def break_down(times: int) -> None:
        raise RuntimeError("password=secret")

    with barrier.registered("import.in_batch", break_down):
        for _ in range(5):
            assert stack.runner().run_once()
            stack.clock.advance(60)
    done = stack.report(import_id).data_import
    assert done.state is State.FAILED
    assert done.error is not None
    assert done.error.reason == "INTERNAL"
    assert "secret" not in done.error.message
    assert _written(stack) == 0


def test_a_file_that_cannot_be_opened_here_leaves_the_import_to_others(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id
    stack.spool.index_path(str(import_id)).rename(stack.spool.index_path("1"))
    assert stack.runner().run_once()
    assert not stack.runner().run_once()
    stack.spool.index_path("1").rename(stack.spool.index_path(str(import_id)))
    stack.clock.advance(6)
    assert stack.run(import_id).state is State.SUCCEEDED


def test_a_writer_whose_lease_another_took_writes_nothing_more(stack: ImportStack) -> None:
    import_id = stack.upload(_teams()).id
    finished: list[State] = []

    def take_over(times: int) -> None:
        if times == 3:
            stack.clock.advance(100)
            finished.append(stack.run(import_id, stack.runner(**_LIMITS)).state)

    with barrier.registered("import.after_batch", take_over):
        stack.runner(**_LIMITS).run_once()
    assert finished == [State.SUCCEEDED]
    report = stack.report(import_id)
    assert report.data_import.done_count == report.data_import.object_count
    assert sum(counts.total for _, counts in report.counts) == report.data_import.object_count


def test_a_process_that_stops_ends_its_batch_and_gives_the_import_to_another_at_once(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id
    stop = threading.Event()

    def stop_at_third(times: int) -> None:
        if times == 3:
            stop.set()

    with barrier.registered("import.after_batch", stop_at_third):
        stack.runner(**_LIMITS).run(stop)
    done = stack.report(import_id).data_import.done_count
    assert 0 < done < 400
    assert stack.runner().run_once()
    assert stack.run(import_id).state is State.SUCCEEDED


def test_a_loop_goes_on_when_the_database_was_away(stack: ImportStack) -> None:
    import_id = stack.upload(_export()).id
    stop = threading.Event()
    waits: list[float] = []
    runner = stack.runner()
    lease = runner.run_once

    def away_once() -> bool:
        if not waits:
            raise errors.StoreUnreachable
        return lease()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        stack.silos.drain("control", "us")
        stack.clock.advance(seconds)
        if stack.report(import_id).data_import.state is State.SUCCEEDED or len(waits) > 50:
            stop.set()

    runner.run_once = away_once  # type: ignore[method-assign]  # the first call meets a database that is away
    runner.run(stop, wait)
    assert stack.report(import_id).data_import.state is State.SUCCEEDED
    assert waits[:2] == [1.0, 0.2], "it does not look more often while slugs are on their way"


def test_slugs_that_come_at_once_are_awaited_and_the_import_is_leased_once(stack: ImportStack) -> None:
    import_id = stack.upload(_teams()).id
    stop = threading.Event()
    leases: list[int] = []

    def wait(_: float) -> None:
        stack.silos.drain("control", "us")
        if stack.report(import_id).data_import.state is State.SUCCEEDED:
            stop.set()

    with barrier.registered("import.leased", leases.append):
        stack.runner().run(stop, wait)
    assert leases == [1]


def test_a_name_that_is_taken_between_resolve_and_write_gets_a_suffix(stack: ImportStack) -> None:
    """A writer beside the import holds the username uncommitted: resolve cannot see it, the insert runs into it."""
    stack.do_import([rows.user(1, "someone@example.com")])
    import_id = stack.upload(json.dumps([rows.user(1, "late@example.com")]).encode()).id
    importing = threading.Thread(target=lambda: stack.runner().run_once())
    with stack.control.engine.connect() as beside:
        beside.execute(text("BEGIN READ WRITE"))
        columns = [row["column_name"] for row in stack.all_in("control", _COLUMNS)]
        values = ["17" if name == "id" else "'late@example.com'" if name == "username" else name for name in columns]
        insert = f"INSERT INTO user_account ({', '.join(columns)}) SELECT {', '.join(values)} FROM user_account"
        beside.execute(text(insert))
        importing.start()
        _wait_until(lambda: bool(stack.all_in("control", _WAITING)))
        beside.execute(text("COMMIT"))
    importing.join(30)
    assert stack.run(import_id).state is State.SUCCEEDED
    names = sorted(row["username"] for row in stack.all_in("control", "SELECT username FROM user_account"))
    assert len(names) == 3
    assert names[0] == "late@example.com"
    assert names[1].startswith("late@example.com-")


def _wait_until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends_at, "it did not come to that"
        time.sleep(0.01)
