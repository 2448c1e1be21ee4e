"""What travels between the silos' outboxes: the categories by their stable names, and the shape of each payload.

Rows hold a payload as JSON values; `encode` and `decode` are the only way between those and the types here, so that
sender, wire and receiver cannot differ.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from shared.outbox.domain import Category, Direction, Mode
from shared.tokens import Token

TOKEN = Category("token", Mode.LATEST, Direction.TO_REGION)
"""Control to region: a token's row."""

APPLY_SLUGS = Category("apply_slugs", Mode.EVERY, Direction.TO_REGION)
"""Control to region: slugs that organizations of the region get."""

SLUGS_APPLIED = Category("slugs_applied", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: what became of APPLY_SLUGS."""

ORGANIZATION = Category("organization", Mode.LATEST, Direction.TO_CONTROL)
"""Region to control: an organization's name and life."""

PAIRS_MAX = 500
"""The most pairs in one ApplySlugs."""

MISSING = "MISSING"
"""A refusal of a pair: the region has no such organization."""

CLASH = "CLASH"
"""A refusal of a pair: another organization of the region has that slug, or a newer slug was applied already."""


class SlugPair(msgspec.Struct, frozen=True, array_like=True):
    """The slug that an organization gets. The region ignores a fence version that is not above what it has applied.

    Stands in rows as an array, for messages hold hundreds.
    """

    organization_id: int
    slug: str
    fence_version: int


@dataclass(frozen=True)
class ApplySlugs:
    """The part of one change set that concerns one region."""

    change_set: str
    pairs: tuple[SlugPair, ...]


class SlugResult(msgspec.Struct, frozen=True, array_like=True):
    """What became of one pair; `refusal` is MISSING, CLASH, or empty when the slug is applied."""

    organization_id: int
    slug: str
    fence_version: int
    refusal: str = ""


@dataclass(frozen=True)
class SlugsApplied:
    """A region's answer to ApplySlugs, a result for each pair."""

    change_set: str
    results: tuple[SlugResult, ...]


@dataclass(frozen=True)
class OrganizationState:
    """What control keeps of an organization; `slug` is empty before the first, `state` "importing" or "active"."""

    name: str
    slug: str
    state: str


@dataclass(frozen=True)
class TokenState:
    """A token without its id and version, which are the message's subject and version."""

    secret_hash: bytes
    name: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    organization_id: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, token: Token) -> "TokenState":
        return cls(
            token.secret_hash,
            token.name,
            token.audience,
            token.scopes,
            token.organization_id,
            token.expires_at,
            token.revoked_at,
            token.created_at,
        )

    def token(self, token_id: int, version: int) -> Token:
        """The row that the receiver keeps."""
        return Token(
            token_id,
            self.secret_hash,
            self.name,
            self.audience,
            self.scopes,
            self.organization_id,
            self.expires_at,
            self.revoked_at,
            version,
            self.created_at,
        )


Payload = ApplySlugs | SlugsApplied | OrganizationState | TokenState
_Shape = TypeVar("_Shape", ApplySlugs, SlugsApplied, OrganizationState, TokenState)


def encode(payload: Payload) -> dict[str, object]:
    """The payload as JSON values."""
    return cast("dict[str, object]", msgspec.to_builtins(payload))


def decode(payload: dict[str, object], shape: type[_Shape]) -> _Shape:
    """The payload in its shape. Raises msgspec.ValidationError for another one, which only another version can have
    sent.
    """
    return msgspec.convert(payload, shape)
