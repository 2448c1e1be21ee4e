"""Certificates that are replaced while the process runs.

What is in use is always one whole set whose key fits its certificate: files that are just being replaced, or are
broken, leave the former set in use, with one line in the log.
"""

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog

from shared.rpc.addresses import CannotServe, read_pem

LOOK_S = 1.0
"""How old what is known of the files may be."""

_log = structlog.get_logger("siloway.certificates")
_Stamp = tuple[tuple[int, int, int], ...]


class Pems(NamedTuple):
    """One set. `authority` may hold several certificates, the old and the new one during a rotation."""

    certificate: bytes
    key: bytes
    authority: bytes | None


class PemFiles:
    """A certificate, its key, and the authority that peers must be signed by, if any. Thread-safe."""

    def __init__(
        self,
        certificate_file: Path,
        key_file: Path,
        authority_file: Path | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the files. Raises CannotServe when one cannot be read, or the key does not fit."""
        self._files = (certificate_file, key_file, *((authority_file,) if authority_file is not None else ()))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stamp = _stamp(self._files)
        self._pems = _read(self._files)
        self._look_at = monotonic() + LOOK_S

    def current(self) -> Pems:
        """The newest whole set; looks at the files once a second at most."""
        with self._lock:
            now = self._monotonic()
            if now >= self._look_at:
                self._look_at = now + LOOK_S
                self._look()
            return self._pems

    def _look(self) -> None:
        try:
            stamp = _stamp(self._files)
            if stamp == self._stamp:
                return
            pems = _read(self._files)
            if _stamp(self._files) != stamp:  # replaced while they were read
                return
        except (CannotServe, OSError) as error:
            _log.warning("certificate_not_taken", file=str(self._files[0]), error=str(error))
            return
        self._stamp, self._pems = stamp, pems
        _log.info("certificate_taken", file=str(self._files[0]))


def _read(files: tuple[Path, ...]) -> Pems:
    certificate, key, *rest = (read_pem(file) for file in files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files[0], files[1], password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise CannotServe(f"{files[0]} and {files[1]} are no certificate and key that fit.") from error
    if not rest:
        return Pems(certificate, key, None)
    try:
        context.load_verify_locations(files[2])
    except (ssl.SSLError, ValueError) as error:
        raise CannotServe(f"{files[2]} holds no certificate.") from error
    return Pems(certificate, key, rest[0])


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    try:
        found = [file.stat() for file in files]
    except OSError as error:
        raise CannotServe(f"Cannot read {error.filename}: {(error.strerror or str(error)).lower()}.") from error
    return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
