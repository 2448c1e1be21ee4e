"""What a new token may be: the rules of its name, scopes, audience and end, told all at once; and who may give what.

A token that is bound to an organization never gives more than it has: no other organization, no scope, silo or quota
beyond its own, and no user to act for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.errors import GrantExceeded, Violation, refuse
from shared.tokens import EVERYWHERE, SCOPES, Token

CONTROL = "control"
BOOTSTRAP_NAME = "bootstrap"
"""The name of the one token that migration makes; nobody else can have it."""

_NAME_LENGTH_MAX = 200
_ID_MAX = 2**53 - 1


@dataclass(frozen=True)
class NewToken:
    """What is asked for. `audience` holds silo names or "*"; no organization means that it may touch any, no user that
    it acts for itself. Quotas are per minute and silo, 0 is none.
    """

    name: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    organization_id: int | None = None
    expires_at: datetime | None = None
    user_id: int | None = None
    calls_per_minute: int = 0
    ids_per_minute: int = 0


@dataclass(frozen=True)
class TokenKey:
    """What a request record keeps of a token: never its secret."""

    token_id: int


def check(new: NewToken, *, regions: Collection[str], now: datetime, fields: Mapping[str, str] | None = None) -> None:
    """Raise InvalidArgument with every broken rule; `regions` are those of the directory, `fields` the names that the
    caller knows the fields by.
    """
    violations = [*_of_name(new.name), *_of_scopes(new.scopes), *_of_audience(new.audience, regions)]
    if new.organization_id is not None and not 0 < new.organization_id <= _ID_MAX:
        violations.append(Violation("organization", "must be an organization's id"))
    if new.expires_at is not None and new.expires_at <= now:
        violations.append(Violation("expires_at", "must be in the future"))
    violations = [
        Violation((fields or {}).get(violation.field, violation.field), violation.description)
        for violation in violations
    ]
    refuse(violations)


def check_grant(own: Token, new: NewToken) -> None:
    """Raise GrantExceeded with everything that `own`, which is bound to an organization, cannot give."""
    beyond = {
        "organization": new.organization_id != own.organization_id,
        "user": new.user_id is not None,
        "scopes": not set(new.scopes) <= set(own.scopes),
        "audience": EVERYWHERE not in own.audience and not set(new.audience) <= set(own.audience),
        "quota": _is_above(new.calls_per_minute, own.calls_per_minute)
        or _is_above(new.ids_per_minute, own.ids_per_minute),
    }
    exceeded = [field for field, is_beyond in beyond.items() if is_beyond]
    if exceeded:
        named = ", ".join(exceeded)
        raise GrantExceeded(
            f"A token of one organization may not give what it does not have itself: {named}.",
            metadata={"fields": named},
        )


def regions_of(audience: Collection[str], regions: Collection[str]) -> list[str]:
    """The regions of the directory that the audience names, sorted: these get a replica."""
    return sorted(region for region in regions if EVERYWHERE in audience or region in audience)


def _is_above(quota: int, own: int) -> bool:
    """0 is no limit, the most of all."""
    return own > 0 and (quota == 0 or quota > own)


def _of_name(name: str) -> list[Violation]:
    if not name.strip() or len(name) > _NAME_LENGTH_MAX or not name.isprintable():
        return [Violation("name", f"must be 1 to {_NAME_LENGTH_MAX} printable characters")]
    if name == BOOTSTRAP_NAME:
        return [Violation("name", f"{BOOTSTRAP_NAME} is the name of the token that migration makes")]
    return []


def _of_scopes(scopes: tuple[str, ...]) -> list[Violation]:
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        return [Violation("scopes", f"unknown scope {', '.join(unknown)}; there are {', '.join(SCOPES)}")]
    return [] if scopes else [Violation("scopes", "must name at least one scope")]


def _of_audience(audience: tuple[str, ...], regions: Collection[str]) -> list[Violation]:
    silos = {EVERYWHERE, CONTROL, *regions}
    unknown = [silo for silo in audience if silo not in silos]
    if unknown:
        known = ", ".join(sorted(silos))
        return [Violation("audience", f"unknown silo {', '.join(unknown)}; there are {known}")]
    return [] if audience else [Violation("audience", "must name at least one silo, or *")]
