"""The folder where uploaded files wait for their import: one file an import, written once, then only read.

A file stands under its final name only when it is whole and on disk; until then it may break off and go on, under a
claim that one process at a time has. All files together stay below a size limit, give or take one measuring interval
of each upload under way. Ids are checked before they become part of a path.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shared import barrier
from shared.errors import SpoolFull, SpoolMissing, UploadInProgress

_ID = re.compile(r"[0-9]{1,20}")
_NAME = re.compile(r"([0-9]{1,20})\.(?:upload|index|part|lock)")
_WORKSPACE = re.compile(r"[0-9a-f]{32}\.work")
_MEASURE_EVERY_BYTES = 1 << 20
_READ_BYTES = 1 << 20
_ON_ITS_WAY_BYTES = 1 << 20
_CLAIM_TRIES = 3
_CLAIM_AGAIN_S = 2.0
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True)
class SpooledFile:
    """A file that is whole and on disk: its length in bytes and its SHA-256."""

    length: int
    sha256: bytes


class Spool:
    """Files of imports in `folder`, `bytes_max` for all of them together (indexes and unfinished uploads count)."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def receive(self, import_id: str) -> "SpoolWriter":
        """Begin an upload. What an earlier, unfinished upload of this import left is replaced. Raises SpoolFull."""
        self.check_room(1)
        return SpoolWriter(self, self._path(import_id, "part"), self._path(import_id, "upload"))

    def go_on(self, import_id: str) -> "SpoolWriter":
        """Go on with an upload that broke off: first `replay`, then `write` behind it. Raises SpoolFull."""
        self.check_room(0)
        return SpoolWriter(self, self._path(import_id, "part"), self._path(import_id, "upload"), goes_on=True)

    def part_length(self, import_id: str) -> int:
        """How many bytes of an upload that is not whole are here."""
        try:
            return self._path(import_id, "part").stat().st_size
        except OSError:
            return 0

    def holds(self, import_id: str) -> bool:
        """Whether the import's whole file is here."""
        return self._path(import_id, "upload").is_file()

    @contextlib.contextmanager
    def claim(self, import_id: str) -> Iterator[None]:
        """Be the only one, in any process, who writes the import's file. Raises UploadInProgress, OSError.

        The claim ends with the process at the latest.
        """
        path = self._path(import_id, "lock")
        descriptor = _lock(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def open(self, import_id: str, expected_length: int) -> "SpoolReader":
        """Open a whole file; SpoolMissing when it is not there, not readable, or of another length."""
        path = self._path(import_id, "upload")
        try:
            reader = SpoolReader(path)
        except OSError as error:
            raise SpoolMissing(metadata={"import": import_id}) from error
        if reader.length != expected_length:
            reader.close()
            message = f"The uploaded file has {reader.length} bytes instead of {expected_length}."
            raise SpoolMissing(message, metadata={"import": import_id})
        return reader

    def remove(self, import_id: str) -> None:
        """Delete all that belongs to the import; nothing to delete is well."""
        for kind in ("upload", "index", "part", "lock"):
            self._path(import_id, kind).unlink(missing_ok=True)
            barrier.reach("spool.file_removed")
        _fsync_folder(self._folder)

    def import_ids(self) -> list[str]:
        """The imports that have any file here, whole or not: a cleaner compares them with the database."""
        names = (_NAME.fullmatch(entry.name) for entry in self._entries())
        return sorted({name[1] for name in names if name}, key=int)

    def index_path(self, import_id: str) -> Path:
        """Where the import's object index stands."""
        return self._path(import_id, "index")

    @contextlib.contextmanager
    def workspace(self, bytes_wanted: int) -> Iterator[Path]:
        """A folder for what somebody needs meanwhile; it counts in the limit and goes with the context. Raises
        SpoolFull.
        """
        self.check_room(bytes_wanted)
        path = self._folder / f"{uuid.uuid4().hex}.work"
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def remove_workspaces(self, older_than_s: float) -> int:
        """Remove those that a process left behind when it was killed; how many. None is in use for so long."""
        removed = 0
        for entry in self._entries():
            with contextlib.suppress(FileNotFoundError):
                is_old = entry.stat(follow_symlinks=False).st_mtime < time.time() - older_than_s
                if _WORKSPACE.fullmatch(entry.name) and is_old:
                    shutil.rmtree(entry.path, ignore_errors=True)
                    removed += 1
        return removed

    def check_room(self, more_bytes: int) -> None:
        """Raise SpoolFull (retryable) when `more_bytes` more than what stands there now do not fit."""
        if self._used() + more_bytes > self._bytes_max:
            raise SpoolFull(metadata={"maximum": str(self._bytes_max)}, retry_after_s=60)

    def is_crowded(self) -> bool:
        """Whether more than half of it is taken: what is not needed should go."""
        return self._used() > self._bytes_max // 2

    def _used(self) -> int:
        used = 0
        for entry in self._entries():
            used += _size(Path(entry.path))
            for folder, _, names in os.walk(entry.path) if _WORKSPACE.fullmatch(entry.name) else ():
                used += sum(_size(Path(folder, name)) for name in names)
        return used

    def _entries(self) -> Iterator["os.DirEntry[str]"]:
        with os.scandir(self._folder) as entries:
            yield from entries

    def _path(self, import_id: str, kind: str) -> Path:
        if not _ID.fullmatch(import_id):
            raise ValueError(f"not an import id: {import_id!r}")
        return self._folder / f"{import_id}.{kind}"


class SpoolWriter:
    """One upload on its way to disk, ended by `finish`, `keep` or `abort`; left as a context, what is unfinished is
    aborted.
    """

    def __init__(self, spool: Spool, part: Path, final: Path, *, goes_on: bool = False) -> None:
        self._spool = spool
        self._part, self._final = part, final
        if not goes_on:
            part.unlink(missing_ok=True)
        how = 0 if goes_on else os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC | how, 0o600)
        self._hash = hashlib.sha256()
        self._unmeasured = 0
        self._on_its_way = 0
        self.length = 0

    def write(self, chunk: bytes) -> None:
        """Append; raises SpoolFull when the folder's limit or the disk is reached."""
        self._unmeasured += len(chunk)
        if self._unmeasured >= _MEASURE_EVERY_BYTES:
            self._spool.check_room(len(chunk))
            self._unmeasured = 0
        self._hash.update(chunk)
        self.length += len(chunk)
        write_all(self._descriptor, chunk)
        self._send_on_its_way()

    def _send_on_its_way(self) -> None:
        """Have what was written brought to disk meanwhile, so that little is left when the file is finished."""
        length = self.length - self._on_its_way
        if length >= _ON_ITS_WAY_BYTES:
            # Linux begins to write these pages, and drops none of them while they are being written.
            os.posix_fadvise(self._descriptor, self._on_its_way, length, os.POSIX_FADV_DONTNEED)
            self._on_its_way = self.length

    def replay(self) -> Iterator[bytes]:
        """What stood there before, piece by piece, as if it had just been written."""
        while piece := os.pread(self._descriptor, _READ_BYTES, self.length):
            self._hash.update(piece)
            self.length += len(piece)
            yield piece
        os.lseek(self._descriptor, self.length, os.SEEK_SET)
        self._on_its_way = self.length

    def holds(self, data: bytes, offset: int) -> bool:
        """Whether these bytes stand there."""
        return os.pread(self._descriptor, len(data), offset) == data

    def keep(self) -> None:
        """Bring what came to disk, unfinished, so that another writer can go on."""
        if self._descriptor >= 0:
            os.fsync(self._descriptor)
            self._close()
            _fsync_folder(self._part.parent)

    def finish(self) -> SpooledFile:
        """Bring the file to disk under its final name. Raises SpoolFull as `write` does."""
        self._spool.check_room(0)
        os.fsync(self._descriptor)
        self._close()
        barrier.reach("spool.before_rename")
        self._part.replace(self._final)
        _fsync_folder(self._final.parent)
        return SpooledFile(self.length, self._hash.digest())

    def abort(self) -> None:
        """Remove what was written; nothing when it is finished or aborted already."""
        if self._descriptor >= 0:
            self._close()
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


class SpoolReader:
    """A whole file, read at any place; several threads may."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.length = os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; SpoolMissing when the file has become shorter."""
        found = os.pread(self._descriptor, length, offset)
        while len(found) < length:
            more = os.pread(self._descriptor, length - len(found), offset + len(found))
            if not more:
                raise SpoolMissing("The uploaded file has become shorter.")
            found += more
        return found

    def close(self) -> None:
        """Give the file handle back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write every byte; a full disk is SpoolFull."""
    view = memoryview(data)
    with room_told():
        while view:
            view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def room_told() -> Iterator[None]:
    """A full disk, found inside, is SpoolFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFull("The disk of the spool is full.", retry_after_s=60) from error
        raise


def _size(path: Path) -> int:
    """What the file, or the link itself, takes; nothing when it was removed since it was listed."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    """A descriptor of the file at `path`, locked. Raises UploadInProgress when somebody else has it."""
    for _ in range(_CLAIM_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):  # whoever had it before removed it when they were done
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            break
        os.close(descriptor)
    raise UploadInProgress(retry_after_s=_CLAIM_AGAIN_S)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
