"""Minting a token on control's machine, straight into its database: whoever may read the settings may do so."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from control_silo.tokens.domain import NewToken
from control_silo.tokens.usecases import mint_token as mint
from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.errors import InvalidArgument
from shared.identity import check_identity
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import EVERYWHERE

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PERIOD = re.compile(r"([0-9]{1,12})([smhd])")
_ORGANIZATION = re.compile(r"(?:organizations/)?([0-9]{1,16})")


def mint_token(
    database_url: str,
    *,
    name: str,
    scopes: Sequence[str],
    audience: Sequence[str] = (EVERYWHERE,),
    organization: str | None = None,
    expires_in: str | None = None,
    clock: Clock | None = None,
) -> str:
    """Mint a token and return its secret.

    `audience`: silo names or "*"; `organization`: an id, or "organizations/<id>"; `expires_in`: a number with s, m, h
    or d. Raises InvalidArgument with every broken rule, WrongSilo when the database is not control's,
    StoreUnreachable.
    """
    used_clock = clock or SystemClock()
    new = NewToken(
        name=name,
        audience=tuple(audience),
        scopes=tuple(scopes),
        organization_id=_organization_id(organization),
        expires_at=_expiry(expires_in, used_clock.now()),
    )
    database = Database.open(database_url, clock=used_clock, pool_size=1, application_name="siloway control mint-token")
    allocator = SnowflakeAllocator.open(database_url, clock=used_clock, number=0)
    try:
        check_identity(database, "control", 0)
        return mint(database, allocator, new)[1]
    finally:
        allocator.close()
        database.close()


def _organization_id(given: str | None) -> int | None:
    if given is None:
        return None
    found = _ORGANIZATION.fullmatch(given)
    if found is None:
        raise InvalidArgument.of("organization", "must be an organization's id")
    return int(found[1])


def _expiry(given: str | None, now: datetime) -> datetime | None:
    if given is None:
        return None
    found = _PERIOD.fullmatch(given)
    if found is None:
        raise InvalidArgument.of("expires_in", "must be a number with s, m, h or d, for example 30d")
    try:
        return now + timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
    except OverflowError as error:
        raise InvalidArgument.of("expires_in", "is too long") from error
