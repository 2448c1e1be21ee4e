"""UserService through control's public door, and what a suspension does to the user's tokens in every silo."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from siloway.control.v1 import user_service_pb2 as user_pb

from control_silo.tokens.usecases import scopes_of
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.tokens.doors import Doors, new_id, user_request

pytestmark = pytest.mark.integration

SILOS = ("control", "us", "de")


def suspend(doors: Doors, user: user_pb.User, request_id: str = "") -> user_pb.User:
    request = user_pb.SuspendUserRequest(name=user.name, request_id=request_id or new_id())
    told: user_pb.User = doors.call(doors.users.SuspendUser, request)
    return told


def unsuspend(doors: Doors, user: user_pb.User) -> user_pb.User:
    request = user_pb.UnsuspendUserRequest(name=user.name, request_id=new_id())
    told: user_pb.User = doors.call(doors.users.UnsuspendUser, request)
    return told


def test_made_user_is_shown_and_a_repeat_makes_no_other(doors: Doors, silos: Silos) -> None:
    request = user_request(username="ada", display_name="Ada Lovelace", email="ada@example.com")
    made = doors.call(doors.users.CreateUser, request)
    assert doors.call(doors.users.CreateUser, request) == made
    assert doors.call(doors.users.GetUser, user_pb.GetUserRequest(name=made.name)) == made
    assert (made.username, made.display_name, made.email, made.state) == (
        "ada",
        "Ada Lovelace",
        "ada@example.com",
        user_pb.User.STATE_ACTIVE,
    )
    assert rows(silos.control, "SELECT user_id, email, is_verified FROM user_email") == [
        (int(made.uid), "ada@example.com", False)
    ]
    assert rows(silos.control, "SELECT is_staff, is_superuser FROM user_account") == [(False, False)]


def test_username_is_unique_ignoring_case(doors: Doors) -> None:
    doors.create_user("Ada")
    told = doors.refused(doors.users.CreateUser, user_request(username="aDA"))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "USERNAME_TAKEN")


def test_of_users_made_at_once_with_one_name_one_is_made(doors: Doors, silos: Silos) -> None:
    def make(_place: int) -> str:
        try:
            doors.create_user("ada")
        except grpc.RpcError as error:
            return error.code().name
        return "OK"

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(make, range(8)))
    assert answers == ["ALREADY_EXISTS"] * 7 + ["OK"]
    assert rows(silos.control, "SELECT count(*) FROM user_account") == [(1,)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"username": ""}, "user.username"),
        ({"username": "a b"}, "user.username"),
        ({"username": "a\n"}, "user.username"),
        ({"username": "a", "display_name": "x\0"}, "user.display_name"),
        ({"username": "a", "email": "nowhere"}, "user.email"),
    ],
)
def test_broken_rule_of_a_user_is_told_by_its_field(doors: Doors, given: dict[str, str], field: str) -> None:
    told = doors.refused(doors.users.CreateUser, user_request(**given))
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each for each, _ in told.violations] == [field]


def test_users_are_listed_in_pages_and_found_by_name(doors: Doors) -> None:
    made = [doors.create_user(f"user-{place}").name for place in range(5)]
    seen: list[str] = []
    request = user_pb.ListUsersRequest(page_size=2)
    while True:
        page = doors.call(doors.users.ListUsers, request)
        seen += [user.name for user in page.users]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert seen == made
    found = doors.call(doors.users.ListUsers, user_pb.ListUsersRequest(username="USER-3")).users
    assert [user.name for user in found] == [made[3]]


def test_suspended_users_tokens_are_refused_in_every_silo_until_it_is_taken_back(
    doors: Doors, clock: FakeClock
) -> None:
    user = doors.create_user()
    secret = doors.create_token(user=user.name, scopes=["ids:generate"]).secret
    other = doors.create_token(scopes=["ids:generate"]).secret
    doors.silos.drain()
    assert {doors.answer(silo, secret) for silo in SILOS} == {"OK"}

    request_id = new_id()
    suspended = suspend(doors, user, request_id)
    assert suspended.state == user_pb.User.STATE_SUSPENDED
    assert suspend(doors, user, request_id) == suspend(doors, user) == suspended
    doors.silos.drain()
    clock.advance(1)
    assert {doors.answer(silo, secret) for silo in SILOS} == {"USER_SUSPENDED"}
    assert {doors.answer(silo, other) for silo in SILOS} == {"OK"}

    late = doors.create_token(user=user.name, scopes=["ids:generate"]).secret
    doors.silos.drain()
    assert {doors.answer(silo, late) for silo in SILOS} == {"USER_SUSPENDED"}

    assert unsuspend(doors, user).state == user_pb.User.STATE_ACTIVE
    doors.silos.drain()
    clock.advance(1)
    assert {doors.answer(silo, each) for silo in SILOS for each in (secret, late)} == {"OK"}


def test_users_principal_may_what_the_users_live_tokens_may(doors: Doors, silos: Silos, clock: FakeClock) -> None:
    user = doors.create_user()
    doors.create_token(user=user.name, scopes=["import:write"])

    def may() -> frozenset[str]:
        return silos.control.read(lambda transaction: scopes_of(transaction, user.name, clock.now()))

    assert may() == {"import:write"}
    suspend(doors, user)
    assert may() == frozenset()


def test_unknown_user_is_not_found(doors: Doors) -> None:
    told = doors.refused(doors.users.GetUser, user_pb.GetUserRequest(name="users/17"))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    for method, request in (
        (doors.users.SuspendUser, user_pb.SuspendUserRequest(name="users/17", request_id=new_id())),
        (doors.users.UnsuspendUser, user_pb.UnsuspendUserRequest(name="users/17", request_id=new_id())),
    ):
        assert doors.refused(method, request).reason == "USER_NOT_FOUND"


def test_only_an_unbound_operator_has_business_with_users(doors: Doors) -> None:
    small = doors.minted(scopes=("org:admin",))[1]
    bound = doors.minted(scopes=("silo:operate",), organization_id=42)[1]
    for method, request in (
        (doors.users.CreateUser, user_request(username="eve")),
        (doors.users.GetUser, user_pb.GetUserRequest(name="users/17")),
        (doors.users.ListUsers, user_pb.ListUsersRequest()),
        (doors.users.SuspendUser, user_pb.SuspendUserRequest(name="users/17", request_id=new_id())),
        (doors.users.UnsuspendUser, user_pb.UnsuspendUserRequest(name="users/17", request_id=new_id())),
    ):
        assert doors.refused(method, request, small).reason == "SCOPE_MISSING"
        assert doors.refused(method, request, bound).reason == "PERMISSION_DENIED"


def test_no_token_made_while_its_user_is_being_suspended_slips_through(doors: Doors, silos: Silos) -> None:
    for place in range(5):
        user = doors.create_user(f"user-{place}")
        together = threading.Barrier(5)

        def make(user: user_pb.User = user, together: threading.Barrier = together) -> None:
            together.wait(10)
            doors.create_token(user=user.name)

        with ThreadPoolExecutor(5) as pool:
            made = [pool.submit(make) for _ in range(4)]
            together.wait(10)
            suspend(doors, user)
            for each in made:
                each.result(20)
        noted = rows(silos.control, "SELECT user_suspended FROM token WHERE user_id = :id", id=int(user.uid))
        assert noted == [(True,)] * 4
    silos.drain()
    assert rows(silos.control, "SELECT * FROM token ORDER BY id") == rows(
        silos.regions["us"], "SELECT * FROM token ORDER BY id"
    )
