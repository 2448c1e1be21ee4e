"""The change and its message are there together or not at all, wherever the writer dies."""

import signal
import subprocess
import sys

import psycopg
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.faults]


def write(url: str, spec: str) -> int:
    command = [sys.executable, "-m", "tests.faults.database.writing_child", url, spec]
    return subprocess.run(command, check=False, timeout=60).returncode


def test_a_writer_killed_before_commit_leaves_neither_the_change_nor_its_message(control_database_url: str) -> None:
    with psycopg.connect(control_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE thing (name text)")
        assert write(control_database_url, "before_commit=kill") == -signal.SIGKILL
        counts = "SELECT (SELECT count(*) FROM thing), (SELECT count(*) FROM outbox_message)"
        assert connection.execute(counts).fetchone() == (0, 0)
        assert write(control_database_url, "") == 0
        assert connection.execute(counts).fetchone() == (1, 1)
        assert connection.execute("SELECT sequence FROM outbox_message").fetchone() == (1,)
