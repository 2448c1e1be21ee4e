"""Writers of one release take turns, and those of different ones never stand in each other's way."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from shared.database import Transaction
from tests.integration.database.sessions import GIVES_UP_S, wait_for_a_blocked_session
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec
JOBS = 32
JOB_COMMITS = 1_000
THREADS = 16
HOLDER = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("SELECT FROM release FOR UPDATE")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


@contextmanager
def held_release(features: RegionFeatures) -> Iterator[Callable[[], None]]:
    """Another writer holds the release inside, until what is yielded is called."""
    locked, done = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        locked.set()
        assert done.wait(20)

    with ThreadPoolExecutor(1) as pool:
        holder = pool.submit(features.database.transact, hold)
        try:
            assert locked.wait(20)
            yield done.set
        finally:
            done.set()
            holder.result(20)


def locked_calls(client: Client) -> dict[str, Callable[[], Any]]:
    commits = release_pb.CommitSet(commits=[Spec(id="a")])
    release_name = "organizations/acme/releases/1.0"
    create = release_pb.CreateReleaseRequest(
        parent="organizations/acme",
        release=release_pb.Release(version="1.0"),
        projects=["web"],
        request_id=new_id(),
        commits=commits,
    )
    header = release_pb.StreamCommitsRequest.Header(release=release_name, mode=3, request_id=new_id())  # type: ignore[arg-type]
    stream = (
        release_pb.StreamCommitsRequest(header=header),
        release_pb.StreamCommitsRequest(commits=commits),
        release_pb.StreamCommitsRequest(finish=True),
    )
    clear = release_pb.ClearCommitsRequest(release=release_name, request_id=new_id())
    return {
        "SetCommits": lambda: client.set_commits("1.0", [Spec(id="a")], timeout=GIVES_UP_S),
        "ClearCommits": lambda: client.release.ClearCommits(clear, timeout=GIVES_UP_S),
        "UpdateRelease": lambda: client.update("1.0", commits=[Spec(id="a")], timeout=GIVES_UP_S),
        "CreateRelease": lambda: client.release.CreateRelease(create, timeout=GIVES_UP_S),
        "StreamCommits": lambda: client.stream_commits(stream, timeout=GIVES_UP_S),
    }


@pytest.mark.parametrize("method", ["SetCommits", "ClearCommits", "UpdateRelease", "CreateRelease", "StreamCommits"])
def test_release_case_27_row_17_a_writer_that_gets_no_turn_within_its_deadline_is_told_to_try_again(
    features: RegionFeatures, client: Client, method: str
) -> None:
    call = locked_calls(client)[method]
    with held_release(features):
        with refused() as found:
            call()
        told = found[0]
        assert (told.code, told.reason) == (grpc.StatusCode.ABORTED, "RELEASE_COMMITS_LOCKED")
        assert told.metadata == {"release": "organizations/100/releases/1.0"}
        assert told.resource == ("siloway/Release", "organizations/100/releases/1.0")
        assert told.retry_after_s == 0.5
    assert features.value("SELECT count(*) FROM commit") == 0
    call()


def test_release_row_18_a_writer_that_waits_gets_its_turn_and_no_error(
    features: RegionFeatures, client: Client
) -> None:
    with ThreadPoolExecutor(1) as pool, held_release(features) as let_go:
        waiting = pool.submit(client.set_commits, "1.0", [Spec(id="a")])
        wait_for_a_blocked_session(features.database)
        assert not waiting.done()
        let_go()
        assert waiting.result(20).added_count == 1


def test_the_lock_of_a_killed_writer_is_gone_at_once(
    features: RegionFeatures, client: Client, region_database_url: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, region_database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.set_commits, "1.0", [Spec(id="a")], timeout=30)
            wait_for_a_blocked_session(features.database)
            holder.send_signal(signal.SIGKILL)
            assert waiting.result(20).added_count == 1


def append_until_done(client: Client, specs: list[release_pb.CommitSpec], request_id: str) -> None:
    """A job: it sends the same call until it is answered, as CI jobs do."""
    for _ in range(100):
        try:
            client.set_commits("1.0", specs, "APPEND", request_id=request_id, timeout=30)
        except grpc.RpcError as error:
            code: Any = error
            if code.code() not in (grpc.StatusCode.ABORTED, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise
            time.sleep(0.05)
        else:
            return
    raise AssertionError("a job never got its turn")


@pytest.mark.parametrize("seed", [1, 2])
def test_concurrent_appends_with_retries_and_duplicates_end_alike_in_every_run(
    features: RegionFeatures, seed: int
) -> None:
    dice = random.Random(seed)
    times = list(range(JOBS * JOB_COMMITS))
    random.Random(0).shuffle(times)  # the same commits in each run, in another order
    all_specs = [
        Spec(
            id=f"c{time_s:05}",
            repository=f"r{time_s % 5}",
            author_email=f"a{time_s % 70}@x.org",
            commit_time=Timestamp(seconds=1_700_000_000 + time_s),
        )
        for time_s in times
    ]
    jobs = [
        # A hundred commits of the next job, too: several jobs bring the same ones.
        (all_specs + all_specs[:100])[n * JOB_COMMITS : (n + 1) * JOB_COMMITS + 100]
        for n in range(JOBS)
    ]
    calls = []
    for job in jobs:
        dice.shuffle(job)
        request_id = new_id()
        # A third of the jobs send their call twice, under the same id or under another one.
        calls.append((job, request_id))
        if dice.random() < 0.33:
            calls.append((job, dice.choice((request_id, new_id()))))
    dice.shuffle(calls)
    clients = [features.client_of("all") for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [
            pool.submit(append_until_done, clients[n % THREADS], job, request_id)
            for n, (job, request_id) in enumerate(calls)
        ]:
            future.result(110)
    found = features.client.get("1.0")
    assert found.commit_count == JOBS * JOB_COMMITS
    assert features.client.commit_ids("1.0") == [f"c{n:05}" for n in reversed(range(JOBS * JOB_COMMITS))]
    assert list(found.authors) == sorted(f"a{n}@x.org" for n in range(70))
    assert {head.repository: head.commit_id for head in found.heads} == {
        f"r{(31_999 - n) % 5}": f"c{31_999 - n:05}" for n in range(5)
    }
    assert features.value("SELECT count(*) FROM commit") == JOBS * JOB_COMMITS


def test_releases_that_share_everything_neither_deadlock_nor_see_an_internal_error(
    features: RegionFeatures, client: Client
) -> None:
    count, rounds = 8, 4
    for writer in range(count):
        client.create(f"2.{writer}")
    barrier = threading.Barrier(count)
    clients = [features.client_of("all") for _ in range(count)]

    def write(writer: int) -> None:
        dice = random.Random(writer)
        for turn in range(rounds):
            specs = [
                Spec(
                    id=f"c{n}",
                    message=f"by {writer} in {turn}",
                    author_email=f"a{n % 7}@x.org",
                    author_name=f"by {writer}",
                    repository=f"r{turn}-{n % 3}",
                    patch_set=[release_pb.FileChange(path=f"f{n}-{turn}", type=release_pb.FileChange.TYPE_ADDED)],
                )
                for n in range(100)
            ]
            dice.shuffle(specs)
            mode = dice.choice(("REPLACE_ALL", "REPLACE_REPOSITORY", "APPEND"))
            barrier.wait(60)
            clients[writer].set_commits(f"2.{writer}", specs, mode, timeout=60)

    features.rows("SELECT pg_stat_reset()")
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(write, writer) for writer in range(count)]:
            future.result(110)
    assert features.value("SELECT count(*) FROM commit") == 100 * rounds
    assert features.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    orphans = """
        SELECT count(*) FROM release_commit listed LEFT JOIN commit ON commit.id = listed.commit_id
        WHERE commit.id IS NULL OR commit.repository_id <> listed.repository_id
    """
    assert features.value(orphans) == 0
