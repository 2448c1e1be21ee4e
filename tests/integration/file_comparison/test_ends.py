"""However a comparison ends, it leaves no process, no file and no place taken."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest

from region_silo.file_comparison import process
from region_silo.file_comparison.domain import FileName
from shared import errors
from shared.exports.comparison_lines import Progress
from shared.rpc.call import Call, acting, enter
from tests.integration.file_comparison.doors import Doors
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import METHOD, OPERATOR
from tests.stack import alive, wait_until

pytestmark = pytest.mark.integration

_FILE = [rows.organization(1), rows.team(1, 1, "one")]
_PROGRESS = Progress(rows_read=7)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons take as long as they are wanted."""
    monkeypatch.setattr(process, "_MODULE", "tests.integration.file_comparison.waiting")


def _process_of(doors: Doors) -> int:
    (folder,) = doors.stack.imports.spool_folder.glob("*.work")
    return int((folder / "pid").read_text())


def _is_over(doors: Doors, pid: int) -> bool:
    return not doors.workspaces() and not alive([pid])


@pytest.mark.usefixtures("waiting")
def test_a_call_that_is_cancelled_ends_its_process_and_gives_its_place_back(doors: Doors) -> None:
    file = doors.upload(_FILE)
    calls = [doors.call(file, file) for _ in range(2)]
    assert next(calls[0]).progress.rows_read == 7
    calls[0].cancel()
    wait_until(lambda: len(doors.workspaces()) == 1, "the first one goes on")
    assert next(calls[1]).progress.rows_read == 7
    pid = _process_of(doors)
    calls[1].cancel()
    wait_until(lambda: _is_over(doors, pid), "the second one goes on")
    wait_until(lambda: doors.usecases.places.in_use == 0, "a place is gone")


@pytest.mark.usefixtures("waiting")
def test_a_call_whose_time_is_over_ends_its_process(doors: Doors) -> None:
    file = doors.upload(_FILE)
    call = doors.call(file, file, timeout_s=2)
    assert next(call).progress.rows_read == 7
    pid = _process_of(doors)
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    # Whichever side's clock is first.
    assert caught.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
    wait_until(lambda: _is_over(doors, pid), "it goes on")


@pytest.mark.usefixtures("waiting")
def test_few_compare_at_one_time_and_a_server_that_stops_ends_them(doors: Doors) -> None:
    name = FileName.of(doors.upload(_FILE))
    stopping = threading.Event()
    with acting(OPERATOR, method=METHOD):
        enter(Call(OPERATOR, "x", METHOD, stopping))
        begun = [doors.usecases.compare(name, name, 1) for _ in range(2)]
        assert [next(each) for each in begun] == [_PROGRESS, _PROGRESS]
        with pytest.raises(errors.ResourceExhausted):
            next(doors.usecases.compare(name, name, 1))
        begun[0].close()
        pid = _process_of(doors)
        stopping.set()
        with pytest.raises(errors.Stopping):
            next(begun[1])
    assert _is_over(doors, pid)


def test_a_process_that_dies_is_told_as_our_own_failure(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MODULE", "shared.exports.no_such_program")
    file = doors.upload(_FILE)
    refusal = doors.refused(file, file)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert doors.workspaces() == []


def test_a_process_that_nobody_reads_any_more_ends_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    fields = '{"key":"%d","value":"x"}'
    objects = (f'{{"model":"sentry.option","pk":{pk},"fields":{fields % pk}}}' for pk in range(1, 20_001))
    file.write_text(f"[{','.join(objects)}]")
    command = [
        sys.executable,
        "-m",
        "shared.exports.comparison_process",
        *map(str, (file, file, tmp_path, 1, "values")),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.wait(30) == 1


def test_a_file_that_goes_before_it_is_opened_is_told_as_gone(tmp_path: Path) -> None:
    lines = process.run(tmp_path / "a", tmp_path / "b", tmp_path, findings_max=1, shows_values=True, look_s=1)
    with pytest.raises(errors.SpoolMissing):
        list(lines)


def test_what_a_killed_process_left_is_removed_when_it_is_old_and_counts_until_then(doors: Doors) -> None:
    spool, folder = doors.stack.imports.spool, doors.stack.imports.spool_folder
    with spool.workspace(1) as used:
        left = folder / f"{'a' * 32}.work"
        (left / "left").mkdir(parents=True)
        with (left / "left" / "pks").open("wb") as file:
            file.truncate(600 << 20)
        assert spool.is_crowded(), "it may hold 1 GiB"
        os.utime(left, (0, 0))
        assert spool.remove_workspaces(3600) == 1
        assert not spool.is_crowded()
        assert [path for path in folder.iterdir() if path.suffix == ".work"] == [used]
    assert doors.workspaces() == []
