"""A drainer that is killed at any step costs a repeat, and neither a message nor a second effect."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest

from control_silo.migrate import migrate_database
from shared.embedded.postgres import PostgresServer
from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all

pytestmark = [pytest.mark.integration, pytest.mark.faults]

_WORDS = [str(number) for number in range(8)]


@pytest.fixture
def pair(make_database: Callable[[str | None], str], control_template: str) -> Iterator[tuple[Silo, Silo]]:
    clock = FakeClock()
    control = Silo("control", make_database(control_template), clock)
    us = Silo("us", make_database(control_template), clock)
    yield control, us
    control.close()
    us.close()


def killed_at(point: str, control: Silo, us: Silo) -> None:
    """A drainer process is killed at a point in the middle of the work; another one takes over."""
    for aggregate in ("a", "b", "c"):
        control.say(aggregate, *_WORDS)
        control.write(aggregate, f"body of {aggregate}")
    said = control.waiting()
    command = [sys.executable, "-m", "tests.faults.outbox.draining_child", control.url, us.url, f"{point}=kill"]
    child = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert 0 < control.waiting() < said, "it was in the middle"
    drainer = control.drainer(Wires(us))
    drain_all(drainer)
    assert control.waiting() > 0, "the dead drainer's leases still hold"
    control.clock.advance(36)
    drain_all(drainer)
    assert control.waiting() == 0
    assert [us.told_words(aggregate) for aggregate in ("a", "b", "c")] == [_WORDS] * 3
    assert us.told_notes() == control.notes()


def test_fault_O1_a_drainer_killed_while_the_handler_runs_loses_and_repeats_nothing(pair: tuple[Silo, Silo]) -> None:
    killed_at("inbox_handled:2", *pair)


def test_fault_O1_a_drainer_killed_after_its_claim_loses_and_repeats_nothing(pair: tuple[Silo, Silo]) -> None:
    killed_at("after_claim:2", *pair)


def test_fault_O2_a_drainer_killed_after_the_handler_and_before_the_delete_repeats_without_effect(
    pair: tuple[Silo, Silo],
) -> None:
    killed_at("after_deliver:2", *pair)


def test_fault_O3_a_drainer_killed_between_two_deletions_keeps_what_is_newer(pair: tuple[Silo, Silo]) -> None:
    killed_at("before_settle:2", *pair)


def test_fault_O7_a_database_that_loses_its_last_commits_loses_changes_and_messages_together(
    postgres_server: PostgresServer,
) -> None:
    """What the server has answered but not yet written is gone after its death, whole transactions at a time."""
    server = postgres_server
    server.create_database("control")
    url = server.url("control")
    migrate_database(url)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("ALTER DATABASE control SET synchronous_commit = off")
        connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        connection.execute("SELECT pg_reload_conf()")
    control = Silo("control", url, FakeClock())
    control.write("kept", "x")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    for number in range(50):
        control.write(f"n{number}", "x")
    control.close()
    server.kill()
    server.start()
    again = Silo.opened("control", server.url("control"), FakeClock())
    try:
        noted = {row[0] for row in again.query("SELECT name FROM note")}
        said = {row[0] for row in again.query("SELECT subject FROM outbox_message")}
        sequences = again.query("SELECT count(*) FROM outbox_shard WHERE last_sequence <> 1")
        assert noted == said
        assert "kept" in noted
        assert sequences == [(0,)]
    finally:
        again.close()


def test_a_drainer_can_be_held_at_a_step(pair: tuple[Silo, Silo], tmp_path_factory: pytest.TempPathFactory) -> None:
    import threading

    control, us = pair
    control.say("a", "1")
    gate = tmp_path_factory.mktemp("gate") / "gate"
    gate.touch()
    command = [
        sys.executable,
        "-m",
        "tests.faults.outbox.draining_child",
        control.url,
        us.url,
        f"after_deliver=pause:{gate}",
    ]
    with subprocess.Popen(command) as child:
        reached = gate.with_name("gate.reached")
        pause = threading.Event()
        for _ in range(2000):
            if reached.exists():
                break
            pause.wait(0.01)
        assert (us.told_words("a"), control.waiting()) == (["1"], 1), "delivered and not settled"
        gate.unlink()
        assert child.wait(30) == 0
    assert control.waiting() == 0
