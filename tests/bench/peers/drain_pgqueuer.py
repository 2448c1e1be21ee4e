"""Drain jobs that do nothing with pgqueuer: `drain_pgqueuer.py URL JOBS` prints the seconds it took."""

import asyncio
import sys
import time

import psycopg
from pgqueuer.db import PsycopgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

_BATCH = 100
_BODY = bytes(60)


async def drain(url: str, jobs: int) -> float:
    """Enqueue, then time the draining alone."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        queries = Queries(PsycopgDriver(connection))
        await queries.install()
        await queries.enqueue(["nothing"] * jobs, [_BODY] * jobs, [0] * jobs)
        manager = QueueManager(queries)

        @manager.entrypoint("nothing")
        async def nothing(job: Job) -> None:
            del job

        began = time.perf_counter()
        await manager.run(batch_size=_BATCH, mode=QueueExecutionMode.drain)
        return time.perf_counter() - began


if __name__ == "__main__":
    print(asyncio.run(drain(sys.argv[1], int(sys.argv[2]))))
