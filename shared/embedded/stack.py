"""The local stack: servers, certificates, migrations, then a `serve` and a `work` process of every silo.

The order is the invariant: the folder is locked and every port is known to be free before anything starts; silos start
after their databases are migrated; at the end silos stop first and servers last, whatever went wrong in between.
"""

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from shared.embedded.certificates import make_authority, silo_uri
from shared.embedded.failures import StartFailed
from shared.embedded.folder import FolderLock, check_port, make_folder
from shared.embedded.migrated import MigrationStamps
from shared.embedded.postgres import PostgresServer
from shared.embedded.process import log_tail, rotate_log, spawn, stop, wait_until
from shared.embedded.redis import RedisServer
from shared.embedded.servers import LocalServers
from shared.embedded.settings import (
    CONTROL,
    Silo,
    SiloFiles,
    StackSettings,
    inherited_environment,
    silo_environment,
    split_address,
)
from shared.embedded.supervision import Program, Supervised, Supervisor, stop_programs
from shared.rpc.addresses import PROCESS_HEADER

MIGRATE_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 60.0
# A silo's own grace ends first; this is for what it does after.
_GRACE_MARGIN_S = 5.0
_TICK_S = 0.1
# The processes that are waited for need the processor more than the question whether they are ready.
_READY_POLL_S = 0.05
_VERBS = ("serve", "work")

Command = Callable[[str, str], Sequence[str | Path]]


class StopRequested(Exception):
    """The person asked for the end while the stack was starting."""


def silo_command(silo: str, verb: str) -> Sequence[str]:
    """The command line of a silo's program; verbs are serve, work and migrate."""
    module = ["control_silo"] if silo == CONTROL else ["region_silo", "--region", silo]
    return [sys.executable, "-m", *module, verb]


def _revisions(silo: str) -> Path:
    """Where the silo's migrations stand; found without importing the silo."""
    found = find_spec("control_silo" if silo == CONTROL else "region_silo")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "migrations" / "versions"


class _Server:
    """A server as something to supervise."""

    def __init__(self, name: str, server: PostgresServer | RedisServer) -> None:
        self.name = name
        self._server = server

    def is_running(self) -> bool:
        return self._server.pid is not None

    def start(self) -> None:
        self._server.start()

    def ending(self) -> str:
        return f"log: {self._server.log_file}"


class Stack:
    """One run of the local stack. `request_stop` may come from a signal handler or another thread, at any time."""

    def __init__(self, settings: StackSettings, *, say: Callable[[str], None], command: Command = silo_command) -> None:
        self.settings = settings
        self.programs: list[Program] = []
        self._say = say
        self._command = command
        self._servers: LocalServers | None = None
        self._lock: FolderLock | None = None
        self._found_databases: set[str] = set()
        self._stop = threading.Event()
        self._hurry = threading.Event()

    def request_stop(self) -> None:
        """Stop in order; the second request kills what still runs."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def start(self) -> None:
        """Returns when every process is ready. Raises LocalStackError or StopRequested; call `stop` in any case."""
        self._lock = FolderLock(self.settings.folder)
        for silo in self.settings.started:
            for purpose, address in silo.purposes().items():
                check_port(*split_address(address), purpose)
        make_folder(self.settings.logs)
        environments = self._prepare()
        self._migrate(environments)
        for silo in self.settings.started:
            for verb in _VERBS:
                name = f"{silo.name} {verb}"
                log_file = self.settings.logs / f"{silo.name}-{verb}.log"
                program = Program(name, self._command(silo.name, verb), environments[silo.name], log_file)
                self.programs.append(program)
                program.start()
        self._await_ready()
        self._write_stack_file()

    def supervise(self) -> None:
        """Restart what ends, until a stop is requested."""
        subjects: list[Supervised] = [*self.programs]
        if self._servers is not None:
            if self._starts_postgres():
                subjects.append(_Server("PostgreSQL", self._servers.postgres))
            if self._starts_redis():
                subjects.append(_Server("Redis", self._servers.redis))
        supervisor = Supervisor(subjects, self._say, self.settings.restart_max_s)
        while not self._stop.wait(_TICK_S):
            supervisor.tick(time.monotonic())

    def stop(self) -> None:
        """Nothing of the stack runs when it returns. May be called again."""
        try:
            if self._lock is not None:
                self.settings.stack_file.unlink(missing_ok=True)
            forced = stop_programs(self.programs, self.settings.grace_s + _GRACE_MARGIN_S, self._hurry.is_set)
            if forced:
                self._say(f"killed, because they did not end in time: {', '.join(forced)}")
        finally:
            if self._servers is not None:
                self._servers.stop()
            if self._lock is not None:
                self._lock.release()

    def token(self) -> str | None:
        """The bootstrap token; None when the databases were made with another folder."""
        try:
            return self.settings.token_file.read_text().strip()
        except FileNotFoundError:
            return None

    def describe(self) -> dict[str, object]:
        """Where the stack is, for programs; holds no secret."""
        return {
            "pid": os.getpid(),
            "folder": str(self.settings.folder),
            "token_file": str(self.settings.token_file),
            "environment_file": str(self.settings.environment_file),
            "logs": str(self.settings.logs),
            "control": _describe(self.settings.control),
            "regions": {region.name: _describe(region) for region in self.settings.regions},
        }

    def _starts_postgres(self) -> bool:
        return any(silo.database_url is None for silo in self.settings.silos)

    def _starts_redis(self) -> bool:
        return self.settings.redis_url is None

    def _prepare(self) -> dict[str, dict[str, str]]:
        """Servers, databases, certificates; returns each silo's environment."""
        if self._starts_postgres() or self._starts_redis():
            self._servers = LocalServers.start(
                self.settings.folder / "servers",
                postgres=self._starts_postgres(),
                redis=self._starts_redis(),
                postgres_binaries=self.settings.postgres_binaries,
                redis_program=self.settings.redis_program,
                logs=self.settings.logs,
            )
        self._check_stop()
        redis_url = self.settings.redis_url or self._local().redis.url
        authority = make_authority(self.settings.folder / "certificates")
        added: dict[str, dict[str, str]] = {}
        for silo in self.settings.silos:
            files = SiloFiles(self._database_url(silo), authority.ca_file, *authority.issue(silo_uri(silo.name)))
            added[silo.name] = silo_environment(self.settings, silo, files, redis_url)
            if silo.name != CONTROL:
                (self.settings.folder / "spool" / silo.name).mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_private(self.settings.environment_file, added)
        inherited = inherited_environment(self.settings)
        return {name: inherited | own for name, own in added.items()}

    def _database_url(self, silo: Silo) -> str:
        if silo.database_url is not None:
            return silo.database_url
        postgres = self._local().postgres
        if postgres.databases.has_database(silo.database):
            self._found_databases.add(silo.name)
        else:
            postgres.create_database(silo.database)
        return postgres.url(silo.database)

    def _local(self) -> LocalServers:
        assert self._servers is not None
        return self._servers

    def _migrate(self, environments: Mapping[str, Mapping[str, str]]) -> None:
        stamps = MigrationStamps(self.settings.folder / "servers" / "migrated.json")
        # Whatever is loaded into its database meanwhile may be of an older version.
        stamps.forget(self.settings.without)
        due = [
            silo
            for silo in self.settings.started
            if silo.name not in self._found_databases
            or not stamps.is_current(silo.name, _revisions(silo.name), environments[silo.name])
        ]
        if not due:
            return
        with ThreadPoolExecutor(len(due)) as pool:
            migrations = [pool.submit(self._migrate_one, silo, environments[silo.name]) for silo in due]
        for migration in migrations:
            migration.result()
        for silo in due:
            if silo.database_url is None:
                stamps.stamp(silo.name, _revisions(silo.name), environments[silo.name])

    def _migrate_one(self, silo: Silo, environment: Mapping[str, str]) -> None:
        log_file = self.settings.logs / f"{silo.name}-migrate.log"
        rotate_log(log_file)
        process = spawn(
            self._command(silo.name, "migrate"),
            death_signal=signal.SIGKILL,
            log_file=log_file,
            environment=environment,
        )
        wait_until(lambda: process.poll() is not None or self._stop.is_set(), MIGRATE_TIMEOUT_S)
        code = process.poll()
        stop(process)
        self._check_stop()
        if code is None:
            raise StartFailed(f"migrating {silo.name} took longer than {MIGRATE_TIMEOUT_S:.0f} s (log: {log_file})")
        if code != 0:
            raise StartFailed(f"migrating {silo.name} failed: {log_tail(log_file, 1)} (log: {log_file})")

    def _await_ready(self) -> None:
        waiting = {program.name: program for program in self.programs}
        addresses = {}
        for silo in self.settings.started:
            addresses[f"{silo.name} serve"] = silo.serve_admin_address
            addresses[f"{silo.name} work"] = silo.work_admin_address
        ends_at = time.monotonic() + READY_TIMEOUT_S
        while waiting:
            self._check_stop()
            for name, program in list(waiting.items()):
                if not program.is_running():
                    raise StartFailed(
                        f"{name} ended while starting: {log_tail(program.log_file, 1)} ({program.ending()})"
                    )
                if is_ready(addresses[name], program.pid):
                    del waiting[name]
            if waiting and time.monotonic() > ends_at:
                raise StartFailed(
                    f"not ready within {READY_TIMEOUT_S:.0f} s: {', '.join(waiting)} (logs: {self.settings.logs})"
                )
            time.sleep(_READY_POLL_S)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StopRequested

    def _write_stack_file(self) -> None:
        fresh = self.settings.stack_file.with_suffix(".new")
        fresh.write_text(json.dumps(self.describe(), indent=2) + "\n")
        fresh.replace(self.settings.stack_file)


def run(stack: Stack, announce: Callable[[Stack], None]) -> None:
    """Start, announce, supervise until asked to stop, stop. Raises LocalStackError; then nothing runs any more."""
    try:
        stack.start()
        announce(stack)
        stack.supervise()
    except StopRequested:
        return
    finally:
        stack.stop()


def is_ready(address: str, pid: int) -> bool:
    """Whether that very process says so, and not another one that has its port."""
    host, port = split_address(address)
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status == http.client.OK and answer.getheader(PROCESS_HEADER) == str(pid)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _describe(silo: Silo) -> dict[str, object]:
    return {
        "number": silo.number,
        "public_address": silo.public_address,
        "internal_address": silo.internal_address,
        "serve_admin_address": silo.serve_admin_address,
        "work_admin_address": silo.work_admin_address,
    }


def _write_private(file: Path, content: Mapping[str, Mapping[str, str]]) -> None:
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(content, opened, indent=2)
    fresh.replace(file)
