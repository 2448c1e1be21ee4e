"""One stack for all tests of this folder, in which every point looks for a file that tells what is to happen there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stack.points import POINTS
from tests.faults.stack.silos import FaultStack
from tests.stack import RunningStack


@pytest.fixture(scope="module")
def stack(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    points = tmp_path_factory.mktemp("points")
    barriers = sorted({point.barrier(points) for point in POINTS})
    environment = {"SILOWAY_BARRIERS": ",".join(barriers), "SILOWAY_RESTART_MAX_S": "0.5"}
    running = RunningStack(server_folder / "faults", environment=environment)
    yield FaultStack(running, points)
    assert running.stop() == 0, running.notices
