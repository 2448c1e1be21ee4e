"""Encrypts and decrypts whole export files, and tells a plain file from an encrypted one.

A result appears under its name only when it is whole, readable by its owner alone; nothing of a failure stays.
"""

import contextlib
import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from shared.exports import fernet
from shared.exports.archive import (
    PUBLIC_KEY,
    WRAPPED_KEY,
    ArchiveLimits,
    ArchiveWriter,
    compression_of,
    read_archive,
)
from shared.exports.errors import InvalidKey, UnknownFileKind
from shared.exports.keys import DecryptingKey, EncryptingKey, wrap_data_key
from shared.exports.objects import compacted, read_objects

_HEAD_BYTES = 4096
_BOM = b"\xef\xbb\xbf"


class FileKind(Enum):
    """What a file is, told by its first bytes."""

    PLAIN = "JSON"
    ENCRYPTED = "encrypted archive"


def kind_of(path: Path) -> FileKind:
    """Plain JSON or an archive. Raises UnknownFileKind for neither, OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.removeprefix(_BOM).lstrip(b" \t\r\n")[:1] == b"[":
        return FileKind.PLAIN
    if compression_of(head) is not None:
        return FileKind.ENCRYPTED
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as error:
        raise UnknownFileKind(f"{path} is neither a JSON array nor an archive") from error
    return FileKind.ENCRYPTED


def encrypt_file(source: Path, destination: Path, key: EncryptingKey) -> None:
    """Encrypt a plain export; what is encrypted is compact JSON. Raises InvalidExport, InvalidKey, OSError."""
    public_key = key.public_key_pem()
    data_key = fernet.DataKey.fresh()
    wrapped = wrap_data_key(data_key.text, public_key)
    with new_file(destination) as file:
        writer = ArchiveWriter(file)
        writer.small(WRAPPED_KEY, wrapped)
        writer.small(PUBLIC_KEY, public_key)
        writer.content(fernet.encrypt(compacted(read_objects(source)), data_key))


def decrypt_file(source: Path, destination: Path, key: DecryptingKey, limits: ArchiveLimits | None = None) -> None:
    """Decrypt an archive. The signature of all of it is verified before the first byte is written.

    Raises InvalidArchive, ArchiveTooLarge, ArchiveExpands, WrongKey, Tampered, OSError.
    """
    with tempfile.TemporaryFile(dir=destination.parent) as spool, new_file(destination) as file:
        length = 0

        def take(pieces: Iterator[bytes]) -> None:
            nonlocal length
            length = fernet.spool_token(pieces, spool)

        parts = read_archive(source, take, limits)
        data_key = fernet.DataKey(key.decrypt_data_key(parts[WRAPPED_KEY], parts[PUBLIC_KEY]))
        fernet.verify(spool, length, data_key)
        _write(file, fernet.decrypted(spool, length, data_key))


@contextlib.contextmanager
def plain_file(source: Path, key: DecryptingKey | None) -> Iterator[Path]:
    """A plain file with the export's JSON: the source itself, or a decrypted copy that is removed at the end.

    Raises InvalidKey when the file is encrypted and no key is given, and what `decrypt_file` and `kind_of` raise.
    """
    if kind_of(source) is FileKind.PLAIN:
        yield source
        return
    if key is None:
        raise InvalidKey(f"{source.name} is encrypted; a key is needed to read it")
    with tempfile.TemporaryDirectory(prefix="siloway-") as folder:
        plain = Path(folder, "export.json")
        decrypt_file(source, plain, key)
        yield plain


@contextlib.contextmanager
def new_file(destination: Path) -> Iterator[BinaryIO]:
    """A new file of mode 0600 that takes its name, in place of what is there, when the block ends well."""
    descriptor, name = tempfile.mkstemp(prefix=f".{destination.name[:100]}.", dir=destination.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write(file: BinaryIO, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        file.write(piece)
