"""TokenService through control's public door: who may make, see and end which token, and secrets shown once."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from siloway.control.v1 import token_service_pb2 as token_pb

from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, add_organizations, organization_ids, rows
from tests.integration.tokens.doors import Doors, new_id, token_request

pytestmark = pytest.mark.integration

State = token_pb.Token.SecretState


@pytest.fixture
def organizations(silos: Silos) -> list[int]:
    """acme and other of region us, with their slugs."""
    ids = organization_ids(1, 2)
    wishes = list(zip(ids, ("acme", "other"), strict=True))
    add_organizations(silos.regions["us"], wishes)
    silos.reserve("us", wishes)
    silos.drain()
    return ids


@pytest.fixture
def admin(doors: Doors, organizations: list[int]) -> str:
    """The secret of acme's admin, for control and us."""
    scopes = ("org:admin", "org:read", "project:read")
    return doors.minted(organization_id=organizations[0], scopes=scopes, audience=("control", "us"))[1]


def test_made_token_tells_its_fields_and_its_secret_works(doors: Doors, clock: FakeClock) -> None:
    made = doors.create_token(
        scopes=["ids:generate", "org:read"],
        audience=["us", "control"],
        expires_at=clock.now() + timedelta(days=1),
        quota=token_pb.Token.Quota(calls_per_minute=600, ids_per_minute=50_000),
    )
    assert made.name == f"tokens/{made.uid}"
    assert (made.display_name, list(made.scopes), list(made.audience)) == (
        "ci",
        ["ids:generate", "org:read"],
        ["control", "us"],
    )
    assert (made.organization, made.user) == ("", "")
    assert (made.quota.calls_per_minute, made.quota.ids_per_minute) == (600, 50_000)
    assert made.secret_state == State.SECRET_STATE_SHOWN
    doors.silos.drain()
    assert doors.answer("control", made.secret) == doors.answer("us", made.secret) == "OK"
    got = doors.call(doors.tokens.GetToken, token_pb.GetTokenRequest(name=made.name))
    assert (got.secret, got.secret_state) == ("", State.SECRET_STATE_UNSPECIFIED)
    assert got.expire_time.ToDatetime(clock.now().tzinfo) == clock.now() + timedelta(days=1)


def test_repeated_create_gives_the_same_token_without_its_secret(doors: Doors, silos: Silos) -> None:
    request_id = new_id()
    first = doors.create_token(request_id=request_id)
    again = doors.create_token(request_id=request_id)
    assert (again.secret, again.secret_state) == ("", State.SECRET_STATE_ALREADY_SHOWN)
    assert again.name == first.name
    assert rows(silos.control, "SELECT count(*) FROM token WHERE name = 'ci' AND scopes = '{org:read}'") == [(1,)]
    told = doors.refused(doors.tokens.CreateToken, token_request(request_id=request_id, display_name="other"))
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


def test_secrets_stand_in_no_row_of_control(doors: Doors, silos: Silos) -> None:
    made = doors.create_token()
    for table in ("token", "request_record", "outbox_message"):
        assert made.secret[8:] not in str(rows(silos.control, f"SELECT * FROM {table}"))


def test_every_broken_rule_of_a_token_is_told_by_its_field(doors: Doors, clock: FakeClock) -> None:
    request = token_request(display_name="", audience=["fr"], scopes=["root"], expires_at=clock.now())
    told = doors.refused(doors.tokens.CreateToken, request)
    assert told.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {field for field, _ in told.violations} == {
        "token.display_name",
        "token.audience",
        "token.scopes",
        "token.expire_time",
    }


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"organization": "organizations/nobody"}, "ORGANIZATION_NOT_FOUND"),
        ({"user": "users/17"}, "USER_NOT_FOUND"),
        ({"user": "users/0"}, "INVALID_FIELD"),
    ],
)
def test_token_for_nobody_is_refused(doors: Doors, given: dict[str, str], reason: str) -> None:
    assert doors.refused(doors.tokens.CreateToken, token_request(**given)).reason == reason


def test_organization_may_be_given_by_slug_and_a_repeat_by_id_is_the_same_request(
    doors: Doors, organizations: list[int]
) -> None:
    request_id = new_id()
    made = doors.create_token(request_id=request_id, organization="organizations/acme")
    assert made.organization == f"organizations/{organizations[0]}"
    again = doors.create_token(request_id=request_id, organization=f"organizations/{organizations[0]}")
    assert again.name == made.name


def test_revoked_token_is_refused_everywhere_and_a_repeat_changes_nothing(doors: Doors, clock: FakeClock) -> None:
    made = doors.create_token(scopes=["ids:generate"])
    doors.silos.drain()
    assert {doors.answer(silo, made.secret) for silo in ("control", "us", "de")} == {"OK"}
    request = token_pb.RevokeTokenRequest(name=made.name, request_id=new_id())
    first = doors.call(doors.tokens.RevokeToken, request)
    assert doors.call(doors.tokens.RevokeToken, request) == first
    other_id = token_pb.RevokeTokenRequest(name=made.name, request_id=new_id())
    assert doors.call(doors.tokens.RevokeToken, other_id) == first
    assert first.HasField("revoke_time")
    doors.silos.drain()
    clock.advance(1)
    assert {doors.answer(silo, made.secret) for silo in ("control", "us", "de")} == {"TOKEN_REVOKED"}


def test_unknown_token_is_not_found(doors: Doors) -> None:
    told = doors.refused(doors.tokens.GetToken, token_pb.GetTokenRequest(name="tokens/17"))
    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "TOKEN_NOT_FOUND")
    revoke = token_pb.RevokeTokenRequest(name="tokens/17", request_id=new_id())
    assert doors.refused(doors.tokens.RevokeToken, revoke).reason == "TOKEN_NOT_FOUND"


def test_tokens_are_listed_in_pages_without_revoked_ones_unless_asked(doors: Doors) -> None:
    made = [doors.create_token(display_name=f"ci {place}") for place in range(5)]
    doors.call(doors.tokens.RevokeToken, token_pb.RevokeTokenRequest(name=made[0].name, request_id=new_id()))
    seen: list[str] = []
    request = token_pb.ListTokensRequest(page_size=2)
    while True:
        page = doors.call(doors.tokens.ListTokens, request)
        seen += [token.name for token in page.tokens]
        assert not any(token.secret for token in page.tokens)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [token.name for token in made[1:]] == seen[1:]
    request.show_revoked = True
    assert doors.refused(doors.tokens.ListTokens, request).reason == "INVALID_PAGE_TOKEN"
    everything = doors.call(doors.tokens.ListTokens, token_pb.ListTokensRequest(show_revoked=True)).tokens
    assert made[0].name in [token.name for token in everything]


def test_organizations_admin_makes_sees_and_ends_tokens_of_that_organization(
    doors: Doors, admin: str, organizations: list[int]
) -> None:
    acme = f"organizations/{organizations[0]}"
    made = doors.create_token(admin, organization=acme, audience=["us"], scopes=["project:read"])
    listed = doors.call(doors.tokens.ListTokens, token_pb.ListTokensRequest(), admin).tokens
    assert {token.organization for token in listed} == {acme}
    assert made.name in [token.name for token in listed]
    assert doors.call(doors.tokens.GetToken, token_pb.GetTokenRequest(name=made.name), admin).name == made.name
    revoke = token_pb.RevokeTokenRequest(name=made.name, request_id=new_id())
    assert doors.call(doors.tokens.RevokeToken, revoke, admin).HasField("revoke_time")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"scopes": ["project:read", "project:admin"]}, "scopes"),
        ({"scopes": ["silo:operate"]}, "scopes"),
        ({"audience": ["*"]}, "audience"),
        ({"audience": ["de"]}, "audience"),
        ({"organization": ""}, "organization"),
        ({"user": "users/1"}, "user"),
    ],
    ids=str,
)
def test_organizations_admin_gives_nothing_that_it_does_not_have(
    doors: Doors, admin: str, organizations: list[int], given: dict[str, object], field: str
) -> None:
    fields: dict[str, Any] = {"organization": f"organizations/{organizations[0]}", "audience": ["us"], **given}
    told = doors.refused(doors.tokens.CreateToken, token_request(**fields), admin)
    assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "GRANT_EXCEEDED")
    assert told.metadata == {"fields": field}


def test_quota_of_an_organizations_admin_bounds_what_it_gives(doors: Doors, organizations: list[int]) -> None:
    acme = f"organizations/{organizations[0]}"
    fields = {"organization_id": organizations[0], "scopes": ("org:admin", "org:read"), "calls_per_minute": 100}
    admin = doors.minted(**fields)[1]
    for quota in (None, token_pb.Token.Quota(calls_per_minute=101)):
        told = doors.refused(doors.tokens.CreateToken, token_request(organization=acme, quota=quota), admin)
        assert (told.reason, told.metadata) == ("GRANT_EXCEEDED", {"fields": "quota"})
    quota = token_pb.Token.Quota(calls_per_minute=100)
    assert doors.create_token(admin, organization=acme, quota=quota).quota == quota


def test_organizations_admin_hears_of_no_other_organization(doors: Doors, admin: str, organizations: list[int]) -> None:
    other = f"organizations/{organizations[1]}"
    theirs = doors.create_token(organization=other)
    name = theirs.name
    assert doors.refused(doors.tokens.GetToken, token_pb.GetTokenRequest(name=name), admin).reason == "TOKEN_NOT_FOUND"
    revoke = token_pb.RevokeTokenRequest(name=name, request_id=new_id())
    assert doors.refused(doors.tokens.RevokeToken, revoke, admin).reason == "TOKEN_NOT_FOUND"
    create = token_request(organization=other, audience=["us"])
    assert doors.refused(doors.tokens.CreateToken, create, admin).reason == "ORGANIZATION_NOT_FOUND"
    listing = token_pb.ListTokensRequest(organization=other)
    assert doors.refused(doors.tokens.ListTokens, listing, admin).reason == "ORGANIZATION_NOT_FOUND"


@pytest.mark.parametrize("scopes", [("org:read",), ("org:admin",)])
def test_neither_a_reader_nor_an_unbound_admin_touches_tokens(doors: Doors, scopes: tuple[str, ...]) -> None:
    secret = doors.minted(scopes=scopes)[1]
    for method, request in (
        (doors.tokens.CreateToken, token_request()),
        (doors.tokens.ListTokens, token_pb.ListTokensRequest()),
        (doors.tokens.GetToken, token_pb.GetTokenRequest(name="tokens/17")),
        (doors.tokens.RevokeToken, token_pb.RevokeTokenRequest(name="tokens/17", request_id=new_id())),
    ):
        told = doors.refused(method, request, secret)
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
