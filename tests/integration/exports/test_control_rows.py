"""Control's rows wait on disk, not in a transaction, for a region that takes them slowly, and leave nothing there."""

import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from control_silo.model_exports import servicer
from control_silo.model_exports.domain import Keeping
from control_silo.model_exports.usecases import ModelExportUseCases
from region_silo.exports.domain import Scope, State
from shared import barrier, errors
from shared.database import Transaction
from shared.exporting.handover import HandedRow, RowsWanted
from shared.importing.registry import ImportScope
from shared.places import Places
from shared.rpc.idle import IdleWatch
from tests.integration.exports.doors import Doors
from tests.integration.exports.stack import ExportStack
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR, REGION
from tests.stack import wait_until

_OPEN_TRANSACTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' AND xact_start IS NOT NULL"
)


def _wanted(stack: ExportStack) -> RowsWanted:
    return RowsWanted(stack.imports.ids[REGION].take(1)[0], OPERATOR.principal, ImportScope.USER)


@pytest.fixture
def bytes_max() -> int:
    return 2 << 20


@pytest.fixture
def keeping(tmp_path: Path, bytes_max: int) -> Keeping:
    folder = tmp_path / "control"
    folder.mkdir()
    return Keeping(folder, bytes_max, tell_every_s=0.01)


@pytest.fixture
def control(stack: ExportStack, keeping: Keeping) -> ModelExportUseCases:
    """Has one place; the doors, which a test asks for behind it, serve it too."""
    stack.model_exports = replace(
        stack.model_exports, keeping=keeping, places=Places(1, doing="exports take rows", again_s=10.0)
    )
    return stack.model_exports


def _folder(control: ModelExportUseCases) -> Path:
    assert control.keeping.folder is not None
    return control.keeping.folder


def _open_files(folder: Path) -> list[str]:
    links = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(each.readlink()))
        except FileNotFoundError:  # closed since it was listed
            continue
    return [link for link in links if link.startswith(f"{folder}/")]


def _open_transactions(stack: ExportStack) -> int:
    return int(stack.value("control", _OPEN_TRANSACTIONS))


def test_no_transaction_of_controls_is_open_while_a_region_does_not_take_its_rows(stack: ExportStack) -> None:
    stack.import_all([rows.user(pk, f"user{pk}") for pk in range(1, 4)])
    with barrier.registered("model_export.row", lambda _times: seen.append(_open_transactions(stack))):
        seen: list[int] = []
        given = 0
        for row in stack.model_exports.rows(REGION, _wanted(stack)):
            if row is not None:
                assert _open_transactions(stack) == 0
                given += 1
    assert given > 3
    assert seen == [1] * given, "they were read in one"


def test_rows_wait_in_a_file_that_is_gone_when_they_are_taken_or_are_wanted_no_more(
    stack: ExportStack, control: ModelExportUseCases
) -> None:
    stack.import_all([rows.user(1, "ada"), rows.user(2, "bob")])
    folder = _folder(control)
    for wants_all in (True, False):
        taken = control.rows(REGION, _wanted(stack))
        first = next(row for row in taken if row is not None)
        assert len(_open_files(folder)) == 1
        assert list(folder.iterdir()) == [], "it has no name"
        if wants_all:
            assert first not in list(taken)
        else:
            taken.close()  # type: ignore[attr-defined]  # it is a generator
        assert _open_files(folder) == []


def test_more_rows_than_may_be_kept_fail_the_export_at_once_and_leave_no_file(
    stack: ExportStack, control: ModelExportUseCases, doors: Doors, bytes_max: int
) -> None:
    stack.import_all([rows.user(1, "ada")])
    stack.keep("control", "sentry.controloption", {}, {"key": "long", "value": "x" * 3_000_000})
    export_id = stack.create(Scope.CONFIG).id
    assert doors.runner().run_once()
    found = stack.get(export_id)
    assert found.state is State.FAILED
    assert found.error is not None
    assert (found.error.reason, found.error.metadata["maximum"]) == ("EXPORT_TOO_LARGE", str(bytes_max))
    assert _open_files(_folder(control)) == []
    assert _open_transactions(stack) == 0


def test_an_export_waits_while_control_has_no_place_for_its_rows(control: ModelExportUseCases, doors: Doors) -> None:
    doors.stack.import_all([rows.user(1, "ada")])
    export_id = doors.stack.create(Scope.USER).id
    with control.places.taken():
        assert doors.runner().run_once()
    assert doors.stack.get(export_id).state is State.BUILDING
    doors.stack.clock.advance(31)
    assert doors.runner().run_once()
    assert doors.stack.get(export_id).state is State.SUCCEEDED
    assert control.places.in_use == 0


def test_control_tells_that_it_reads_and_stops_when_nobody_waits_for_it(
    control: ModelExportUseCases, doors: Doors
) -> None:
    doors.stack.import_all([rows.user(pk, f"user{pk}") for pk in range(1, 4)])
    told, reads = threading.Event(), threading.Event()

    def hold(_times: int) -> None:
        reads.set()
        assert told.wait(20)

    with barrier.registered("model_export.row", hold):
        taken = doors.peer().rows(_wanted(doors.stack))
        assert next(taken) is None
        assert reads.wait(20)
        taken.close()  # type: ignore[attr-defined]  # it is a generator
        told.set()
        wait_until(lambda: not control.places.in_use, "the call has not ended")
    assert _open_files(_folder(control)) == []
    assert _open_transactions(doors.stack) == 0


def test_a_statement_for_which_nobody_waits_is_ended(stack: ExportStack, control: ModelExportUseCases) -> None:
    def work(transaction: Transaction) -> None:
        transaction.driver.execute("LOCK TABLE user_account IN ACCESS EXCLUSIVE MODE")
        taken = control.rows(REGION, _wanted(stack))
        assert next(taken) is None
        taken.close()  # type: ignore[attr-defined]  # it is a generator
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("export-rows")]

    stack.control.transact(work)
    assert control.places.in_use == 0


def test_rows_that_were_never_asked_for_take_no_place(stack: ExportStack, control: ModelExportUseCases) -> None:
    control.rows(REGION, _wanted(stack))
    assert control.places.in_use == 0
    assert _open_files(_folder(control)) == []


@pytest.mark.parametrize("bytes_max", [64 << 20])
def test_a_region_that_takes_nothing_for_long_is_cut_off(
    control: ModelExportUseCases, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_than_sockets_hold = 16
    for key in range(more_than_sockets_hold):
        doors.stack.keep("control", "sentry.controloption", {}, {"key": f"long{key}", "value": "x" * (1 << 20)})
    monkeypatch.setattr(servicer, "_UNTAKEN", IdleWatch(0.1, look_every_s=0.02))
    taken = doors.peer().rows(replace(_wanted(doors.stack), scope=ImportScope.CONFIG))
    next(row for row in taken if row is not None)
    wait_until(lambda: not control.places.in_use, "the call has not ended")
    with pytest.raises(errors.PeerUnavailable):
        list(taken)
    assert _open_files(_folder(control)) == []


def test_a_region_keeps_its_lease_as_long_as_control_tells_that_it_reads(
    stack: ExportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = stack.create(Scope.USER).id
    overtaken: list[bool] = []

    def slow(_wanted: RowsWanted) -> Iterator[HandedRow | None]:
        for _ in range(3):
            stack.clock.advance(50)
            yield None
            overtaken.append(stack.runner().run_once())

    monkeypatch.setattr(stack.peer, "rows", slow)
    assert stack.runner().run_once()
    assert overtaken == [False, False, False]
    assert stack.get(export_id).state is State.SUCCEEDED


def test_a_region_that_stops_does_not_wait_for_controls_first_row(
    stack: ExportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_id = stack.create(Scope.USER).id
    stop = threading.Event()

    def silent(_wanted: RowsWanted) -> Iterator[HandedRow | None]:
        stop.set()
        while True:
            yield None

    monkeypatch.setattr(stack.peer, "rows", silent)
    stack.runner().run(stop)
    assert stack.get(export_id).state is State.BUILDING
    assert stack.files.found() == []


@pytest.mark.parametrize("step", ["control_silo.model_exports.kept_rows.TemporaryFile", "os.write"])
def test_a_full_disk_of_controls_is_a_limit_that_passes(
    stack: ExportStack, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stack.import_all([rows.user(1, "ada")])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    taken = stack.model_exports.rows(REGION, _wanted(stack))
    with monkeypatch.context() as patched:
        patched.setattr(step, full)
        with pytest.raises(errors.ResourceExhausted) as caught:
            list(taken)
    assert caught.value.reason == "TOO_MANY_CALLS", "so the region waits"
