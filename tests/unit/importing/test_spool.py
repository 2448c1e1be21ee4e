import hashlib
import os
import stat
from pathlib import Path

import pytest

from shared.errors import SpoolFull, SpoolMissing, UploadInProgress
from shared.importing.spool import Spool


def test_a_finished_file_is_found_with_its_length_and_hash(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 1_000_000)
    with spool.receive("7") as writer:
        writer.write(b"abc")
        writer.write(b"def")
        spooled = writer.finish()
    assert (spooled.length, spooled.sha256) == (6, hashlib.sha256(b"abcdef").digest())
    with spool.open("7", 6) as reader:
        assert reader.read_at(2, 3) == b"cde"
        with pytest.raises(SpoolMissing):
            reader.read_at(4, 3)
    path = tmp_path / "spool" / "7.upload"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unfinished_file_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    with spool.receive("7") as writer:
        writer.write(b"abc")
        assert spool.import_ids() == ["7"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SpoolMissing):
        spool.open("7", 3)


def test_another_length_is_a_missing_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    with spool.receive("7") as writer:
        writer.write(b"abc")
        writer.finish()
    with pytest.raises(SpoolMissing) as caught:
        spool.open("7", 4)
    assert caught.value.metadata == {"import": "7"}


def test_what_an_unfinished_upload_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "7.part").write_bytes(b"left by a process that was killed")
    spool = Spool(tmp_path, 1_000_000)
    with spool.receive("7") as writer:
        writer.write(b"abc")
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["7.upload"]
    spool.open("7", 3).close()


@pytest.mark.parametrize("import_id", ["", "../7", "7/8", "a", "7.part", "\u0667", "1" * 21])
def test_an_import_id_that_is_no_number_never_becomes_a_path(tmp_path: Path, import_id: str) -> None:
    spool = Spool(tmp_path, 1_000_000)
    for call in (spool.receive, spool.index_path, spool.remove, lambda name: spool.open(name, 1)):
        with pytest.raises(ValueError, match="not an import id"):
            call(import_id)
    assert list(tmp_path.iterdir()) == []


def test_all_files_together_are_limited_and_removal_makes_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3 << 20)
    with spool.receive("1") as writer:
        writer.write(bytes(2 << 20))
        writer.finish()
    with spool.receive("2") as writer:
        writer.write(bytes((1 << 20) - 1))
        with pytest.raises(SpoolFull) as caught:
            writer.write(b"xx")
    assert caught.value.retry_after_s
    spool.remove("1")
    with spool.receive("3") as writer:
        writer.write(bytes(3 << 20))
        writer.finish()
    with pytest.raises(SpoolFull):
        spool.receive("4")
    assert spool.import_ids() == ["3"]


def test_a_full_disk_is_a_full_spool(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    spool = Spool(tmp_path, 1_000_000)
    writer = spool.receive("1")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._descriptor)
    os.close(full)
    with pytest.raises(SpoolFull):
        writer.write(b"x")
    writer.abort()


def test_a_claim_has_one_holder_and_ends_with_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    with spool.claim("7"):
        with pytest.raises(UploadInProgress), spool.claim("7"):
            pass
        with Spool(tmp_path, 1 << 20).claim("8"):
            pass
    with spool.claim("7"):
        spool.remove("7")
    assert spool.import_ids() == []
