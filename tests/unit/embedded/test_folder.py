"""Folders, locks, ports, logs and process states: the small facts that the stack stands on."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from shared.embedded import folder
from shared.embedded.account import closed_folder
from shared.embedded.failures import FolderLocked, FolderUnreachable, PortTaken
from shared.embedded.folder import FolderLock, check_port, free_ports, make_folder
from shared.embedded.process import is_alive, log_tail, rotate_log, spawn, stop, wait_until


def test_a_folder_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "data"), pytest.raises(FolderLocked, match=f"process {os.getpid()}"):
        FolderLock(tmp_path / "data")
    with FolderLock(tmp_path / "data"):
        pass


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnreachable, match=r"cannot be written \(.+\): run as the user that made it"):
        FolderLock(tmp_path / "file" / "data")


def test_new_folders_let_other_accounts_pass_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_folder(tmp_path / "outer" / "inner")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "outer").stat().st_mode) == 0o711
    assert stat.S_IMODE((tmp_path / "outer" / "inner").stat().st_mode) == 0o711


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} on 127.0.0.1 \(us, public\) is not free"):
            check_port("127.0.0.1", port, "us, public")
    check_port("127.0.0.1", port, "us, public")


def _chosen_by_another_process(ports: list[int]) -> list[int]:
    chooses = (
        "import sys; from shared.embedded import folder; print(*folder._free_among(list(map(int, sys.argv[1:])), 99))"
    )
    command = [sys.executable, "-c", chooses, *map(str, ports)]
    return list(map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()))


def test_ports_that_one_process_has_chosen_are_not_chosen_by_another_until_it_ends() -> None:
    assert _chosen_by_another_process(free_ports(5)) == []
    others = list(range(20_000, 20_050))
    ended = _chosen_by_another_process(others)
    assert len(ended) > 10
    assert set(ended) & set(_chosen_by_another_process(others))


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.parametrize(
    ("outgoing", "low", "high"),
    [
        ("32768\t60999\n", 10_000, 32_767),
        ("1024\t60999\n", 61_000, 65_535),  # nothing below them that is ours to take
        ("1024\t65535\n", 10_000, 65_535),  # nothing apart from them at all
        ("20000\t65535\n", 10_000, 19_999),
        ("5000\t9000\n", 10_000, 65_535),
        ("no numbers", 10_000, 32_767),
    ],
)
def test_free_ports_lie_apart_from_outgoing_ones_while_there_are_such(
    outgoing: str, low: int, high: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(outgoing)
    monkeypatch.setattr(folder, "_OUTGOING_PORTS_FILE", tmp_path / "range")
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(low <= port <= high for port in ports)


def test_where_few_ports_lie_apart_the_rest_is_taken_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text("10003 65533")
    monkeypatch.setattr(folder, "_OUTGOING_PORTS_FILE", tmp_path / "range")
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert sum(port < 10_003 or port > 65_533 for port in ports) >= 1


def test_the_closed_part_of_a_path_is_found(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    tmp_path.chmod(0o700)
    status = tmp_path.stat()
    assert closed_folder(inner, status.st_uid, status.st_gid) is None
    stranger = status.st_uid + 12345
    first_closed = next(part for part in [*reversed(inner.parents), inner] if not part.stat().st_mode & 1)
    assert closed_folder(inner, stranger, stranger) == first_closed


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    try:
        assert wait_until(lambda: not is_alive(child.pid), 10)
        assert Path(f"/proc/{child.pid}").exists()
    finally:
        child.wait()
    assert not is_alive(child.pid)
    assert is_alive(os.getpid())


def test_a_child_leads_its_own_session_and_can_be_forced_to_end(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "child.log"
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    child = spawn([sys.executable, "-S", "-c", script], death_signal=signal.SIGKILL, log_file=log)
    assert wait_until(lambda: log.read_text() == "up\n", 10)
    assert os.getsid(child.pid) == child.pid
    assert stop(child, (signal.SIGTERM, 0.05)) == -signal.SIGKILL
    assert stop(child) == -signal.SIGKILL


def test_a_program_that_is_not_there_is_a_failed_child(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = spawn([tmp_path / "absent"], death_signal=signal.SIGKILL, log_file=log)
    assert child.wait(10) == 1
    assert "FileNotFoundError" in log_tail(log)


def test_a_log_that_has_grown_is_kept_once(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    rotate_log(log, bytes_max=10)
    for text in ("first, long enough\n", "second, long enough\n"):
        log.write_text(text)
        rotate_log(log, bytes_max=10)
    assert not log.exists()
    assert log.with_name("serve.log.1").read_text() == "second, long enough\n"
    log.write_text("short")
    rotate_log(log, bytes_max=10)
    assert log.exists()


def test_the_tail_of_a_log_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    assert log_tail(log) == ""
    log.write_text("\n".join(f"line {number}" for number in range(9)) + "\n")
    assert log_tail(log, 2) == "line 7 | line 8"


def test_a_logs_tail_tells_the_error_and_not_where_to_read_about_it(tmp_path: Path) -> None:
    log = tmp_path / "migrate.log"
    log.write_text("OperationalError: no space left\n[SQL: SELECT 1]\n(Background on this error at: https://x)\n\n")
    assert log_tail(log, 1) == "OperationalError: no space left"
