"""What control lets an import do that a token has begun."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from control_silo.tokens.domain import NewToken
from control_silo.tokens.usecases import mint, revoke_token, scopes_of
from shared.clock import Clock
from shared.database import Database
from tests.clock import FakeClock

TOKEN_ID = 41


@pytest.fixture
def control(control_database_url: str, clock: FakeClock) -> Iterator[Database]:
    database = Database.open(control_database_url, clock=clock)
    yield database
    database.close()


def test_an_import_begun_in_time_is_finished_after_the_token_has_ended(control: Database, clock: FakeClock) -> None:
    begun_at = clock.now()
    new = NewToken("ci", ("*",), ("import:write",), None, clock.now() + timedelta(seconds=6))
    control.transact(lambda transaction: mint(transaction, TOKEN_ID, new))
    clock.advance(60)
    principal = f"tokens/{TOKEN_ID}"
    assert control.read(lambda transaction: scopes_of(transaction, principal, begun_at)) == {"import:write"}
    assert not control.read(lambda transaction: scopes_of(transaction, principal, clock.now()))


def test_a_revoked_or_unknown_token_lets_nothing_more_be_written(control: Database, clock: Clock) -> None:
    new = NewToken("ci", ("*",), ("import:write",), None, None)
    control.transact(lambda transaction: mint(transaction, TOKEN_ID, new))
    control.transact(lambda transaction: revoke_token(transaction, TOKEN_ID))
    for principal in (f"tokens/{TOKEN_ID}", "tokens/999", "silos/us", "tokens/x"):
        assert not control.read(lambda transaction, p=principal: scopes_of(transaction, p, clock.now()))  # type: ignore[misc]
