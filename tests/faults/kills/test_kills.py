"""Fifty imports, in each of which a process of the stack, or the client, is killed at a place that a seed chooses, and
the same request is made again: each ends with the rows of an undisturbed import. Run it with `make kills`; KILLS_SEED
repeats the places, KILLS_COUNT makes it longer or shorter.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.clock import SystemClock
from shared.database import Database
from tests import invariants
from tests.faults.kills.places import PLACES, draw
from tests.faults.stack.imports import WHOLE, Imports
from tests.faults.stack.silos import FaultStack, Point
from tests.stack import RunningStack

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("KILLS_SEED") or random.randrange(10**6))
COUNT = int(os.environ.get("KILLS_COUNT") or 50)
TIMEOUT_S = 3600


@pytest.fixture
def stack(server_folder: Path, tmp_path: Path) -> Iterator[FaultStack]:
    barriers = sorted({Point(each.silo, each.verb, each.name).barrier(tmp_path) for each in PLACES})
    environment = {"SILOWAY_BARRIERS": ",".join(barriers), "SILOWAY_RESTART_MAX_S": "0.5"}
    running = RunningStack(server_folder / "kills", environment=environment)
    yield FaultStack(running, tmp_path)
    assert running.stop() == 0, running.notices


@pytest.mark.timeout(TIMEOUT_S)
def test_an_import_in_which_anything_is_killed_anywhere_ends_like_an_undisturbed_one(
    stack: FaultStack, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    say = pytestconfig.get_terminal_writer().line
    say(f"KILLS_SEED={SEED}")
    imports = Imports(stack, tmp_path)
    killed: Counter[str] = Counter()
    for number, kill in enumerate(draw(SEED, COUNT), start=1):
        began = time.monotonic()
        try:
            imports.disturb(kill)
        except BaseException as problem:
            problem.add_note(f"KILLS_SEED={SEED}, number {number}: {kill}")
            raise
        killed[str(kill).partition(" at ")[0]] += 1
        say(f"{number:3} {kill}: {time.monotonic() - began:.1f} s")
    say(", ".join(f"{victim}: {times}" for victim, times in sorted(killed.items())))
    _check_all(stack)


def _check_all(stack: FaultStack) -> None:
    """What must hold in all silos once nothing is under way."""
    clock = SystemClock()

    def opened(silo: str) -> Database:
        return Database.open(stack.running.database_url(silo), clock=clock, pool_size=1)

    with closing(opened("control")) as control, closing(opened("us")) as us, closing(opened("de")) as de:
        regions = {"us": us, "de": de}
        stack.await_quiet()
        invariants.check_quiet(control, regions)
        invariants.check_end(control, regions)
    for silo in ("control", "us", "de"):
        running = stack.running.query(silo, "SELECT request_id FROM request_record WHERE state = 'RUNNING'")
        assert running == [], f"a request of {silo} runs for ever"
    unfinished = "SELECT id FROM data_import WHERE state <> 5 OR lease_token IS NOT NULL AND lease_until > now()"
    assert stack.running.query("us", unfinished) == []
    left = {path.suffix for path in (stack.running.folder / "spool" / "us").iterdir()}
    assert left <= WHOLE, "parts of files are left in the spool"
