"""Our work beside that of others who do the same: Django's loaddata, pgqueuer, procrastinate.

The peers are installed in a virtual environment of their own (`make bench-peers`) and run as programs of it, each in a
database of its own on the same server. A figure is their rate (`floor`) and ours; without the peer it has no value and
says why.
"""

import subprocess
from pathlib import Path

from tests.bench import outbox
from tests.bench.environment import Environment
from tests.bench.imports import await_quiet, export, run_import
from tests.bench.measuring import Figure, from_runs

_ROOT = Path(__file__).resolve().parents[2]
_PYTHON = _ROOT / "build/bench-peers/bin/python"
_PROGRAMS = Path(__file__).resolve().parent / "peers"
_PROGRAM_TIMEOUT_S = 600.0
_ROUNDS_MAX = 3


def load(environment: Environment) -> dict[str, Figure]:
    """import_vs_loaddata, in objects a second."""
    objects = int(environment.scaled(10_000, 1_000))
    name = "import_vs_loaddata"
    if not _PYTHON.exists():
        return {name: _absent("Django")}
    runs = []
    with export(objects) as path:
        run_import(environment, path)  # warms up
    for _ in range(_rounds(environment)):
        await_quiet(environment.stack)
        with export(objects) as path:
            peer_s = _run("loaddata.py", environment.empty_database(), str(path))
            runs.append((objects / peer_s, objects / run_import(environment, path).took_s))
    return {name: from_runs(runs, unit="objects/s", note=f"{objects} objects; floor: Django loaddata")}


def pgqueuer(environment: Environment) -> dict[str, Figure]:
    """outbox_drain_vs_pgqueuer, in messages a second."""
    return _drained(environment, "outbox_drain_vs_pgqueuer", "pgqueuer", int(environment.scaled(20_000, 1_000)))


def procrastinate(environment: Environment) -> dict[str, Figure]:
    """outbox_drain_vs_procrastinate, in messages a second."""
    return _drained(environment, "outbox_drain_vs_procrastinate", "procrastinate", int(environment.scaled(3_000, 200)))


def _drained(environment: Environment, name: str, peer: str, jobs: int) -> dict[str, Figure]:
    if not _PYTHON.exists():
        return {name: _absent(peer)}
    with outbox.draining(environment) as rate:
        runs = []
        for _ in range(_rounds(environment)):
            peer_s = _run(f"drain_{peer}.py", environment.empty_database(), str(jobs))
            runs.append((jobs / peer_s, rate()))
    note = f"floor: {peer} with {jobs} jobs that do nothing; ours upserts each message"
    return {name: from_runs(runs, unit="messages/s", note=note)}


def _rounds(environment: Environment) -> int:
    return 1 if environment.quick else _ROUNDS_MAX


def _run(program: str, *arguments: str) -> float:
    """The seconds that the peer's program says it took."""
    done = subprocess.run(
        [str(_PYTHON), str(_PROGRAMS / program), *arguments],
        capture_output=True,
        text=True,
        timeout=_PROGRAM_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"
    return float(done.stdout.split()[-1])


def _absent(peer: str) -> Figure:
    return Figure(None, None, None, "", note=f"needs {peer}, which `make bench-peers` installs")
