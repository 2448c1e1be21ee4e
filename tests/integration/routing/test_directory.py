"""Every region knows the directory: all of it from the start, and what changes in it."""

import pytest

from control_silo.regions.domain import Region
from control_silo.regions.usecases import register_regions
from shared.errors import OrganizationElsewhere
from shared.outbox.domain import Outcome
from tests.integration.callbacks.silos import REGIONS, Silos, arrived, execute, pending, rows
from tests.integration.routing.conftest import Routing

pytestmark = pytest.mark.integration

MOVED = Region("de", 2, "127.0.0.1:7721", "elsewhere.example:443")
BOTH = [("de", 2, "127.0.0.1:7720"), ("us", 1, "127.0.0.1:7710")]


def register(silos: Silos, *regions: Region) -> None:
    silos.control.transact(lambda transaction: register_regions(transaction, regions))


def directory(silos: Silos, region: str) -> list[tuple[object, ...]]:
    return rows(silos.regions[region], "SELECT name, number, public_address FROM region_directory ORDER BY name")


def test_each_region_knows_all_regions_and_nothing_is_told_twice(silos: Silos) -> None:
    assert directory(silos, "us") == directory(silos, "de") == BOTH
    silos.register()
    assert pending(silos.control) == 0


def test_a_changed_address_reaches_the_other_regions_and_their_clients(routing: Routing, silos: Silos) -> None:
    theirs = routing.place("de", "acme")
    register(silos, MOVED)
    silos.drain()
    assert directory(silos, "us") == directory(silos, "de") == [("de", 2, "elsewhere.example:443"), BOTH[1]]
    with pytest.raises(OrganizationElsewhere) as caught:
        routing.find("us", theirs)
    assert caught.value.metadata == {"region": "de", "address": "elsewhere.example:443"}


def test_an_older_entry_that_comes_late_changes_nothing(silos: Silos) -> None:
    register(silos, MOVED)
    silos.drain()
    late = [delivery for target, delivery in silos.transport.seen if target == "us"]
    register(silos, *REGIONS)
    silos.drain()
    assert late
    for delivery in late:
        results = silos.transport.receivers["us"](arrived(delivery, "control"))
        assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert directory(silos, "us") == BOTH


def test_a_new_region_is_told_to_all_and_gets_the_whole_directory(silos: Silos) -> None:
    register(silos, Region("fr", 3, "127.0.0.1:7731", "127.0.0.1:7730"))
    told = rows(silos.control, "SELECT target, subject FROM outbox_message WHERE category = 'region' ORDER BY 1, 2")
    assert told == [("de", "fr"), ("fr", "de"), ("fr", "fr"), ("fr", "us"), ("us", "fr")]


def test_a_directory_that_is_older_than_its_replicas_is_told_once(silos: Silos) -> None:
    for database in silos.regions.values():
        execute(database, "DELETE FROM region_directory")
        execute(database, "DELETE FROM inbox_subject WHERE category = 'region'")
    execute(silos.control, "UPDATE region_directory SET version = 0")
    silos.register("us")
    silos.drain()
    assert directory(silos, "us") == directory(silos, "de") == BOTH
    silos.register()
    assert pending(silos.control) == 0
