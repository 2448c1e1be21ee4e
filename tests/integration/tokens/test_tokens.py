"""Tokens from minting to the checks of both silos: replication, revocation, the directory, the first token, the
doors.
"""

import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from control_silo.regions.domain import Region
from control_silo.regions.usecases import list_regions, register_regions
from control_silo.tokens import usecases
from control_silo.tokens.bootstrap import ensure_bootstrap_token
from control_silo.tokens.command import mint_token
from control_silo.tokens.domain import NewToken
from region_silo.tokens.usecases import authenticator as region_authenticator
from shared.database import Database
from shared.errors import (
    AudienceMismatch,
    InvalidArgument,
    NotFound,
    RegionNumberTaken,
    TokenExpired,
    TokenRevoked,
    Unauthenticated,
    WrongSilo,
)
from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import describe
from shared.tokens import SCOPES, Authenticator, Token, new_secret
from tests.clock import FakeClock
from tests.integration.callbacks.silos import REGIONS, Silos, execute, pending, rows

pytestmark = pytest.mark.integration


@pytest.fixture
def allocator(silos: Silos, clock: FakeClock) -> SnowflakeAllocator:
    return SnowflakeAllocator(silos.control, clock=clock, number=0)


@pytest.fixture
def mint(silos: Silos, allocator: SnowflakeAllocator) -> Callable[..., tuple[Token, str]]:
    def minted(**given: object) -> tuple[Token, str]:
        fields: dict[str, object] = {"name": "ci", "audience": ("*",), "scopes": ("org:read",), **given}
        return usecases.mint_token(silos.control, allocator, NewToken(**fields))  # type: ignore[arg-type]

    return minted


def in_region(silos: Silos, name: str) -> Authenticator:
    return region_authenticator(silos.regions[name], silos.clock, name)


def in_control(silos: Silos) -> Authenticator:
    return usecases.authenticator(silos.control, silos.clock)


def test_new_token_works_in_control_at_once_and_in_regions_after_the_outbox(
    silos: Silos, mint: Callable[..., tuple[Token, str]]
) -> None:
    token, secret = mint(scopes=("org:read", "ids:generate"), organization_id=42)

    assert describe(token.id).region == 0
    assert in_control(silos)(secret).principal == f"tokens/{token.id}"
    with pytest.raises(Unauthenticated):
        in_region(silos, "us")(secret)
    silos.drain()
    for name in silos.regions:
        caller = in_region(silos, name)(secret)
        assert caller.scopes == {"org:read", "ids:generate"}
        assert (caller.organization_id, caller.token_id) == (42, token.id)
    assert rows(silos.control, "SELECT * FROM token") == rows(silos.regions["us"], "SELECT * FROM token")


def test_secrets_stand_in_no_row(silos: Silos, mint: Callable[..., tuple[Token, str]]) -> None:
    _, secret = mint()
    silos.drain()
    for database in (silos.control, silos.regions["us"]):
        assert secret[8:] not in str(rows(database, "SELECT * FROM token"))


def test_token_goes_to_the_regions_of_its_audience_only(silos: Silos, mint: Callable[..., tuple[Token, str]]) -> None:
    _, secret = mint(audience=("us",))
    silos.drain()
    assert in_region(silos, "us")(secret)
    assert rows(silos.regions["de"], "SELECT * FROM token") == []
    with pytest.raises(AudienceMismatch):
        in_control(silos)(secret)


def test_replica_refuses_a_token_of_another_audience(silos: Silos, mint: Callable[..., tuple[Token, str]]) -> None:
    _, secret = mint(audience=("us",))
    silos.drain()
    with pytest.raises(AudienceMismatch):
        region_authenticator(silos.regions["us"], silos.clock, "de")(secret)


def test_revoked_token_ends_in_every_silo(
    silos: Silos, clock: FakeClock, mint: Callable[..., tuple[Token, str]]
) -> None:
    token, secret = mint()
    silos.drain()
    checks = [in_control(silos), in_region(silos, "us"), in_region(silos, "de")]
    for check in checks:
        check(secret)

    for _ in range(2):
        revoked = silos.control.transact(lambda transaction: usecases.revoke_token(transaction, token.id))
    silos.drain()
    clock.advance(1)

    assert revoked.version == 2
    for check in checks:
        with pytest.raises(TokenRevoked):
            check(secret)


def test_unknown_token_cannot_be_revoked(silos: Silos) -> None:
    with pytest.raises(NotFound):
        silos.control.transact(lambda transaction: usecases.revoke_token(transaction, 1))


def test_token_ends_at_its_time_in_every_silo(
    silos: Silos, clock: FakeClock, mint: Callable[..., tuple[Token, str]]
) -> None:
    _, secret = mint(expires_at=clock.now() + timedelta(minutes=1))
    silos.drain()
    checks = [in_control(silos), in_region(silos, "us")]
    for check in checks:
        check(secret)
    clock.advance(60)
    for check in checks:
        with pytest.raises(TokenExpired):
            check(secret)


def test_refused_token_leaves_nothing(silos: Silos, mint: Callable[..., tuple[Token, str]]) -> None:
    with pytest.raises(InvalidArgument):
        mint(scopes=("root",))
    with pytest.raises(InvalidArgument):
        mint(audience=("fr",))
    assert rows(silos.control, "SELECT * FROM token") == []
    assert pending(silos.control) == 0


def test_older_state_never_replaces_a_newer_one(silos: Silos, mint: Callable[..., tuple[Token, str]]) -> None:
    token, _ = mint()
    silos.drain("control")
    silos.control.transact(lambda transaction: usecases.revoke_token(transaction, token.id))
    silos.drain("control")
    newest = rows(silos.regions["us"], "SELECT * FROM token")
    for target, delivery in reversed(silos.transport.seen):
        silos.transport.receivers[target](delivery)
    assert rows(silos.regions["us"], "SELECT * FROM token") == newest


def test_new_region_gets_all_tokens_of_its_audience(
    silos: Silos, mint: Callable[..., tuple[Token, str]], clock: FakeClock
) -> None:
    execute(silos.control, "DELETE FROM region_directory WHERE name = 'de'")
    everywhere, _ = mint()
    mint(audience=("us",))
    silos.drain()
    assert rows(silos.regions["de"], "SELECT id FROM token") == []

    silos.register("de", "us")
    silos.drain()

    assert rows(silos.regions["de"], "SELECT id FROM token") == [(everywhere.id,)]
    silos.register("de", "us")
    assert pending(silos.control) == 0


def test_directory_refuses_a_number_that_another_region_has(silos: Silos) -> None:
    def register(*regions: Region) -> None:
        silos.control.transact(lambda transaction: register_regions(transaction, regions))

    for taken in (Region("fr", 1, "a:1", "b:1"), Region("us", 3, "a:1", "b:1")):
        with pytest.raises(RegionNumberTaken):
            register(taken)
    with pytest.raises(RegionNumberTaken):
        register(Region("fr", 3, "a:1", "b:1"), Region("at", 3, "a:1", "b:1"))
    assert silos.control.read(list_regions) == list(REGIONS)
    register(Region("us", 1, "elsewhere:1", "elsewhere:2"))
    assert silos.control.read(list_regions)[1].public_address == "elsewhere:2"


def secret_in(file: Path) -> str:
    return file.read_text().strip()


def test_first_token_is_made_once_for_all_silos_and_scopes(
    silos: Silos, allocator: SnowflakeAllocator, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    assert ensure_bootstrap_token(silos.control, allocator, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = secret_in(file)

    assert not ensure_bootstrap_token(silos.control, allocator, file)

    assert secret_in(file) == secret
    silos.drain()
    for check in (in_control(silos), in_region(silos, "us"), in_region(silos, "de")):
        assert check(secret).scopes == set(SCOPES)


@pytest.mark.parametrize(
    "left", [None, "", "siloway_half", new_secret()], ids=["no file", "nothing", "half", "another"]
)
def test_lost_first_token_is_replaced_and_revoked(
    silos: Silos, allocator: SnowflakeAllocator, tmp_path: Path, left: str | None
) -> None:
    file = tmp_path / "token"
    ensure_bootstrap_token(silos.control, allocator, file)
    lost = secret_in(file)
    if left is None:
        file.unlink()
    else:
        file.write_text(left)

    assert ensure_bootstrap_token(silos.control, allocator, file)

    assert in_control(silos)(secret_in(file))
    with pytest.raises(TokenRevoked):
        in_control(silos)(lost)
    assert rows(silos.control, "SELECT count(*) FROM token WHERE revoked_at IS NULL") == [(1,)]


def test_first_token_gets_the_scopes_that_a_new_version_brings(
    silos: Silos, allocator: SnowflakeAllocator, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    ensure_bootstrap_token(silos.control, allocator, file)
    execute(silos.control, "UPDATE token SET scopes = '{org:read}'")

    assert not ensure_bootstrap_token(silos.control, allocator, file)

    silos.drain()
    assert in_region(silos, "us")(secret_in(file)).scopes == set(SCOPES)


def test_two_migrations_at_once_make_one_first_token(
    silos: Silos, allocator: SnowflakeAllocator, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    together = threading.Barrier(2)
    made: list[bool] = []

    def migrate() -> None:
        together.wait(10)
        made.append(ensure_bootstrap_token(silos.control, allocator, file))

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(made) == [False, True]
    assert in_control(silos)(secret_in(file))


def test_mint_command_prints_a_secret_that_works(control_database_url: str, clock: FakeClock) -> None:
    secret = mint_token(
        control_database_url,
        name="ci",
        scopes=["project:releases"],
        organization="organizations/42",
        expires_in="1h",
        clock=clock,
    )
    with opened(control_database_url, clock) as database:
        authenticate = usecases.authenticator(database, clock)
        assert authenticate(secret).organization_id == 42
        clock.advance(3600)
        with pytest.raises(TokenExpired):
            authenticate(secret)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"organization": "acme"}, "organization"),
        ({"expires_in": "soon"}, "expires_in"),
        ({"expires_in": "999999d"}, ""),
        ({"scopes": ["root"]}, "scopes"),
        ({"audience": ["nowhere"]}, "audience"),
    ],
)
def test_mint_command_names_what_is_wrong(
    control_database_url: str, clock: FakeClock, wrong: dict[str, object], field: str
) -> None:
    given: dict[str, object] = {"name": "ci", "scopes": ["org:read"], **wrong}
    if not field:
        assert mint_token(control_database_url, clock=clock, **given)  # type: ignore[arg-type]
        return
    with pytest.raises(InvalidArgument) as caught:
        mint_token(control_database_url, clock=clock, **given)  # type: ignore[arg-type]
    assert [violation.field for violation in caught.value.violations] == [field]


def test_mint_command_refuses_a_regions_database(region_database_url: str, clock: FakeClock) -> None:
    with pytest.raises(WrongSilo):
        mint_token(region_database_url, name="ci", scopes=["org:read"], clock=clock)


@contextmanager
def opened(url: str, clock: FakeClock) -> Iterator[Database]:
    database = Database.open(url, clock=clock)
    try:
        yield database
    finally:
        database.close()
