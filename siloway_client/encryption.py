"""Encrypts an export's file on its way to the disk, by the program of the file tools.

What came in clear is readable by its owner alone and is removed whatever happens, a stop that is asked for included.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from siloway_client.decryption import stopped_softly


class EncryptionFailed(Exception):
    """The file was not encrypted; the program has said why on stderr."""


def encrypt_into(destination: Path | None, chunks: Iterable[bytes], key: Path) -> None:
    """Encrypt the file of these bytes for the owner of a public key; without a `destination` to standard output.

    The destination is whole, or as it was. Raises EncryptionFailed, OSError, and what `chunks` raises.
    """
    with stopped_softly(), tempfile.TemporaryDirectory(prefix="siloway-") as folder:
        plain, sealed = Path(folder, "export.json"), destination or Path(folder, "export.tar")
        with os.fdopen(os.open(plain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
        command = [sys.executable, "-m", "shared.exports", "encrypt", "--src", str(plain), "--encrypt-with", str(key)]
        if subprocess.run([*command, "--", str(sealed)], check=False).returncode:
            raise EncryptionFailed("the export was not encrypted; its file is still there to be downloaded")
        if destination is None:
            with sealed.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
