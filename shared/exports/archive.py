"""The tar archive of an encrypted export: exactly export.json, data.key and key.pub; whatever else it holds is refused.

Headers are read block by block, so no header can ask for memory, and every byte that comes out of a compressed archive
is counted: one that grows to many times its size cannot be an encrypted export, for those do not compress.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from shared.exports.errors import ArchiveExpands, ArchiveTooLarge, InvalidArchive

CONTENT = "export.json"
WRAPPED_KEY = "data.key"
PUBLIC_KEY = "key.pub"

_BLOCK = tarfile.BLOCKSIZE
_PIECE_BYTES = 64 << 10
_SMALL = {WRAPPED_KEY: 64 << 10, PUBLIC_KEY: 64 << 10}
_PARTS = {CONTENT, *_SMALL}
_REGULAR = {tarfile.REGTYPE, tarfile.AREGTYPE}
_DAMAGED = (EOFError, OSError, lzma.LZMAError, zlib.error)
_MAGICS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
MAGIC_BYTES = max(map(len, _MAGICS))


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may look like. Bytes; `members_max` counts directories and headers of headers too."""

    content_bytes_max: int = 64 << 30
    members_max: int = 100
    header_bytes_max: int = 16 << 10
    expansion_max: int = 4
    slack_bytes: int = 1 << 20
    """What a compressed archive may expand to in any case."""
    xz_memory_bytes_max: int = 128 << 20


class ContentSink(Protocol):
    """Takes the content of export.json while it is read; the small parts may come later."""

    def __call__(self, pieces: Iterator[bytes], /) -> None: ...


def compression_of(head: bytes) -> str | None:
    """The compression that a file's first bytes tell; None for none."""
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


def read_archive(path: Path, take_content: ContentSink, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    """Hand export.json to `take_content`, once, and return the two other parts.

    Raises InvalidArchive, ArchiveTooLarge, ArchiveExpands, OSError of opening.
    """
    limits = limits or ArchiveLimits()
    with ExitStack() as stack:
        stream = _open(path, limits, stack)
        return _read_members(stream, take_content, limits)


class ArchiveWriter:
    """Writes the archive into a new seekable file; `content` is a part of unknown length and comes last."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def small(self, name: str, data: bytes) -> None:
        """Write a part whose bytes are here."""
        self._file.write(_header(name, len(data)) + data)
        self._pad(len(data))

    def content(self, pieces: Iterator[bytes]) -> None:
        """Write export.json; its length is entered when it is known. Ends the archive."""
        header_at = self._file.tell()
        self._file.write(_header(CONTENT, 0))
        length = 0
        for piece in pieces:
            self._file.write(piece)
            length += len(piece)
        self._pad(length)
        self._file.write(bytes(2 * _BLOCK))
        self._file.seek(header_at)
        self._file.write(_header(CONTENT, length))
        self._file.seek(0, os.SEEK_END)

    def _pad(self, length: int) -> None:
        self._file.write(bytes(-length % _BLOCK))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Counted:
    """Reads exactly what is asked for and counts it; more than `bytes_max` is an archive that expands."""

    def __init__(self, stream: _Readable, bytes_max: int | None) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._read = 0

    def exactly(self, length: int) -> bytes:
        """`length` bytes; InvalidArchive when there are fewer."""
        data = self.at_most(length)
        if len(data) < length:
            raise InvalidArchive("the archive ends too early")
        return data

    def at_most(self, length: int) -> bytes:
        """As many bytes as there are, up to `length`."""
        data = b""
        while len(data) < length:
            try:
                more = self._stream.read(length - len(data))
            except _DAMAGED as error:
                raise InvalidArchive("the compressed archive is damaged") from error
            if not more:
                break
            data += more
            self._read += len(more)
            if self._bytes_max is not None and self._read > self._bytes_max:
                raise ArchiveExpands(f"the archive expands to more than {self._bytes_max} bytes; it is no export")
        return data

    def pieces(self, length: int) -> Iterator[bytes]:
        """`length` bytes in pieces."""
        while length:
            piece = self.exactly(min(length, _PIECE_BYTES))
            length -= len(piece)
            yield piece

    def skip_padding(self, length: int) -> None:
        """Go to the next block after a part of `length` bytes."""
        self.exactly(-length % _BLOCK)


class _XzFile:
    """Decompresses one xz stream with a limit to the memory that its header may ask for."""

    def __init__(self, file: BinaryIO, memory_bytes_max: int) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory_bytes_max)

    def read(self, size: int, /) -> bytes:
        while not self._decompressor.eof:
            fed = self._file.read(_PIECE_BYTES) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not fed:
                raise EOFError("the compressed data ends too early")
            data = self._decompressor.decompress(fed, max_length=size)
            if data:
                return data
        return b""


def _open(path: Path, limits: ArchiveLimits, stack: ExitStack) -> _Counted:
    file = stack.enter_context(path.open("rb"))
    size = os.fstat(file.fileno()).st_size
    compression = compression_of(file.read(MAGIC_BYTES))
    file.seek(0)
    if compression is None:
        return _Counted(file, None)
    if compression == "gzip":
        stream: _Readable = stack.enter_context(gzip.GzipFile(fileobj=file))
    elif compression == "bzip2":
        stream = stack.enter_context(bz2.BZ2File(file))
    else:
        stream = _XzFile(file, limits.xz_memory_bytes_max)
    return _Counted(stream, size * limits.expansion_max + limits.slack_bytes)


def _read_members(stream: _Counted, take_content: ContentSink, limits: ArchiveLimits) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    extended_size: int | None = None
    for _ in range(limits.members_max):
        block = stream.at_most(_BLOCK)
        if not block or (len(block) == _BLOCK and not any(block)):
            return _complete(found)
        member = _member(block)
        if member.type in {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE}:
            size_given = _read_extended(stream, member, limits)
            extended_size = extended_size if member.type == tarfile.XGLTYPE else size_given
            continue
        size = member.size if extended_size is None else extended_size
        extended_size = None
        if member.isdir():
            if size:
                raise InvalidArchive("a folder of the archive has content")
            continue
        _check_name(member, found)
        if size > _SMALL.get(member.name, limits.content_bytes_max):
            raise ArchiveTooLarge(f"{member.name} of the archive is too large")
        if member.name == CONTENT:
            found[CONTENT] = b""
            take_content(stream.pieces(size))
        else:
            found[member.name] = stream.exactly(size)
        stream.skip_padding(size)
    raise ArchiveTooLarge(f"the archive has more than {limits.members_max} members")


def _member(block: bytes) -> tarfile.TarInfo:
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise InvalidArchive("the file is no archive, or a header of it is damaged") from error
    if member.size < 0:
        raise InvalidArchive("a member of the archive has a negative length")
    return member


def _read_extended(stream: _Counted, member: tarfile.TarInfo, limits: ArchiveLimits) -> int | None:
    """The length that an extended header gives to the next member; times, owners and the like are not looked at."""
    if member.size > limits.header_bytes_max:
        raise ArchiveTooLarge("an extended header of the archive is too large")
    data = stream.exactly(member.size)
    stream.skip_padding(member.size)
    records = [record.partition(b" ")[2].partition(b"=") for record in data.split(b"\n")]
    values = {key: value for key, _, value in records}
    if b"path" in values or any(key.startswith(b"GNU.sparse") for key in values):
        raise InvalidArchive("the archive has a member with a long name or with holes")
    size = values.get(b"size")
    if size is None:
        return None
    if not size.isdigit() or len(size) > 19:
        raise InvalidArchive("an extended header of the archive is damaged")
    return int(size)


def _check_name(member: tarfile.TarInfo, found: dict[str, bytes]) -> None:
    if member.type not in _REGULAR:
        raise InvalidArchive("the archive holds something else than regular files")
    if member.name not in _PARTS:
        raise InvalidArchive(f"the archive holds another file than {', '.join(sorted(_PARTS))}")
    if member.name in found:
        raise InvalidArchive(f"the archive holds {member.name} twice")


def _complete(found: dict[str, bytes]) -> dict[str, bytes]:
    missing = sorted(_PARTS - found.keys())
    if missing:
        raise InvalidArchive(f"the archive lacks {', '.join(missing)}")
    return {name: found[name] for name in _SMALL}


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o600
    return member.tobuf(tarfile.GNU_FORMAT)
