"""The same silos as the conversation's tests, and their public doors."""

from collections.abc import Iterator

import pytest

from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos
from tests.integration.tokens.doors import Doors, opened

__all__ = ["silos"]


@pytest.fixture
def doors(silos: Silos) -> Iterator[Doors]:
    with opened(silos) as doors:
        yield doors
