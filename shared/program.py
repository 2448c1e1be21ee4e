"""How a silo's two programs begin and end: settings problems and start-up refusals are one line each, signals stop.

`serve` stops its doors within the grace time; `work` tells its loops to stop and waits for them as long. A loop that
breaks ends the process with 1: whoever supervises it starts a new one.
"""

import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from shared.errors import InvalidArgument, ServiceError
from shared.rpc.addresses import CannotServe
from shared.rpc.admin import AdminServer
from shared.rpc.log import bound_logger
from shared.settings import SettingsError


class Serving(Protocol):
    """A door, whatever serves it: `work` has none and loads none of that."""

    port: int

    def start(self) -> None: ...

    def stop(self, grace_s: float) -> bool: ...


Loop = Callable[[threading.Event], None]
"""Works until the event is set."""


def main(run: Callable[[Sequence[str]], int]) -> None:
    """Run a program and exit with its code: 2 for wrong settings or arguments, 1 for what refused to start."""
    try:
        code = run(sys.argv[1:])
    except SettingsError as error:
        sys.stderr.write("".join(f"siloway: {problem}\n" for problem in error.problems))
        code = 2
    except InvalidArgument as error:
        sys.stderr.write(f"siloway: {error}\n")
        code = 2
    except (CannotServe, ServiceError) as error:
        sys.stderr.write(f"siloway: {error}\n")
        code = 1
    sys.exit(code)


def restored(database_url: str) -> int:
    """Close a silo whose database was restored from a backup. Returns the exit code."""
    from shared.clock import SystemClock  # noqa: PLC0415 - only this program loads the database
    from shared.database import Database  # noqa: PLC0415 - as above
    from shared.restoration import restored as close  # noqa: PLC0415 - as above

    clock = SystemClock()
    database = Database.open(database_url, clock=clock, pool_size=1, application_name="siloway-restored")
    try:
        epoch = close(database)
    finally:
        database.close()
    sys.stdout.write(f"closed under epoch {epoch}; start the programs and run `siloway doctor --after-restore`\n")
    return 0


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def handle(_number: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return stop


def serve(doors: Sequence[Serving], admin: AdminServer, stop: threading.Event, grace_s: float) -> int:
    """Serve until `stop`; then stop all doors at once and wait for what is in flight. Returns the exit code."""
    log = bound_logger()
    for door in doors:
        door.start()
    admin.start()
    log.info("serving", ports=[door.port for door in doors], admin_port=admin.port)
    stop.wait()
    log.info("stopping", grace_s=grace_s)
    drained: list[bool] = []
    threads = [threading.Thread(target=lambda d=door: drained.append(d.stop(grace_s))) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    admin.stop()
    log.info("stopped", drained=all(drained))
    return 0


def work(loops: Mapping[str, Loop], admin: AdminServer, stop: threading.Event, grace_s: float) -> int:
    """Run the loops, a thread each, until `stop` or until one breaks. Returns the exit code."""
    log = bound_logger()
    broken: list[str] = []

    def run(name: str, loop: Loop) -> None:
        try:
            loop(stop)
        except Exception:
            log.exception("loop broke", loop=name)
            broken.append(name)
            stop.set()

    threads = [
        threading.Thread(target=run, args=item, name=f"loop-{item[0]}", daemon=True) for item in sorted(loops.items())
    ]
    admin.start()
    for thread in threads:
        thread.start()
    log.info("working", loops=sorted(loops), admin_port=admin.port)
    stop.wait()
    log.info("stopping", grace_s=grace_s)
    for thread in threads:
        thread.join(grace_s)
    left = [thread.name for thread in threads if thread.is_alive()]
    admin.stop()
    log.info("stopped", drained=not left, left=left)
    return 1 if broken else 0
