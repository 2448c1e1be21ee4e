import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from shared import errors
from shared.clock import SystemClock
from shared.embedded.servers import LocalServers
from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.shared_tables import create_shared_tables

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[3]


def start_taking(url: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.faults.snowflake.taking", url, str(rounds)]
    taking = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert taking.stdout
    assert taking.stdout.readline() == "ready\n"
    return taking


def go(taking: subprocess.Popen[str]) -> None:
    assert taking.stdin
    taking.stdin.write("\n")
    taking.stdin.flush()


@pytest.fixture
def shared_tables(empty_database: str) -> str:
    create_shared_tables(empty_database)
    return empty_database


def test_two_processes_never_take_the_same_id(shared_tables: str) -> None:
    with ExitStack() as stack:
        pair = [stack.enter_context(start_taking(shared_tables, 4000)) for _ in range(2)]
        for taking in pair:
            go(taking)
        ids = [line for taking in pair for line in taking.communicate()[0].split()]
        assert [taking.returncode for taking in pair] == [0, 0]
    assert len(ids) == len(set(ids))
    assert len(ids) > 20_000


def test_a_killed_process_takes_its_range_with_it(shared_tables: str) -> None:
    survivor = SnowflakeAllocator.open(shared_tables, clock=SystemClock(), number=3)
    with start_taking(shared_tables, 1_000_000) as taking:
        go(taking)
        assert taking.stdout
        first = [taking.stdout.readline().strip() for _ in range(200)]
        assert taking.poll() is None
        taking.kill()
        whole_lines = taking.stdout.read().rpartition("\n")[0]
    ids = {int(line) for line in (*first, *whole_lines.split())}
    assert len(ids) >= 200
    assert not ids & set(survivor.take(1000))
    survivor.close()


@pytest.fixture
def own_servers(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[LocalServers]:
    servers = LocalServers.start(server_folder / f"ids-{request.node.name}", redis=False)
    yield servers
    servers.stop()


def test_a_crashed_postgresql_refuses_then_serves_and_repeats_nothing(
    own_servers: LocalServers, clock: FakeClock
) -> None:
    postgres = own_servers.postgres
    postgres.create_database("ids")
    create_shared_tables(postgres.url("ids"))
    allocators = [SnowflakeAllocator.open(postgres.url("ids"), clock=clock, number=1) for _ in range(2)]
    ids = [snowflake for allocator in allocators for snowflake in allocator.take(50)]
    postgres.kill()
    for allocator in allocators:
        with pytest.raises(errors.StoreUnreachable):
            allocator.take(1000)
    postgres.start()
    ids += [snowflake for allocator in allocators for snowflake in allocator.take(5000)]
    postgres.stop()
    postgres.start()
    ids += [snowflake for allocator in allocators for snowflake in allocator.take(5000)]
    assert len(set(ids)) == len(ids) == 2 * 10_050
    for allocator in allocators:
        allocator.close()


def test_fault_F1_a_flushed_redis_changes_nothing(shared_tables: str, redis_url: str, clock: FakeClock) -> None:
    allocator = SnowflakeAllocator.open(shared_tables, clock=clock, number=1)
    before = allocator.take(100)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    clock.advance(-1)
    assert min(allocator.take(100)) > max(before)
    allocator.close()
