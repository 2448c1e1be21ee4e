from collections.abc import Iterator

import pytest

from tests.integration.members.directory import Directory
from tests.region_client import Client
from tests.region_commands import run  # noqa: F401  # a fixture
from tests.region_features import RegionFeatures, opened


@pytest.fixture
def features(region_database_url: str, redis_url: str) -> Iterator[RegionFeatures]:
    with opened(region_database_url, redis_url) as features:
        yield features


@pytest.fixture
def client(features: RegionFeatures) -> Client:
    """Of a token with org:admin that acts as nobody."""
    return features.client_of("administrator")


@pytest.fixture
def directory(client: Client) -> Directory:
    return Directory(client)
