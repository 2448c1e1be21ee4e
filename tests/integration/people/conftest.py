"""The same silos as the conversation's tests, with control's users and the regions' members at hand."""

from collections.abc import Iterator

import pytest

from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos
from tests.integration.people.crowd import Crowd

__all__ = ["silos"]


@pytest.fixture
def crowd(silos: Silos) -> Iterator[Crowd]:
    crowd = Crowd(silos)
    try:
        yield crowd
    finally:
        crowd.close()
