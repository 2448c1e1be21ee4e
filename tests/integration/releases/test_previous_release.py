"""Which release is the one before: strictly before by time, by repository, environment and project."""

from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.integration.releases.refs import (
    Ref,
    fetches,
    ref_set,
    release_at,
    release_name,
    set_refs,
)
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("repositories")]


def test_the_release_before_is_strictly_before_by_release_time_and_then_by_id(
    features: RegionFeatures, client: Client
) -> None:
    head = Ref(repository="app", commit="a")
    for version, hours in (("older", 5), ("before", 3), ("later", 0)):
        release_at(features, client, version, hours, Ref(repository="app", commit=f"of-{version}"))
    release_at(features, client, "no-head", 2)
    release_at(features, client, "1.0", 1)

    def previous() -> tuple[str, str]:
        fetch = set_refs(client, "1.0", head).fetch
        return fetch.previous_release.rpartition("/")[2], fetch.refs[0].previous_commit

    assert previous() == ("before", "of-before")
    # A release time counts before the creation, on either side.
    soon = Timestamp()
    soon.FromDatetime(features.clock.now() - timedelta(hours=1.5))
    client.update("older", release_time=soon)
    assert previous() == ("older", "of-older")
    features.rows("UPDATE release SET date_released = NULL")
    at = features.value("SELECT date_added FROM release WHERE version = '1.0'")
    features.rows("UPDATE release SET date_added = :at WHERE version IN ('older', 'later')", at=at)
    # Of one time only ids decide: 1.0 was made before all of them.
    assert previous() == ("before", "of-before")
    features.rows("UPDATE release SET date_added = :at WHERE version <> '1.0'", at=at)
    assert previous() == ("", "")


def test_the_time_that_an_update_sets_decides_what_comes_before(features: RegionFeatures, client: Client) -> None:
    release_at(features, client, "0.9", 5, Ref(repository="app", commit="old"))
    early = Timestamp()
    early.FromDatetime(features.clock.now() - timedelta(hours=6))
    client.release.UpdateRelease(
        release_pb.UpdateReleaseRequest(
            release=release_pb.Release(name=release_name("1.0"), release_time=early),
            request_id=new_id(),
            refs=ref_set(Ref(repository="app", commit="a")),
        )
    )
    (fetch,) = fetches(client, "1.0")
    assert fetch.previous_release == ""
    assert fetch.previous_release_reason == "no earlier release of its projects has a head of app"


def test_each_repository_has_the_release_before_of_its_own_in_the_environment(
    features: RegionFeatures, client: Client
) -> None:
    release_at(features, client, "0.7", 4, Ref(repository="lib", commit="l7"))
    release_at(features, client, "0.8", 3, Ref(repository="app", commit="a8"))
    release_at(features, client, "0.9", 2, Ref(repository="app", commit="a9"))
    features.rows(
        "INSERT INTO environment (organization_id, name, date_added) VALUES (100, 'prod', :now)",
        now=features.clock.now(),
    )
    features.rows(
        """
        INSERT INTO release_environment (organization_id, release_id, environment_id, first_seen, last_seen)
        SELECT 100, release.id, environment.id, :now, :now FROM release, environment WHERE version = '0.8'
        """,
        now=features.clock.now(),
    )
    refs = (Ref(repository="app", commit="a"), Ref(repository="lib", commit="l"))
    fetch = set_refs(client, "1.0", *refs).fetch
    assert [ref.previous_commit for ref in fetch.refs] == ["a9", "l7"]
    assert fetch.previous_release.endswith("/0.9")
    fetch = set_refs(client, "1.0", *refs, environment="prod").fetch
    assert [ref.previous_commit for ref in fetch.refs] == ["a8", ""]
    assert fetch.previous_release_reason == (
        "0.8 is the newest earlier release of its projects in prod with a head of app; none has a head of lib"
    )


def test_a_release_without_a_common_project_is_none_before(features: RegionFeatures, client: Client) -> None:
    features.add_project("other")
    client.create("0.9", ("other",))
    release_at(features, client, "0.9", 2, Ref(repository="app", commit="old"))
    assert set_refs(client, "1.0", Ref(repository="app", commit="a")).fetch.previous_release == ""
