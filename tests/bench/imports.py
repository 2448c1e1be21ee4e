"""An import through the doors of a running stack: how fast beside the floor, in how much memory, and whether evenly.

An import is timed from the first byte of its upload until it has SUCCEEDED: both silos have all rows and the
organization has its slug. What the silos tell each other afterwards (members, users) is waited for between the runs, so
that it costs neither side. Memory is that of the region's `work`, started anew: its peak over what it has when idle.
"""

import itertools
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.export_file import write_export
from tests.bench.environment import REGION, Environment
from tests.bench.import_floor import import_floor
from tests.bench.measuring import Figure, from_runs, seconds
from tests.stack import RunningStack, wait_until

_IMPORT_TIMEOUT_S = 1200.0
_POLL_S = 0.02
_ENDED = (import_pb.DataImport.STATE_SUCCEEDED, import_pb.DataImport.STATE_FAILED)
# A model's first and last fifth are compared when it has that many whole batches, three to a fifth, or as many as any
# model of a smaller file: one batch alone tells what else the machine did meanwhile.
_BATCHES_MIN = 15


@dataclass(frozen=True)
class Imported:
    """One import: its row's id and how long it took, in seconds."""

    import_id: int
    took_s: float


def speed(environment: Environment) -> dict[str, Figure]:
    """import_vs_copy, in objects a second."""
    objects = int(environment.scaled(100_000, 10_000))
    stack = environment.stack
    runs = []
    with import_floor(stack.database_url("control"), stack.database_url(REGION)) as floor:
        for number in range(environment.rounds + 1):
            with export(objects) as path:
                floor.make_tables()
                await_quiet(stack)
                floor_s = seconds(partial(floor.copy, path))
                took_s = run_import(environment, path).took_s
            if number:  # the first round warms up
                runs.append((objects / floor_s, objects / took_s))
    await_quiet(stack)
    locale = stack.value(REGION, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
    version = stack.value(REGION, "SHOW server_version")
    note = f"{objects} objects; locale {locale}, PostgreSQL {version}; floor: one process, binary COPY, no foreign keys"
    return {"import_vs_copy": from_runs(runs, unit="objects/s", note=note)}


def large(environment: Environment) -> dict[str, Figure]:
    """import_rss_growth_mb_1m and import_flatness_1m: a tenth (`floor`) beside the whole (`ours`); QUICK is smaller."""
    objects = int(environment.scaled(1_000_000, 60_000))
    growths = []
    for size in (objects // 10, objects):
        idle_kib = _restart_work(environment.stack)
        with export(size) as path:
            imported = run_import(environment, path)
        growths.append((_memory_kib(environment.stack, "VmHWM") - idle_kib) / 1024)
        await_quiet(environment.stack)
    few, many = growths
    ratio, model, batches = _flatness(environment.stack, imported.import_id)
    note = f"{objects} objects"
    return {
        "import_rss_growth_mb_1m": Figure(
            many, few, many, "MiB", ((few, many),), f"{note}; floor: the growth with {objects // 10}"
        ),
        "import_flatness_1m": Figure(
            ratio, *batches, "s a row, first and last fifth", (batches,), f"{note}; the worst model is {model}"
        ),
    }


def run_import(environment: Environment, path: Path) -> Imported:
    """Upload a file in organization scope and wait until its import has ended. AssertionError unless it succeeded."""
    began = time.perf_counter()
    queued = environment.region.upload_import(path, import_pb.DataImport.SCOPE_ORGANIZATION)
    import_id = int(queued.name.removeprefix("imports/"))
    ends_at = time.monotonic() + _IMPORT_TIMEOUT_S
    query = "SELECT state FROM data_import WHERE id = %s"
    # All looks are of one transaction: the import takes breaks when the database counts many of others.
    with psycopg.connect(environment.stack.database_url(REGION)) as connection:
        while (state := _state(connection, query, import_id)) not in _ENDED:
            assert time.monotonic() < ends_at, f"the import of {path.stat().st_size} bytes does not end"
            time.sleep(_POLL_S)
    took_s = time.perf_counter() - began
    assert state == import_pb.DataImport.STATE_SUCCEEDED, f"the import ended in state {state}"
    return Imported(import_id, took_s)


def _state(connection: "psycopg.Connection[Any]", query: str, import_id: int) -> int:
    row = connection.execute(query.encode(), (import_id,)).fetchone()
    assert row is not None, "the import is not there"
    return int(row[0])


@contextmanager
def export(objects: int) -> Iterator[Path]:
    """A file of one organization whose users, addresses and keys no other import has brought."""
    with tempfile.TemporaryDirectory(prefix="siloway-bench-") as folder:
        path = Path(folder) / "export.json"
        mark = secrets.randbits(32)
        write_export(path, objects=objects, seed=mark, organization_slug=f"bench-{mark:08x}")
        yield path


def await_quiet(stack: RunningStack) -> None:
    """Wait until no silo has anything left to tell."""
    regions = tuple(stack.describe["regions"])
    untold = [(silo, "outbox_message") for silo in ("control", *regions)]
    for silo, table in [*((region, "member_retelling") for region in regions), *untold]:
        wait_until(
            lambda silo=silo, table=table: not stack.value(silo, f"SELECT EXISTS (SELECT FROM {table})"),  # type: ignore[misc]
            f"{table} of {silo} does not get empty",
            timeout_s=_IMPORT_TIMEOUT_S,
        )


def _restart_work(stack: RunningStack) -> int:
    """A fresh process; the KiB that it has when it has nothing to do."""
    former = stack.pids(REGION, "work")
    stack.kill(REGION, "work")
    wait_until(lambda: set(stack.pids(REGION, "work")) - set(former) != set(), "work does not start again")
    wait_until(lambda: _settled(stack), "work does not come to rest")
    return _memory_kib(stack, "VmRSS")


def _settled(stack: RunningStack) -> bool:
    """Whether its memory stays as it is for two seconds."""
    before = _memory_kib(stack, "VmRSS")
    time.sleep(2)
    return before > 0 and before == _memory_kib(stack, "VmRSS")


def _memory_kib(stack: RunningStack, name: str) -> int:
    (process_id,) = stack.pids(REGION, "work")
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"the system does not tell {name}")


def _flatness(stack: RunningStack, import_id: int) -> tuple[float, str, tuple[float, float]]:
    """The worst model: last fifth over first fifth, its name, and the two times a row, medians of their batches.

    A batch's time is that of the work on it, control's too, as the import has noted it: models are written side by
    side, and a batch waits for what it refers to. The last one of a model is smaller than the others and left out.
    """
    rows = stack.query(
        REGION,
        "SELECT model, took_s / (last_ordinal - first_ordinal + 1) FROM import_chunk"
        " WHERE import_id = %s ORDER BY model, first_ordinal",
        import_id,
    )
    batches: dict[str, list[float]] = {}
    for (model, row_s), (following, _) in itertools.pairwise(rows):
        if model == following:
            batches.setdefault(model, []).append(row_s)
    compared = []
    wanted = min(_BATCHES_MIN, max(map(len, batches.values()), default=1))
    for model, times in batches.items():
        if len(times) >= wanted:
            fifth = max(1, len(times) // 5)
            first, last = statistics.median(times[:fifth]), statistics.median(times[-fifth:])
            compared.append((last / first, model, (first, last)))
    assert compared, "no model has batches enough to compare"
    return max(compared)
