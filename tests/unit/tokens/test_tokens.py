"""Secrets, their hashes, the rules of a check, and what the authenticator believes for how long."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from control_silo.tokens import domain
from control_silo.tokens.domain import NewToken
from shared.errors import AudienceMismatch, InvalidArgument, TokenExpired, TokenRevoked, Unauthenticated
from shared.tokens import SCOPES, Authenticator, Token, check, hash_secret, is_secret, new_secret
from tests.clock import FakeClock

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECRET = new_secret()
TOKEN = Token(7, hash_secret(SECRET), "ci", ("us",), ("org:read",), None, None, None, 1, NOW)


def test_secrets_have_one_form_and_never_repeat() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(is_secret(secret) and len(secret) == len("siloway_") + 43 for secret in made)


@pytest.mark.parametrize(
    "text",
    ["", "siloway_", SECRET[:-1], SECRET + "a", SECRET.upper(), SECRET + "\n", "x" * 51],
    ids=["nothing", "prefix", "short", "long", "upper case", "line feed", "no prefix"],
)
def test_other_texts_are_no_secrets(text: str) -> None:
    assert not is_secret(text)


def test_good_token_passes_in_its_audience() -> None:
    check(TOKEN, silo="us", now=NOW)
    check(replace(TOKEN, audience=("*",)), silo="anything", now=NOW)


def test_bad_tokens_tell_why() -> None:
    with pytest.raises(AudienceMismatch):
        check(TOKEN, silo="de", now=NOW)
    with pytest.raises(TokenExpired):
        check(replace(TOKEN, expires_at=NOW), silo="us", now=NOW)
    with pytest.raises(TokenRevoked):
        check(replace(TOKEN, revoked_at=NOW, expires_at=NOW), silo="us", now=NOW)


class Rows:
    def __init__(self, *tokens: Token) -> None:
        self.tokens = {token.secret_hash: token for token in tokens}
        self.asked = 0

    def __call__(self, secret_hash: bytes) -> Token | None:
        self.asked += 1
        return self.tokens.get(secret_hash)


def test_authenticator_tells_who_calls() -> None:
    token = replace(TOKEN, organization_id=42)
    caller = Authenticator(Rows(token), clock=FakeClock(NOW), silo="us")(SECRET)
    assert (caller.principal, caller.scopes, caller.organization_id, caller.token_id) == (
        "tokens/7",
        frozenset({"org:read"}),
        42,
        7,
    )


def test_found_tokens_are_believed_for_a_second_and_no_longer() -> None:
    rows, clock = Rows(TOKEN), FakeClock(NOW)
    authenticate = Authenticator(rows, clock=clock, silo="us")
    for _ in range(3):
        authenticate(SECRET)
    assert rows.asked == 1
    rows.tokens[TOKEN.secret_hash] = replace(TOKEN, revoked_at=NOW)
    clock.advance(1.0)
    with pytest.raises(TokenRevoked):
        authenticate(SECRET)


def test_expiry_is_looked_at_on_every_call() -> None:
    clock = FakeClock(NOW)
    authenticate = Authenticator(Rows(replace(TOKEN, expires_at=NOW + timedelta(seconds=0.5))), clock=clock, silo="us")
    authenticate(SECRET)
    clock.advance(0.5)
    with pytest.raises(TokenExpired):
        authenticate(SECRET)


def test_unknown_secrets_are_asked_for_each_time_and_malformed_ones_never() -> None:
    rows = Rows()
    authenticate = Authenticator(rows, clock=FakeClock(NOW), silo="us")
    for secret in (SECRET, SECRET, "siloway_short", ""):
        with pytest.raises(Unauthenticated):
            authenticate(secret)
    assert rows.asked == 2
    rows.tokens[TOKEN.secret_hash] = TOKEN
    assert authenticate(SECRET).token_id == 7


def test_memory_of_the_authenticator_is_bounded() -> None:
    secrets = [new_secret() for _ in range(10_050)]
    rows = Rows(*(replace(TOKEN, secret_hash=hash_secret(secret)) for secret in secrets))
    authenticate = Authenticator(rows, clock=FakeClock(NOW), silo="us")
    for secret in secrets:
        authenticate(secret)
    assert len(authenticate._found) == 10_000


def broken_fields(new: NewToken) -> set[str]:
    with pytest.raises(InvalidArgument) as caught:
        domain.check(new, regions=["us", "de"], now=NOW)
    return {violation.field for violation in caught.value.violations}


def test_rules_of_a_new_token_are_told_all_at_once() -> None:
    domain.check(NewToken("ci", ("us", "control"), SCOPES, 5, NOW + timedelta(days=1)), regions=["us"], now=NOW)
    assert broken_fields(NewToken("", ("fr",), ("root",), -1, NOW)) == {
        "name",
        "audience",
        "scopes",
        "organization",
        "expires_at",
    }
    assert broken_fields(NewToken("ci\n", (), ())) == {"name", "audience", "scopes"}
    assert broken_fields(NewToken("bootstrap", ("*",), SCOPES)) == {"name"}


def test_audience_names_the_regions_that_get_a_replica() -> None:
    assert domain.regions_of(("*",), ["us", "de"]) == ["de", "us"]
    assert domain.regions_of(("us", "control"), ["us", "de"]) == ["us"]
    assert domain.regions_of(("control",), ["us", "de"]) == []
