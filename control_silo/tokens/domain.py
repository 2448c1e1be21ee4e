"""What a new token may be: the rules of its name, scopes, audience and end, told all at once."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from shared.errors import InvalidArgument, Violation
from shared.tokens import EVERYWHERE, SCOPES

CONTROL = "control"
BOOTSTRAP_NAME = "bootstrap"
"""The name of the one token that migration makes; nobody else can have it."""

_NAME_LENGTH_MAX = 200
_ID_MAX = 2**53 - 1


@dataclass(frozen=True)
class NewToken:
    """What is asked for. `audience` holds silo names or "*"; no organization means that it may touch any."""

    name: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    organization_id: int | None = None
    expires_at: datetime | None = None


def check(new: NewToken, *, regions: Collection[str], now: datetime) -> None:
    """Raise InvalidArgument with every broken rule; `regions` are those of the directory."""
    violations = [*_of_name(new.name), *_of_scopes(new.scopes), *_of_audience(new.audience, regions)]
    if new.organization_id is not None and not 0 < new.organization_id <= _ID_MAX:
        violations.append(Violation("organization", "must be an organization's id"))
    if new.expires_at is not None and new.expires_at <= now:
        violations.append(Violation("expires_at", "must be in the future"))
    if violations:
        text = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
        raise InvalidArgument(text, violations=violations)


def regions_of(audience: Collection[str], regions: Collection[str]) -> list[str]:
    """The regions of the directory that the audience names, sorted: these get a replica."""
    return sorted(region for region in regions if EVERYWHERE in audience or region in audience)


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
