"""One running stack for all tests of this folder; they leave each other's rows alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.embedded.failures import PortTaken
from shared.embedded.folder import check_port
from shared.embedded.settings import DEFAULT_PORTS_FROM
from tests.stack import RunningStack

_SILOS, _PORTS_PER_SILO = 3, 10


@pytest.fixture(scope="session")
def stack(server_folder: Path, testrun_uid: str) -> Iterator[RunningStack]:
    """Where `make run` would have it, when nobody else is there; so the README's lines run as they stand."""
    first = server_folder.parent / f"siloway-stack-of-{testrun_uid}"
    first.mkdir()  # fails in the second process of one run that would start the stack: they belong together
    running = RunningStack(server_folder / "stack", ports_from=DEFAULT_PORTS_FROM if _default_ports_free() else 0)
    yield running
    first.rmdir()
    assert running.stop() == 0, running.notices


def _default_ports_free() -> bool:
    try:
        for port in range(DEFAULT_PORTS_FROM, DEFAULT_PORTS_FROM + _SILOS * _PORTS_PER_SILO):
            check_port("127.0.0.1", port, "the stack")
    except PortTaken:
        return False
    return True
