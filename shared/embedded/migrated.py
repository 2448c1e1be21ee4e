"""Which local databases need their migrate program at this start.

A start costs a second less without it. It is left out only for a database of the stack's own server that was there
before, whose last migration ended well with the same revisions and the same settings. In doubt it runs: it does nothing
where nothing is to be done.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

_SETTINGS = ("SILOWAY_REGIONS", "SILOWAY_BOOTSTRAP_TOKEN_FILE")
_TOKEN_FILE = "SILOWAY_BOOTSTRAP_TOKEN_FILE"  # noqa: S105  # a setting's name


class MigrationStamps:
    """What was migrated in a folder: a fingerprint for each silo."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_current(self, silo: str, revisions: Path, environment: Mapping[str, str]) -> bool:
        """Whether the silo's migrate program would have nothing to do."""
        token_file = environment.get(_TOKEN_FILE)
        if token_file is not None and not Path(token_file).is_file():
            return False
        return self._read().get(silo) == _fingerprint(revisions, environment)

    def stamp(self, silo: str, revisions: Path, environment: Mapping[str, str]) -> None:
        """Note that its migration has ended well."""
        self._write({**self._read(), silo: _fingerprint(revisions, environment)})

    def forget(self, silos: Collection[str]) -> None:
        """Nothing is known of their databases any more."""
        if silos:
            self._write({name: stamp for name, stamp in self._read().items() if name not in silos})

    def _write(self, stamps: Mapping[str, str]) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(stamps, indent=2) + "\n")
        fresh.replace(self._file)

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _fingerprint(revisions: Path, environment: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    shared_tables = Path(__file__).resolve().parents[1] / "migrations" / "start.py"
    for file in (*sorted(revisions.glob("*.py")), shared_tables):
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    for name in _SETTINGS:
        digest.update(f"{name}={environment.get(name, '')}\n".encode())
    return digest.hexdigest()
