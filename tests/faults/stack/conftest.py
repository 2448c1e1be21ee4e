"""One stack for all tests of this folder, with every point in the way held off by a file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stack.points import KILLS, PAUSES
from tests.faults.stack.silos import FaultStack
from tests.stack import RunningStack


@pytest.fixture(scope="module")
def stack(server_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    points = tmp_path_factory.mktemp("points")
    barriers = [point.killing(points) for point in KILLS] + [point.pausing(points) for point in PAUSES]
    running = RunningStack(server_folder / "faults", environment={"SILOWAY_BARRIERS": ",".join(barriers)})
    yield FaultStack(running, points)
    assert running.stop() == 0, running.notices
