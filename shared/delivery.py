"""What travels between the silos' outboxes: the categories by their stable names, and the shape of each payload.

Rows hold a payload as JSON values; `encode` and `decode` are the only way between those and the types here, so that
sender, wire and receiver cannot differ.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

import msgspec

from shared.deletion import DeletionStage
from shared.outbox.domain import Category, Direction, Mode
from shared.tokens import Token

TOKEN = Category("token", Mode.LATEST, Direction.TO_REGION)
"""Control to region: a token's row."""

CONFIRMATION = Category("confirmation", Mode.LATEST, Direction.TO_REGION)
"""Control to region: up to when the region has been told every change of a token."""

APPLY_SLUGS = Category("apply_slugs", Mode.EVERY, Direction.TO_REGION)
"""Control to region: slugs that organizations of the region get."""

SLUGS_APPLIED = Category("slugs_applied", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: what became of APPLY_SLUGS."""

ORGANIZATION = Category("organization", Mode.LATEST, Direction.TO_CONTROL)
"""Region to control: an organization's name and life."""

ORGANIZATION_DELETION = Category("organization_deletion", Mode.LATEST, Direction.TO_REGION)
"""Control to region: whether an organization is to be deleted, and when."""

REGION = Category("region", Mode.LATEST, Direction.TO_REGION)
"""Control to region: a region of the directory, the receiver itself among them."""

CREATE_ORGANIZATION = Category("create_organization", Mode.EVERY, Direction.TO_REGION)
"""Control to region: an organization that the region is to make."""

ORGANIZATION_CREATED = Category("organization_created", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: what became of CREATE_ORGANIZATION."""

MEMBERSHIP = Category("membership", Mode.LATEST, Direction.TO_CONTROL)
"""Region to control: a member of an organization; the subject is "<organization id>/<member id>"."""

USER = Category("user", Mode.LATEST, Direction.TO_REGION)
"""Control to region: a user of the region's organizations; deleted means that control knows no such user."""

CANCEL = Category("cancel", Mode.EVERY, Direction.TO_REGION)
"""Control to region: APPLY_SLUGS or CREATE_ORGANIZATION was skipped; never apply it. Answered as they are."""

CHANGE_STALLED = Category("change_stalled", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: an answer was parked, so a change cannot end."""

DEPLOY_ANNOUNCED = Category("deploy_announced", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: a deploy that integrations are to hear of, each once."""

STATUS_SYNC = Category("status_sync", Mode.EVERY, Direction.TO_CONTROL)
"""Region to control: issues of trackers outside whose issues here were resolved, or opened again."""

STATUS_SYNCS_MAX = 200
"""The most entries in one StatusSyncs."""

PAIRS_MAX = 500
"""The most pairs in one ApplySlugs."""

ANNOUNCED_PROJECTS_MAX = 1000
"""The most projects that a DeployAnnounced names."""

MISSING = "MISSING"
"""A refusal of a pair: the region has no such organization."""

CLASH = "CLASH"
"""A refusal: another organization of the region has that slug, or a newer slug was applied already."""

CANCELLED = "CANCELLED"
"""A refusal: it was cancelled before it was applied, and never will be."""


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
    """What became of one pair; `refusal` is MISSING, CLASH, CANCELLED, or empty when the slug is applied."""

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
class OrganizationDeletion:
    """How far the deletion of an organization has come; `purge_at` is None for one that is kept."""

    stage: DeletionStage
    purge_at: datetime | None


@dataclass(frozen=True)
class RegionEntry:
    """What a region needs to know of a region; the address is "host:port", for clients."""

    number: int
    public_address: str


@dataclass(frozen=True)
class CreateOrganization:
    """A new organization as it was asked for; `owner_user_id` 0 means that `owner_email` is invited.

    The ids are the region's own: it fills them in when the message has arrived, before its transaction.
    """

    change_set: str
    slug: str
    fence_version: int
    name: str
    owner_user_id: int
    owner_email: str
    create_default_team: bool
    is_test: bool
    organization_id: int = 0
    team_id: int = 0


@dataclass(frozen=True)
class OrganizationCreated:
    """A region's answer to CreateOrganization; `refusal` is CLASH, CANCELLED, or empty with the organization's id and
    version.
    """

    change_set: str
    organization_id: int
    version: int
    refusal: str = ""


@dataclass(frozen=True)
class Cancel:
    """What is not to be applied any more: the pairs of an ApplySlugs, or without pairs a CreateOrganization."""

    change_set: str
    pairs: tuple[SlugPair, ...] = ()


@dataclass(frozen=True)
class ChangeStalled:
    """The answer that is parked in the region's outbox, and control's last refusal of it."""

    change_set: str
    shard: str
    sequence: int
    reason: str
    error: str


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
    user_id: int | None = None
    user_suspended: bool = False
    calls_per_minute: int = 0
    ids_per_minute: int = 0

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
            token.user_id,
            token.user_suspended,
            token.calls_per_minute,
            token.ids_per_minute,
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
            self.user_id,
            self.user_suspended,
            self.calls_per_minute,
            self.ids_per_minute,
        )


@dataclass(frozen=True)
class Confirmation:
    """Every change of a token up to `confirmed_at`, by control's clock, was delivered before."""

    confirmed_at: datetime


@dataclass(frozen=True)
class MembershipState:
    """A member as control mirrors it: a user, or (0) the address that is invited; neither for one who asks."""

    user_id: int
    email: str
    role: str


@dataclass(frozen=True)
class UserState:
    """A user as a region needs it; `addresses`, in lower case, are those whose invitations are this user's."""

    is_active: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class DeployAnnounced:
    """A deploy that has finished, and whose release's commits are known; `project_ids` are the first
    ANNOUNCED_PROJECTS_MAX by id.
    """

    organization_id: int
    deploy_id: int
    version: str
    environment: str
    name: str
    url: str
    started_at: datetime | None
    finished_at: datetime
    announced_at: datetime
    project_ids: tuple[int, ...]
    project_count: int


@dataclass(frozen=True)
class StatusSync:
    """What an integration is to tell its tracker about one of its issues; `resolved_version` is the release, if any.

    `sync_id` is the region's own mark, never given twice: control keeps each once.
    """

    organization_id: int
    issue_id: int
    tracker_integration: str
    tracker_key: str
    resolved: bool
    resolved_version: str = ""
    sync_id: str = ""


@dataclass(frozen=True)
class StatusSyncs:
    """Entries for one organization, in the order in which they happened."""

    syncs: tuple[StatusSync, ...]


Payload = (
    ApplySlugs
    | SlugsApplied
    | OrganizationState
    | TokenState
    | Confirmation
    | RegionEntry
    | CreateOrganization
    | OrganizationCreated
    | MembershipState
    | UserState
    | Cancel
    | ChangeStalled
    | OrganizationDeletion
    | DeployAnnounced
    | StatusSyncs
)
_Shape = TypeVar(
    "_Shape",
    ApplySlugs,
    SlugsApplied,
    OrganizationState,
    TokenState,
    Confirmation,
    RegionEntry,
    CreateOrganization,
    OrganizationCreated,
    MembershipState,
    UserState,
    Cancel,
    ChangeStalled,
    OrganizationDeletion,
    DeployAnnounced,
    StatusSyncs,
)


def encode(payload: Payload) -> dict[str, object]:
    """The payload as JSON values."""
    return cast("dict[str, object]", msgspec.to_builtins(payload))


def decode(payload: dict[str, object], shape: type[_Shape]) -> _Shape:
    """The payload in its shape. Raises msgspec.ValidationError for another one, which only another version can have
    sent.
    """
    return msgspec.convert(payload, shape)
