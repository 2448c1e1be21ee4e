"""As whom a server runs. PostgreSQL refuses root, so root gives up its rights: to `postgres` or `nobody` when that
account can reach the programs and the data, else by a user namespace in which root has another number.

The invariant: a server never starts with a choice that cannot work; the one clear line comes before the start.
"""

import os
import pwd
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from shared.embedded.failures import FolderUnreachable

_NAMESPACE_ID = 1000


class Mode(Enum):
    """How the launcher changes the user."""

    SAME = "same"
    DROP = "drop"
    NAMESPACE = "namespace"


@dataclass(frozen=True)
class RunAs:
    """The user of a server: `uid` and `gid` are what the program sees."""

    mode: Mode
    uid: int
    gid: int

    @property
    def owner(self) -> tuple[int, int]:
        """Who owns the server's files, as seen from outside."""
        return (self.uid, self.gid) if self.mode is Mode.DROP else (os.geteuid(), os.getegid())


def choose_account(paths: Sequence[Path]) -> RunAs:
    """Who can run a program that refuses root and needs `paths`, which exist. Raises FolderUnreachable."""
    if os.geteuid() != 0:
        return RunAs(Mode.SAME, os.geteuid(), os.getegid())
    account = _unprivileged()
    closed = next((folder for path in paths if (folder := closed_folder(path, account.pw_uid, account.pw_gid))), None)
    if closed is None:
        return RunAs(Mode.DROP, account.pw_uid, account.pw_gid)
    namespace = RunAs(Mode.NAMESPACE, _NAMESPACE_ID, _NAMESPACE_ID)
    if _namespace_works(namespace):
        return namespace
    raise FolderUnreachable(
        f"{closed} is closed to the account {account.pw_name!r}, and PostgreSQL refuses to run as root:"
        f" open the folder (chmod o+x {closed}) or keep the project elsewhere"
    )


def closed_folder(path: Path, uid: int, gid: int) -> Path | None:
    """The first part of `path` that the account may not enter (folders) or run (a program); None when all are open."""
    whole = path.resolve()
    for part in [*reversed(whole.parents), whole]:
        status = part.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not (status.st_mode >> shift) & 1:
            return part
    return None


def hand_over(folder: Path, run_as: RunAs) -> None:
    """Make `folder` and everything in it the server's own; changes nothing when it is already."""
    uid, gid = run_as.owner
    if (status := folder.stat()).st_uid == uid and status.st_gid == gid:
        return
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chown(Path(place) / name, uid, gid, follow_symlinks=False)
    # Last, so that a hand-over that was cut short is taken up again.
    os.chown(folder, uid, gid)


def _unprivileged() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise FolderUnreachable("PostgreSQL refuses to run as root, and this machine has no account 'postgres' or 'nobody'")


def _namespace_works(run_as: RunAs) -> bool:
    from shared.embedded.process import spawn  # noqa: PLC0415 - process needs RunAs

    program = shutil.which("true") or sys.executable
    trial = spawn([program, "-c", ""], run_as=run_as, death_signal=signal.SIGKILL, log_file=None)
    return trial.wait(timeout=10) == 0
