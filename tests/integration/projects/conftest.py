from collections.abc import Iterator

import pytest

from tests.region_client import Client
from tests.region_features import RegionFeatures, opened


@pytest.fixture
def features(region_database_url: str, redis_url: str) -> Iterator[RegionFeatures]:
    with opened(region_database_url, redis_url) as features:
        yield features


@pytest.fixture
def client(features: RegionFeatures) -> Client:
    return features.client
