"""Servers go with their parent, and what a crash leaves behind does not stop the next start."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.embedded.postgres import PostgresServer
from shared.embedded.process import is_alive, spawn, wait_until
from shared.embedded.redis import RedisServer
from shared.embedded.servers import LocalServers

pytestmark = pytest.mark.faults


def _answer(url: str) -> object:
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("SELECT count(*) FROM pg_class").fetchone()
        return None if row is None else row[0]


def test_a_killed_parent_takes_both_servers_along(server_folder: Path, tmp_path: Path) -> None:
    folder, answer = server_folder / "orphaned", tmp_path / "answer.json"
    parent = spawn(
        [sys.executable, "-m", "tests.faults.embedded.start_servers", folder, answer],
        death_signal=signal.SIGKILL,
        log_file=tmp_path / "parent.log",
    )
    try:
        assert wait_until(lambda: answer.exists() or parent.poll() is not None, 60)
        postgres_pid, redis_pid, url = json.loads(answer.read_text())
        assert _answer(url)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not is_alive(postgres_pid) and not is_alive(redis_pid), 20)
    again = LocalServers.start(folder, durable=False)
    try:
        assert _answer(again.postgres.url("postgres"))
    finally:
        again.stop()


def test_a_killed_postmaster_leaves_nothing_in_the_way(server_folder: Path) -> None:
    servers = LocalServers.start(server_folder / "crashed", redis=False, durable=False)
    try:
        url = servers.postgres.url("postgres")
        servers.postgres.kill()
        assert servers.postgres.pid is None
        assert (servers.postgres.data / "postmaster.pid").exists()
        servers.postgres.start()
        assert _answer(url)
    finally:
        servers.stop()


def test_a_lock_file_with_a_number_that_another_process_has_now_is_stale(server_folder: Path) -> None:
    servers = LocalServers.start(server_folder / "reused", redis=False, durable=False)
    try:
        servers.postgres.stop()
        # init and this very process live, and neither is a server of this folder.
        for pid in (1, os.getpid()):
            _leave_lock_files(servers.postgres, pid)
            servers.postgres.start()
            assert _answer(servers.postgres.url("postgres"))
            servers.postgres.stop()
    finally:
        servers.stop()


def test_a_lock_file_of_a_zombie_is_stale(server_folder: Path) -> None:
    servers = LocalServers.start(server_folder / "zombie", redis=False, durable=False)
    zombie = subprocess.Popen([sys.executable, "-S", "-c", ""], cwd=servers.postgres.folder / "data")
    try:
        servers.postgres.stop()
        assert wait_until(lambda: not is_alive(zombie.pid), 10)
        _leave_lock_files(servers.postgres, zombie.pid)
        servers.postgres.start()
        assert _answer(servers.postgres.url("postgres"))
    finally:
        servers.stop()
        zombie.wait()


def test_a_server_that_an_earlier_run_left_is_stopped_first(server_folder: Path) -> None:
    left = PostgresServer(server_folder / "left", durable=False)
    left.start()
    left_pid = left.pid
    assert left_pid is not None
    successor = PostgresServer(server_folder / "left", durable=False)
    try:
        successor.start()
        assert not is_alive(left_pid)
        assert _answer(successor.url("postgres"))
    finally:
        successor.stop()
        left.stop()


def test_postgres_comes_back_on_its_port_with_its_data(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("kept")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        _answer(postgres_server.url("kept"))
    postgres_server.start()
    assert _answer(postgres_server.url("kept"))


def test_redis_comes_back_on_its_port_and_empty(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0)) as client:
        client.set("k", "v")
        redis_server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("k")
        redis_server.start()
        assert client.get("k") is None


def _leave_lock_files(postgres: PostgresServer, pid: int) -> None:
    lines = f"{pid}\n{postgres.data}\n1\n{postgres.port}\n{postgres.socket_dir}\n127.0.0.1\n0 0\nready\n"
    (postgres.data / "postmaster.pid").write_text(lines)
    (postgres.socket_dir / f".s.PGSQL.{postgres.port}").touch()
    (postgres.socket_dir / f".s.PGSQL.{postgres.port}.lock").write_text(lines)
