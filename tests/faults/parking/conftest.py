"""The same silos as the conversation's tests."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.integration.callbacks.conftest import silos

__all__ = ["silos"]


@pytest.fixture(autouse=True)
def _no_drawn_tracebacks() -> Iterator[None]:
    """Poison is refused dozens of times, and each refusal's traceback would be drawn for the terminal."""
    with capture_logs():
        yield
