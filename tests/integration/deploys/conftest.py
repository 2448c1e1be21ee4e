"""A region's features behind a door, alone, or with control and a whole organization to announce to."""

from collections.abc import Iterator

import pytest

from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos
from tests.integration.deploys.announcing import Announcing, opened_announcing
from tests.integration.releases.conftest import acme, client, features

__all__ = ["acme", "client", "features", "silos"]


@pytest.fixture
def announcing(silos: Silos, redis_url: str) -> Iterator[Announcing]:
    with opened_announcing(silos, redis_url) as announcing:
        yield announcing
