from collections.abc import Iterator

import pytest

from tests.integration.issues.desk import Desk
from tests.integration.releases.acme import Acme
from tests.region_client import Client
from tests.region_commands import run  # noqa: F401  # a fixture
from tests.region_features import RegionFeatures, opened


@pytest.fixture
def features(region_database_url: str, redis_url: str) -> Iterator[RegionFeatures]:
    with opened(region_database_url, redis_url) as features:
        yield features


@pytest.fixture
def client(features: RegionFeatures) -> Client:
    return features.client


@pytest.fixture
def desk(features: RegionFeatures) -> Desk:
    return Desk(features)


@pytest.fixture
def acme(features: RegionFeatures) -> Acme:
    return Acme(features)
