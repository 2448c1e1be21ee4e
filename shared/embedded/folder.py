"""The data folder: one process at a time works on it, and ports are asked for before anything starts.

The lock is the kernel's (flock), so that a process that was killed leaves none behind.
"""

import contextlib
import fcntl
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom
from types import TracebackType

from shared.embedded.failures import FolderLocked, FolderUnreachable, PortTaken

_PORT_MIN = 10_000
_PORTS_END = 65_536
_OUTGOING_PORTS_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OUTGOING_PORTS_USUAL = (32_768, 60_999)
_CLAIMS_FILE = Path(tempfile.gettempdir()) / f"siloway-ports-{os.getuid()}"


class FolderLock:
    """Held from construction to `release()`; raises FolderLocked when another process (or object) holds it."""

    def __init__(self, folder: Path) -> None:
        try:
            make_folder(folder)
            self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise FolderUnreachable(
                f"{folder} cannot be written ({problem.strerror}): run as the user that made it, or name another folder"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise FolderLocked(
                f"another local stack (process {holder or 'unknown'}) already works on {folder}"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release()


def make_folder(folder: Path) -> Path:
    """A folder that others may pass through but not list: servers under another account live below it.

    Folders that it makes get that mode whatever the umask; those that exist are left as they are.
    """
    missing = [part for part in (folder, *folder.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(exist_ok=True)
        part.chmod(0o711)
    return folder


def free_ports(count: int) -> list[int]:
    """Loopback TCP ports that nobody has now, all different. Who else asks gets others while this process lives.

    They lie apart from those that the kernel gives to outgoing connections, below them or else above: one of these
    could take such a port between its choice and its use. Where there are no others, any port is better than none.
    Raises PortTaken.
    """
    first, last = _outgoing_ports()
    below, above = range(_PORT_MIN, min(first, _PORTS_END)), range(max(last + 1, _PORT_MIN), _PORTS_END)
    ports: list[int] = []
    for candidates in (below, above, range(max(first, _PORT_MIN), min(last + 1, _PORTS_END))):
        ports += _free_among(candidates, count - len(ports))
    if len(ports) < count:
        raise PortTaken(f"fewer than {count} free ports from {_PORT_MIN} on")
    return ports


def _free_among(candidates: Sequence[int], count: int) -> list[int]:
    """Up to `count` of the candidates, picked at random."""
    shuffled = list(candidates) if count > 0 else []
    SystemRandom().shuffle(shuffled)
    ports: list[int] = []
    for port in shuffled:
        if len(ports) == count:
            break
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if _claims.take(port):
                ports.append(port)
    return ports


class _Claims:
    """What processes of this user have chosen: a byte a port of one file, locked until its process ends.

    Between its choice and its use a port looks free, and stacks that start at one time choose at one time.
    """

    def __init__(self) -> None:
        self._descriptor = -1
        self._owner = 0
        self._own: set[int] = set()

    def take(self, port: int) -> bool:
        """Whether it is this process's from now on."""
        if self._owner != os.getpid():  # a fork has none of its parent's locks
            self._open()
        if port in self._own:
            return False
        if self._descriptor >= 0:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except OSError:
                return False
        self._own.add(port)
        return True

    def _open(self) -> None:
        """Without the file a port is as free as it looks."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = -1
        with contextlib.suppress(OSError):
            self._descriptor = os.open(_CLAIMS_FILE, flags, 0o600)
        self._owner, self._own = os.getpid(), set()


_claims = _Claims()


def _outgoing_ports() -> tuple[int, int]:
    """The first and the last port that the kernel gives to outgoing connections."""
    try:
        first, last = _OUTGOING_PORTS_FILE.read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return _OUTGOING_PORTS_USUAL


def check_port(host: str, port: int, purpose: str) -> None:
    """Raise PortTaken when `host:port` cannot be bound; `purpose` says in the message what it was for."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise PortTaken(
                f"port {port} on {host} ({purpose}) is not free ({problem.strerror}): end who has it, or take other"
                " ports with --ports-from (0: any free ones)"
            ) from None
