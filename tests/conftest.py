"""Real servers for every integration test: one PostgreSQL and one Redis a session, a database of its own a test.

Databases are copied from a template that was migrated once. SILOWAY_TEST_DATABASE_URL (its user may create databases)
and SILOWAY_TEST_REDIS_URL (16 key spaces, which are emptied) replace the servers that are started here.
"""

import gc
import importlib
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import hypothesis
import pytest
import redis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from shared.embedded.postgres import PostgresServer
from shared.embedded.redis import DATABASES as REDIS_DATABASES
from shared.embedded.redis import RedisServer
from shared.embedded.servers import LocalServers
from tests.cheap_sessions import DatabasesOfOneSession, prove_password_in_one_round
from tests.clock import FakeClock

# What an example may take says something about the machine, not about the code.
hypothesis.settings.register_profile("siloway", deadline=None)
hypothesis.settings.load_profile("siloway")

_TEST_BEGINS_AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 2 << 30


@dataclass
class TestServers:
    """What the tests run against, started here or given by URL."""

    __test__ = False

    databases: DatabasesOfOneSession
    redis_url: str
    templates: dict[tuple[str, int], str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    _counter: Iterator[int] = field(default_factory=itertools.count)

    def new_name(self, purpose: str) -> str:
        """A database name that no other session uses either."""
        return f"test_{self.mark}_{purpose}_{next(self._counter)}"

    def region_template(self, name: str, number: int) -> str:
        """The migrated template of a region, made when it is first asked for."""
        if (name, number) not in self.templates:
            template = self.new_name(f"template_{name}")
            self.databases.create_database(template)
            migrate = importlib.import_module("region_silo.migrate")
            migrate.migrate_database(self.databases.url(template), name, number)
            self.templates[name, number] = template
        return self.templates[name, number]

    def control_template(self) -> str:
        """The migrated template of control."""
        if ("", 0) not in self.templates:
            template = self.new_name("template_control")
            self.databases.create_database(template)
            migrate = importlib.import_module("control_silo.migrate")
            migrate.migrate_database(self.databases.url(template))
            self.templates["", 0] = template
        return self.templates["", 0]


class _WholeStacksTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Tests that share a running stack stay in one process; the others go wherever there is room."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.partition("::")[0].rpartition("/")[0]
        return folder if folder.endswith("/stack") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are spread over processes; a second process would start the same stack on the same ports."""
    return _WholeStacksTogether(config, log)


def pytest_collection_finish() -> None:
    """All that is loaded now stays: to look through it again and again took a tenth of the time of all tests."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that an unprivileged server account can reach, as pytest's own temporary folders are not.

    In memory where there is room: a database a test is thousands of small files made and removed.
    """
    folder = Path(tempfile.mkdtemp(prefix="siloway-test-", dir=_MEMORY if _has_room(_MEMORY) else None))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(server_folder: Path) -> Iterator[TestServers]:
    """The session's PostgreSQL and Redis."""
    database_url = os.environ.get("SILOWAY_TEST_DATABASE_URL")
    redis_url = os.environ.get("SILOWAY_TEST_REDIS_URL")
    local = LocalServers.start(
        server_folder / "session",
        postgres=database_url is None,
        redis=redis_url is None,
        durable=False,
        postgres_binaries=_path("SILOWAY_PG_BIN"),
        redis_program=_path("SILOWAY_REDIS_BIN"),
    )
    try:
        if database_url is None:
            prove_password_in_one_round(local.postgres.url("postgres"))
        databases = DatabasesOfOneSession(database_url or local.postgres.url("postgres"))
        given = TestServers(databases, redis_url or local.redis.url)
        yield given
        for template in given.templates.values():
            databases.drop_database(template)
        databases.close()
    finally:
        local.stop()


@pytest.fixture(scope="session")
def control_template(servers: TestServers) -> str:
    """The name of control's migrated template database."""
    return servers.control_template()


@pytest.fixture(scope="session")
def region_template(servers: TestServers) -> str:
    """The name of the migrated template database of region `us`, number 1."""
    return servers.region_template("us", 1)


@pytest.fixture
def make_database(servers: TestServers) -> Iterator[Callable[[str | None], str]]:
    """Make databases, empty (None) or from a template; returns URLs. All are dropped after the test."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = servers.new_name("db")
        servers.databases.create_database(name, template)
        made.append(name)
        return servers.databases.url(name)

    yield make
    for name in made:
        servers.databases.drop_database(name)


@pytest.fixture
def empty_database(make_database: Callable[[str | None], str]) -> str:
    """The URL of a database without tables."""
    return make_database(None)


@pytest.fixture
def control_database_url(make_database: Callable[[str | None], str], control_template: str) -> str:
    """The URL of a fresh database of control."""
    return make_database(control_template)


@pytest.fixture
def region_database_url(make_database: Callable[[str | None], str], region_template: str) -> str:
    """The URL of a fresh database of region `us`, number 1."""
    return make_database(region_template)


@pytest.fixture
def make_region_database(servers: TestServers, make_database: Callable[[str | None], str]) -> Callable[[str, int], str]:
    """Make a fresh database of any region: (name, number) -> URL."""
    return lambda name, number: make_database(servers.region_template(name, number))


_redis_numbers = itertools.cycle(range(1, REDIS_DATABASES))


@pytest.fixture
def redis_url(servers: TestServers) -> str:
    """The URL of an empty key space."""
    url = urlunsplit(urlsplit(servers.redis_url)._replace(path=f"/{next(_redis_numbers)}"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, running: it may be stopped, killed and started again."""
    folder = server_folder / f"redis-{secrets.token_hex(4)}"
    server = RedisServer(folder, program=_path("SILOWAY_REDIS_BIN"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_server(server_folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, running: it may be stopped, killed and started again."""
    folder = server_folder / f"postgres-{secrets.token_hex(4)}"
    server = PostgresServer(folder, binaries_folder=_path("SILOWAY_PG_BIN"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until it is moved."""
    return FakeClock(_TEST_BEGINS_AT)


def _has_room(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= _MEMORY_BYTES_MIN


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None
