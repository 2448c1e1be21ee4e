"""How fast a revocation comes, and what a region believes that hears nothing: the confirmation of the tokens."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Event, Thread

import grpc
import pytest
from siloway.control.v1 import token_service_pb2 as token_pb

from control_silo.tokens.confirmation import Confirmations
from shared.clock import SystemClock
from shared.database import Database
from shared.errors import PeerUnavailable
from shared.outbox.domain import CHANNEL, Delivery
from shared.wake import Listener, Waker
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, add_organizations, execute, organization_ids, pending, rows
from tests.integration.tokens.doors import Doors, new_id, opened, project_request

pytestmark = pytest.mark.integration

DAY_S = 86_400.0
REVOKED_WITHIN_S = 2.0
_TRIES = 5
"""A machine that does much else may be slow once; a revocation that waits for something is slow each time."""

_PATIENCE_S = 20


@pytest.fixture
def running(control_database_url: str, make_region_database: Callable[[str, int], str]) -> Iterator[Silos]:
    """Control and two regions by the real clock, with control's drainer as `work` runs it."""
    clock = SystemClock()
    control = Database.open(control_database_url, clock=clock)
    regions = {
        name: Database.open(make_region_database(name, number), clock=clock) for name, number in (("us", 1), ("de", 2))
    }
    waker = Waker(control_database_url)
    control.wake = waker.wake
    silos = Silos(control, regions, clock)
    silos.register()
    stop, listener = Event(), Listener(control_database_url, [CHANNEL])
    drainer = Thread(target=silos.drainers["control"].run, args=(stop, listener.wait))
    drainer.start()
    try:
        yield silos
    finally:
        stop.set()
        drainer.join(30)
        listener.close()
        waker.close()
        for database in (control, *regions.values()):
            database.close()


@pytest.fixture
def strict(silos: Silos) -> Iterator[Doors]:
    """Doors of regions that believe tokens for a day after control's last confirmation."""
    with opened(silos, confirmation_max_s=DAY_S) as doors:
        yield doors


def becomes(ask: Callable[[], str], answer: str, timeout_s: float) -> float:
    """Ask until that is the answer, without a pause, so that every cache stays warm; returns the seconds it took."""
    began = time.monotonic()
    while (told := ask()) != answer:
        assert time.monotonic() - began < timeout_s, f"still {told}"
    return time.monotonic() - began


def cut_off(silos: Silos, region: str) -> None:
    def refuse(target: str, _delivery: Delivery) -> None:
        if target == region:
            raise PeerUnavailable

    silos.transport.before = refuse


def join_up(silos: Silos) -> None:
    silos.transport.before = lambda target, delivery: None


def test_a_revoked_token_is_refused_by_every_connected_region_within_two_seconds(running: Silos) -> None:
    with opened(running) as doors:
        _revocation_s(doors)  # connects all that it takes
        assert any(_revocation_s(doors) < REVOKED_WITHIN_S for _ in range(_TRIES))


def _revocation_s(doors: Doors) -> float:
    made = doors.create_token(scopes=["ids:generate"])
    for region in ("us", "de"):
        becomes(partial(doors.answer, region, made.secret), "OK", _PATIENCE_S)
    doors.call(doors.tokens.RevokeToken, token_pb.RevokeTokenRequest(name=made.name, request_id=new_id()))
    revoked_at = time.monotonic()
    for region in ("us", "de"):
        becomes(partial(doors.answer, region, made.secret), "TOKEN_REVOKED", _PATIENCE_S)
    return time.monotonic() - revoked_at


def test_regions_serve_reads_writes_and_ids_while_control_is_stopped(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1")
    with opened(silos) as doors:
        doors.stop_control()
        with pytest.raises(grpc.RpcError):
            doors.create_token()
        projects = doors.projects("us")
        request = project_request(organization)
        made = doors.call(projects.CreateProject, request)
        assert doors.call(projects.CreateProject, request) == made
        assert len(doors.generate("us", doors.operator, 100)) == len(doors.generate("de", doors.operator, 100)) == 100
        assert doors.answer("us", "siloway_" + "w" * 43) == "TOKEN_INVALID"


def test_a_region_that_hears_nothing_for_too_long_believes_no_token_until_it_hears_again(
    strict: Doors, silos: Silos, clock: FakeClock
) -> None:
    confirmations = Confirmations(silos.control)
    secret = strict.minted(scopes=("ids:generate",))[1]
    assert sorted(confirmations.send_due()) == ["de", "us"]
    silos.drain()
    assert strict.answer("us", secret) == strict.answer("de", secret) == "OK"

    cut_off(silos, "us")
    clock.advance(DAY_S)
    confirmations.send_due()
    silos.drain()
    assert strict.answer("us", secret) == "OK"
    clock.advance(1)
    with pytest.raises(grpc.RpcError) as caught:
        strict.generate("us", secret)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert strict.answer("us", secret) == "TOKEN_UNCONFIRMED"
    assert strict.answer("us", "siloway_" + "w" * 43) == "TOKEN_INVALID"
    assert strict.answer("de", secret) == "OK"

    join_up(silos)
    clock.advance(60)  # the drainer's breaker
    silos.drain()
    clock.advance(1)
    assert strict.answer("us", secret) == "OK"


def test_a_region_that_was_never_confirmed_believes_no_token(strict: Doors, silos: Silos) -> None:
    assert strict.answer("us", strict.operator) == "TOKEN_UNCONFIRMED"


def test_a_region_without_a_bound_asks_for_no_confirmation(doors: Doors, clock: FakeClock) -> None:
    clock.advance(365 * DAY_S)
    assert doors.answer("us", doors.operator) == "OK"


def test_a_revocation_that_is_on_its_way_holds_the_confirmation_back(
    strict: Doors, silos: Silos, clock: FakeClock
) -> None:
    confirmations = Confirmations(silos.control)
    cut_off(silos, "us")
    token, _ = strict.minted()
    noted_at = clock.now()
    clock.advance(3600)
    confirmations.send_due()
    join_up(silos)
    clock.advance(60)
    silos.drain()
    ((confirmed_at,),) = rows(silos.regions["us"], "SELECT confirmed_at FROM token_confirmation")
    assert confirmed_at == noted_at
    assert rows(silos.regions["us"], "SELECT count(*) FROM token WHERE id = :id", id=token.id) == [(1,)]
    clock.advance(10)
    confirmations.send_due()
    silos.drain()
    ((confirmed_at,),) = rows(silos.regions["us"], "SELECT confirmed_at FROM token_confirmation")
    assert confirmed_at == clock.now()


def test_confirmations_do_not_pile_up_while_a_region_is_away(silos: Silos, clock: FakeClock) -> None:
    silos.drain()
    confirmations = Confirmations(silos.control)
    for _ in range(10):
        confirmations.send_due()
        assert confirmations.send_due() == []
        clock.advance(10)
    assert pending(silos.control) == 2
    silos.drain()
    assert pending(silos.control) == 0
    assert rows(silos.regions["de"], "SELECT confirmed_at FROM token_confirmation") == [(clock.now(),)]
