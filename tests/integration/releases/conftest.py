from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.database import Database
from tests.clock import FakeClock
from tests.integration.releases.acme import Acme
from tests.integration.releases.fetching import Work
from tests.integration.releases.refs import add_git_repository, add_repository
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
def acme(features: RegionFeatures) -> Acme:
    return Acme(features)


@pytest.fixture
def work(features: RegionFeatures, region_database_url: str, tmp_path: Path) -> Iterator[Work]:
    clock = FakeClock(features.clock.now() + timedelta(minutes=1))
    database = Database.open(region_database_url, clock=clock)
    yield Work(database, clock, tmp_path / "repositories")
    database.close()


@pytest.fixture
def sources(client: Client) -> None:
    """Release 1.0, a repository of `local-git` and three of a provider whose answers a test sets."""
    client.create("1.0")
    add_git_repository(client, "app")
    for name in ("one", "two", "three"):
        add_repository(client, name, provider="scripted")


@pytest.fixture
def repositories(client: Client) -> None:
    """Release 1.0 and two repositories that nothing fetches."""
    client.create("1.0")
    for name in ("app", "lib"):
        add_repository(client, name)
