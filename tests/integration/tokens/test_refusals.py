"""Which tokens both silos refuse, and with which reason: one table for control and region."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from siloway.control.v1 import token_service_pb2 as token_pb
from siloway.control.v1 import user_service_pb2 as user_pb

from shared.tokens import new_secret
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.integration.tokens.doors import Doors, new_id, project_request, token_request

pytestmark = pytest.mark.integration


def wrong(_doors: Doors, _clock: FakeClock) -> str:
    return new_secret()


def expired(doors: Doors, clock: FakeClock) -> str:
    return doors.create_token(expires_at=clock.now() + timedelta(seconds=1)).secret


def revoked(doors: Doors, _clock: FakeClock) -> str:
    made = doors.create_token()
    doors.call(doors.tokens.RevokeToken, token_pb.RevokeTokenRequest(name=made.name, request_id=new_id()))
    return made.secret


def suspended(doors: Doors, _clock: FakeClock) -> str:
    user = doors.create_user()
    made = doors.create_token(user=user.name)
    doors.call(doors.users.SuspendUser, user_pb.SuspendUserRequest(name=user.name, request_id=new_id()))
    return made.secret


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (wrong, "TOKEN_INVALID"),
        (expired, "TOKEN_EXPIRED"),
        (revoked, "TOKEN_REVOKED"),
        (suspended, "USER_SUSPENDED"),
    ],
)
def test_a_token_that_does_not_count_is_refused_by_every_silo(
    doors: Doors, silos: Silos, clock: FakeClock, make: Callable[[Doors, FakeClock], str], reason: str
) -> None:
    secret = make(doors, clock)
    silos.drain()
    clock.advance(1)
    assert {doors.answer(silo, secret) for silo in ("control", "us", "de")} == {reason}


def test_a_token_for_other_silos_is_refused(doors: Doors, silos: Silos) -> None:
    for_us = doors.create_token(audience=["us"], scopes=["ids:generate"]).secret
    for_control = doors.create_token(audience=["control"]).secret
    silos.drain()
    assert doors.answer("control", for_us) == "TOKEN_AUDIENCE"
    # A region hears of no token that is not for it.
    assert doors.answer("de", for_us) == doors.answer("us", for_control) == "TOKEN_INVALID"
    assert doors.answer("us", for_us) == doors.answer("control", for_control) == "OK"


def test_too_small_a_scope_is_refused_by_every_silo(doors: Doors, silos: Silos) -> None:
    secret = doors.create_token(scopes=["project:read"]).secret
    silos.drain()
    assert doors.refused(doors.tokens.CreateToken, token_request(), secret).reason == "SCOPE_MISSING"
    for region in ("us", "de"):
        assert doors.answer(region, secret) == "SCOPE_MISSING"
        create = doors.projects(region).CreateProject
        assert doors.refused(create, project_request(17), secret).reason == "SCOPE_MISSING"
