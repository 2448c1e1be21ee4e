"""A region sends clients to the region that owns what they ask for, and tells nobody what they may not know."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from control_silo.organizations import store as mappings
from region_silo.routing import owners
from shared.errors import OrganizationElsewhere, OrganizationNotFound, ResourceExhausted
from shared.names import Key
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, execute
from tests.integration.routing.conftest import Routing

pytestmark = pytest.mark.integration

DE = {"region": "de", "address": "127.0.0.1:7720"}


def elsewhere(routing: Routing, key: Key, *, bound_to: int | None = None) -> dict[str, str]:
    with pytest.raises(OrganizationElsewhere) as caught:
        routing.find("us", key, bound_to=bound_to)
    return caught.value.metadata


def unknown(routing: Routing, key: Key, *, bound_to: int | None = None) -> None:
    with pytest.raises(OrganizationNotFound) as caught:
        routing.find("us", key, bound_to=bound_to)
    assert caught.value.metadata == {}


def test_case_48_an_id_that_is_nobodys_is_not_found_without_a_call(routing: Routing) -> None:
    routing.is_control_down = True
    assert elsewhere(routing, LAYOUT_2.encode(100, 2, 0)) == DE
    unknown(routing, LAYOUT_2.encode(100, 1, 0))
    unknown(routing, LAYOUT_2.encode(100, 9, 0))
    assert routing.asked == []


def test_a_slug_is_asked_of_control_in_any_case(routing: Routing) -> None:
    theirs = routing.place("de", "acme")
    with pytest.raises(OrganizationElsewhere) as caught:
        routing.find("us", "ACME")
    assert caught.value.metadata == DE
    assert caught.value.resource is not None
    assert caught.value.resource.name == f"organizations/{theirs}"
    assert routing.asked == ["acme"]
    assert routing.find("de", "acme").id == theirs


def test_an_id_of_the_old_layout_is_asked_of_control(routing: Routing, silos: Silos) -> None:
    theirs = LAYOUT_1.encode(100, 0, 3)
    silos.control.transact(lambda transaction: mappings.add(transaction, "de", {theirs: "Theirs"}))
    assert elsewhere(routing, theirs) == DE
    unknown(routing, LAYOUT_1.encode(100, 0, 4))
    assert routing.asked == [theirs, LAYOUT_1.encode(100, 0, 4)]


def test_what_is_here_costs_no_question(routing: Routing) -> None:
    ours = routing.place("us", "acme")
    assert routing.find("us", "acme").id == routing.find("us", ours).id == ours
    assert routing.find("us", "acme", bound_to=ours).id == ours
    unknown(routing, "no slug at all")
    unknown(routing, 17)
    assert routing.asked == []


def test_an_answer_is_good_for_seconds_and_that_nobody_has_it_for_one(routing: Routing, clock: FakeClock) -> None:
    routing.place("de", "acme")
    for _ in range(3):
        elsewhere(routing, "acme")
        unknown(routing, "nobody")
    assert routing.asked == ["acme", "nobody"]
    clock.advance(owners.KEEP_NOBODY_S)
    elsewhere(routing, "acme")
    unknown(routing, "nobody")
    assert routing.asked == ["acme", "nobody", "nobody"]
    clock.advance(owners.KEEP_OWNER_S)
    elsewhere(routing, "acme")
    assert routing.asked[3:] == ["acme"]


def test_no_more_answers_are_kept_than_there_is_room_for(routing: Routing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "KEPT_MAX", 2)
    for slug in ("a", "b", "c", "b", "c", "a"):
        unknown(routing, slug)
    assert routing.asked == ["a", "b", "c", "a"]


def test_without_control_a_slug_is_not_found_and_control_left_alone(routing: Routing, clock: FakeClock) -> None:
    routing.place("de", "acme")
    routing.is_control_down = True
    unknown(routing, "acme")
    unknown(routing, "other")
    assert routing.asked == ["acme"]
    clock.advance(owners.PAUSE_S)
    routing.is_control_down = False
    assert elsewhere(routing, "acme") == DE


def test_a_token_of_another_organization_hears_nothing(routing: Routing) -> None:
    theirs, ours = routing.place("de", "acme"), routing.place("us", "globex")
    unknown(routing, theirs, bound_to=ours)
    assert routing.asked == []
    unknown(routing, "acme", bound_to=ours)
    unknown(routing, "globex", bound_to=theirs)
    unknown(routing, ours, bound_to=theirs)
    assert elsewhere(routing, theirs, bound_to=theirs) == DE
    assert elsewhere(routing, "acme", bound_to=theirs) == DE


def test_our_own_is_found_by_a_slug_that_only_control_knows(routing: Routing, silos: Silos) -> None:
    ours = routing.place("us", "acme")
    execute(silos.control, "UPDATE organization_mapping SET slug = 'initech' WHERE slug = 'acme'")
    assert routing.find("us", "initech").id == routing.find("us", "initech").id == ours
    assert routing.asked == ["initech", "initech"]
    with pytest.raises(OrganizationElsewhere):
        routing.find("de", "initech")
    unknown(routing, "initech", bound_to=ours + 1)


def test_only_so_many_calls_wait_for_control(silos: Silos) -> None:
    routing = Routing(silos, waiting_max=1)
    waits, go_on = threading.Event(), threading.Event()

    def block() -> None:
        waits.set()
        assert go_on.wait(20)

    routing.before_answer = block
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(unknown, routing, "first")
        assert waits.wait(20)
        with pytest.raises(ResourceExhausted) as caught:
            routing.find("us", "second")
        assert caught.value.retry_after_s is not None
        assert not first.done()
        go_on.set()
        first.result(20)
    unknown(routing, "second")
