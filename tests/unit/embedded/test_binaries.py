"""Which server programs are taken, and what is said when there are none."""

from pathlib import Path

import pytest

from shared.embedded import binaries
from shared.embedded.failures import BinariesMissing


def _pretend_postgres(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def test_a_named_folder_wins(tmp_path: Path) -> None:
    named = _pretend_postgres(tmp_path / "bin", "16.4 (Debian)")
    assert binaries.find_postgres(named) == binaries.PostgresBinaries(named, 16)


def test_a_named_folder_without_programs_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="SILOWAY_PG_BIN"):
        binaries.find_postgres(tmp_path)


def test_a_named_folder_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="15 or later"):
        binaries.find_postgres(_pretend_postgres(tmp_path / "bin", "14.9"))


def test_the_newest_of_the_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("14.1", "16.2", "17.0", "15.9"):
        _pretend_postgres(tmp_path / version, version)
    monkeypatch.setattr(binaries, "_MACHINE_FOLDERS", (f"{tmp_path}/*",))
    monkeypatch.setenv("PATH", str(tmp_path / "16.2"))
    assert binaries.find_postgres().folder == tmp_path / "17.0"


def test_existing_data_is_run_by_its_own_version_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("16.2", "17.0"):
        _pretend_postgres(tmp_path / version, version)
    monkeypatch.setattr(binaries, "_MACHINE_FOLDERS", (f"{tmp_path}/*",))
    monkeypatch.setattr(binaries, "wheel_postgres", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert binaries.find_postgres(data_major=16).major == 16
    with pytest.raises(BinariesMissing, match="made by PostgreSQL 15, found is only 17"):
        binaries.find_postgres(data_major=15)


def test_a_machine_without_any_is_told_three_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_MACHINE_FOLDERS", ())
    monkeypatch.setattr(binaries, "_package_folder", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BinariesMissing, match=r"install it, set SILOWAY_PG_BIN, or install the extra"):
        binaries.find_postgres()
    with pytest.raises(BinariesMissing, match=r"install redis-server, set SILOWAY_REDIS_BIN, or install the extra"):
        binaries.find_redis()


def test_redis_on_the_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "valkey-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find_redis() == program
    monkeypatch.setenv("PATH", "")
    assert binaries.find_redis() == binaries.wheel_redis()


def test_a_named_redis_that_is_no_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BinariesMissing, match="SILOWAY_REDIS_BIN"):
        binaries.find_redis(tmp_path / "absent")
