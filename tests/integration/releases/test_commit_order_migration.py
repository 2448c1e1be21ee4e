"""Migration 0017 gives lists that are there the order that they had."""

import importlib

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec


def test_a_list_from_before_keeps_its_order_and_takes_appended_commits(
    features: RegionFeatures, client: Client
) -> None:
    migration = importlib.import_module("region_silo.migrations.versions.0016_commit_order")
    client.create("1.0")
    client.create("2.0")
    # A time that stands out of the order of positions: told later, by another release's call.
    client.set_commits("1.0", [Spec(id=f"c{n}", repository=f"r{n % 2}") for n in range(5)])
    told = {"c0": 50, "c1": 30, "c2": 40, "c4": 10}
    client.set_commits(
        "2.0",
        [Spec(id=key, repository=f"r{int(key[1]) % 2}", commit_time=Timestamp(seconds=s)) for key, s in told.items()],
    )
    features.rows("ALTER TABLE release_commit DROP COLUMN repository_id, DROP COLUMN layer, DROP COLUMN sort_time_us")
    for statement in migration.STATEMENTS:
        features.rows(statement)
    assert client.commit_ids("1.0") == ["c0", "c1", "c2", "c3", "c4"]
    assert client.commit_ids("2.0") == ["c0", "c2", "c1", "c4"]
    wrong = """
        SELECT count(*) FROM release_commit listed JOIN commit ON commit.id = listed.commit_id
        WHERE commit.repository_id <> listed.repository_id
    """
    assert features.value(wrong) == 0
    for key, seconds in (("newest", 60), ("older", 20)):
        client.set_commits("1.0", [Spec(id=key, commit_time=Timestamp(seconds=seconds))], "APPEND")
    assert client.commit_ids("1.0") == ["newest", "c0", "c1", "c2", "older", "c3", "c4"]
