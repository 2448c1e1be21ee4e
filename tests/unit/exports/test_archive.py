import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.exports.archive import ArchiveLimits, read_archive
from shared.exports.encryption import FileKind, decrypt_file, kind_of
from shared.exports.errors import ArchiveExpands, ArchiveTooLarge, ExportFileError, InvalidArchive, UnknownFileKind
from tests.unit.exports.archives import PLAIN, member, parts_of, tar_of
from tests.unit.exports.keys_of import private_key

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def read(path: Path, data: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    path.write_bytes(data)
    content: list[bytes] = []
    found = read_archive(path, content.extend, limits)
    return {**found, "export.json": b"".join(content)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "export.tar"


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_every_form_and_compression_are_read(path: Path, compression: str, form: int) -> None:
    parts = parts_of()
    extra = [member("folder", tarfile.DIRTYPE)]
    if form == tarfile.PAX_FORMAT:
        extra[0].mtime = 1.5  # makes an extended header
    assert read(path, COMPRESSIONS[compression](tar_of(parts, extra=extra, format=form))) == parts
    assert kind_of(path) is FileKind.ENCRYPTED


def test_the_parts_may_stand_in_any_order(path: Path) -> None:
    parts = parts_of()
    assert read(path, tar_of(dict(reversed(parts.items())))) == parts


@pytest.mark.parametrize("name", ["export.json", "data.key", "key.pub"])
def test_a_part_that_lacks_or_stands_twice_is_refused(path: Path, name: str) -> None:
    parts = parts_of()
    twice = tar_of(parts, extra=[member(name)])
    del parts[name]
    with pytest.raises(InvalidArchive, match=name.replace(".", r"\.")):
        read(path, tar_of(parts))
    with pytest.raises(InvalidArchive, match="twice"):
        read(path, twice)


@pytest.mark.parametrize(
    "strange",
    [
        member("readme.txt"),
        member("./export.json"),
        member("x/export.json"),
        member("export.json\n"),
        member("n" * 300),
        member("export.json", tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("export.json", tarfile.LNKTYPE, linkname="data.key"),
        member("export.json", tarfile.FIFOTYPE),
        member("export.json", tarfile.CHRTYPE),
        member("export.json", tarfile.GNUTYPE_SPARSE),
        member("export.json", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.name": "export.json"}),
        member("a", pax_headers={"path": "export.json"}),
    ],
    ids=lambda strange: f"{strange.name[:12]!r}-{strange.type!r}-{len(strange.pax_headers)}",
)
def test_any_other_member_is_refused(path: Path, strange: tarfile.TarInfo) -> None:
    with pytest.raises(InvalidArchive):
        read(path, tar_of(parts_of(), extra=[strange]))


def test_a_member_that_claims_to_be_huge_costs_nothing(path: Path) -> None:
    for name in ("data.key", "key.pub"):
        huge = member(name, size=1 << 40).tobuf(tarfile.GNU_FORMAT)
        with pytest.raises(ArchiveTooLarge):
            read(path, huge)
    with pytest.raises(ArchiveTooLarge):
        read(path, member("export.json", size=1 << 40).tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(InvalidArchive, match="early"):
        read(path, member("export.json", size=1 << 33).tobuf(tarfile.GNU_FORMAT))


def test_a_huge_header_costs_nothing(path: Path) -> None:
    header = member("x", tarfile.XHDTYPE, size=1 << 33).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveTooLarge):
        read(path, header + bytes(1 << 16))
    with pytest.raises(InvalidArchive):
        read(path, member("x", tarfile.GNUTYPE_LONGNAME, size=1 << 33).tobuf(tarfile.GNU_FORMAT))


def test_a_negative_length_is_refused(path: Path) -> None:
    header = bytearray(member("export.json").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\xf0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    with pytest.raises(InvalidArchive):
        read(path, bytes(header))


def test_many_members_are_refused(path: Path) -> None:
    folders = [member(f"folder{number}", tarfile.DIRTYPE) for number in range(200)]
    with pytest.raises(ArchiveTooLarge, match="members"):
        read(path, tar_of(parts_of(), extra=folders))


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_an_archive_that_expands_is_refused_while_it_does(path: Path, compression: str) -> None:
    bomb = tar_of({**parts_of(), "export.json": b"A" * 20_000_000})
    with pytest.raises(ArchiveExpands):
        read(path, COMPRESSIONS[compression](bomb))


def test_xz_may_not_ask_for_any_memory(path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 28}]
    data = lzma.compress(tar_of(parts_of()), filters=filters)
    with pytest.raises(InvalidArchive):
        read(path, data)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz"])
def test_a_compressed_archive_that_is_cut_off_is_refused(path: Path, compression: str) -> None:
    data = COMPRESSIONS[compression](tar_of(parts_of()))
    with pytest.raises(InvalidArchive):
        read(path, data[: len(data) // 2])


def test_limits_to_the_content_hold(path: Path) -> None:
    with pytest.raises(ArchiveTooLarge, match=r"export\.json"):
        read(path, tar_of(parts_of()), ArchiveLimits(content_bytes_max=100))


@given(st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_crashes_or_hangs_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    compression = data.draw(st.sampled_from(sorted(COMPRESSIONS)))
    damaged = bytearray(COMPRESSIONS[compression](tar_of(parts_of())))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 1 << 20)) % len(damaged)  # its length differs from run to run
        damaged[place : place + data.draw(st.integers(0, 600))] = data.draw(st.binary(max_size=20))
    source = tmp_path / "damaged"
    source.write_bytes(damaged + b"?")
    started = time.monotonic()
    try:
        decrypt_file(source, tmp_path / "plain", private_key())
    except ExportFileError:
        assert not (tmp_path / "plain").exists()
    else:  # the damage was where nothing is read
        assert (tmp_path / "plain").read_bytes() == PLAIN
        (tmp_path / "plain").unlink()
    assert time.monotonic() - started < 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["damaged"]


@given(st.binary(max_size=2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_have_a_kind_or_are_refused(tmp_path: Path, junk: bytes) -> None:
    source = tmp_path / "junk"
    source.write_bytes(junk)
    with contextlib.suppress(UnknownFileKind):
        assert kind_of(source) in FileKind
    with pytest.raises(ExportFileError):
        read(source, junk)


@pytest.mark.parametrize("text", [b"[]", b" \r\n[", b"\xef\xbb\xbf[{"])
def test_json_is_told_from_archives(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    assert kind_of(path) is FileKind.PLAIN


def test_what_the_writer_writes_the_standard_reader_reads(path: Path) -> None:
    from shared.exports.archive import ArchiveWriter

    parts = parts_of()
    with path.open("wb") as file:
        writer = ArchiveWriter(file)
        writer.small("data.key", parts["data.key"])
        writer.small("key.pub", parts["key.pub"])
        writer.content(iter([parts["export.json"][:7], parts["export.json"][7:]]))
    with tarfile.open(path, "r:") as archive:
        assert {each.name: archive.extractfile(each).read() for each in archive} == parts  # type: ignore[union-attr]
    assert io.BytesIO(path.read_bytes()).read(2) != b"\x1f\x8b"
