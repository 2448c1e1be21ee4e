"""Drain jobs that do nothing with procrastinate: `drain_procrastinate.py URL JOBS` prints the seconds it took."""

import asyncio
import sys
import time

from procrastinate import App, PsycopgConnector

_AT_ONCE = 10


async def drain(url: str, jobs: int) -> float:
    """Defer, then time the draining alone."""
    app = App(connector=PsycopgConnector(conninfo=url))

    @app.task(name="nothing")
    async def nothing(body: str) -> None:
        del body

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await nothing.batch_defer_async(*({"body": "x" * 60} for _ in range(jobs)))
        began = time.perf_counter()
        await app.run_worker_async(
            wait=False, concurrency=_AT_ONCE, delete_jobs="always", install_signal_handlers=False
        )
        return time.perf_counter() - began


if __name__ == "__main__":
    print(asyncio.run(drain(sys.argv[1], int(sys.argv[2]))))
