"""Decrypts an export file for the time of an upload, by the program of the file tools; the key stays on this machine.

The decrypted copy is readable by its owner alone and is removed whatever happens, a stop that is asked for included.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn


class DecryptionFailed(Exception):
    """The file was not decrypted; the program has said why on stderr."""


@contextlib.contextmanager
def decrypted(source: Path, key: Path | None) -> Iterator[Path]:
    """The file to upload: the source itself without a key, else a decrypted copy. Raises DecryptionFailed."""
    if key is None:
        yield source
        return
    with stopped_softly(), tempfile.TemporaryDirectory(prefix="siloway-") as folder:
        plain = Path(folder, "export.json")
        command = [sys.executable, "-m", "shared.exports", "decrypt", str(plain)]
        done = subprocess.run([*command, "--src", str(source), "--decrypt-with", str(key)], check=False)
        if done.returncode:
            raise DecryptionFailed(f"{source} was not decrypted")
        yield plain


@contextlib.contextmanager
def stopped_softly() -> Iterator[None]:
    """SIGTERM ends the program by an exception inside, so that what is open is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    del frame
    sys.exit(128 + number)
