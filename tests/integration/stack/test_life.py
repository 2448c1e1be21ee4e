"""Starting and ending the real stack: one at a time, and nothing is left behind or lost."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from control_silo.tokens.command import mint_token
from tests.stack import RunningStack, alive, run_siloway, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_a_second_start_in_the_folder_ends_with_one_line(stack: RunningStack) -> None:
    done = stack.command("up", "--ports-from", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"siloway: another local stack (process {stack.process.pid}) already works on")
    assert done.stderr.count("\n") == 1


def test_a_taken_port_ends_with_one_line(server_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = run_siloway(
            *("--folder", str(server_folder / "refused"), "up", "--ports-from", "0"),
            environment={"SILOWAY_REGION_US_PUBLIC_ADDRESS": f"127.0.0.1:{port}"},
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"siloway: port {port} on 127.0.0.1 (us, public) is not free (Address already in use): end who has it, or take"
        " other ports with --ports-from (0: any free ones)\n"
    )


@pytest.fixture
def start(server_folder: Path) -> Iterator[Callable[[], RunningStack]]:
    """Start a stack in a folder of the test's own; none outlives the test."""
    started: list[RunningStack] = []

    def run() -> RunningStack:
        started.append(RunningStack(server_folder / "killed"))
        return started[-1]

    yield run
    for each in started:
        each.stop()


def test_a_killed_stack_leaves_no_process_and_starts_again_with_its_data(start: Callable[[], RunningStack]) -> None:
    killed = start()
    secret = mint_token(killed.database_url("control"), name="kept", scopes=["ids:generate"])
    replicated = "SELECT count(*) FROM token WHERE name = 'kept'"
    wait_until(lambda: killed.value("us", replicated) == 1, "the region never heard of the token")
    was_running = killed.descendants()
    assert len(was_running) >= 8, "six programs, PostgreSQL, Redis"
    os.kill(killed.process.pid, signal.SIGKILL)
    wait_until(lambda: alive(was_running) == [], "processes outlive a killed stack", timeout_s=15)
    assert killed.stop() == -signal.SIGKILL
    again = start()
    assert again.token == killed.token
    with again.region("us", secret) as region:
        assert len(region.snowflakes.GenerateIds(snowflake_pb.GenerateIdsRequest(count=2)).ids) == 2
    was_running = again.descendants()
    assert again.stop() == 0, again.notices
    assert alive(was_running) == []
    assert again.notices == []
    assert not (again.folder / "stack.json").exists()
