"""A change that silos carry out together, under the request id of who asked for it.

It is RUNNING from its first transaction on, and closed once, by what the regions answer; one whose message was parked
is FAILED at once, holds what it held, and may still be ended. The text `change_set` stands for it in reservations and
messages.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from shared.delivery import CreateOrganization
from shared.requests.domain import RequestKey, RequestState, StoredError

CHANNEL = "organization_changes"
"""Woken when a change was closed."""

ADOPTED = b""
"""The fingerprint of a change that a region has told of after control was restored: what was asked is not known."""

_PREFIX = "requests/"


class ChangeKind(IntEnum):
    """What was asked for, by the numbers in the rows."""

    PROVISION = 1
    RENAME = 2
    SWAP = 3


@dataclass(frozen=True)
class Move:
    """One organization's part of a swap. `answer` is None until its region has answered, then empty or the refusal."""

    organization_id: int
    region: str
    former: str
    slug: str
    fence_version: int
    answer: str | None = None


@dataclass(frozen=True)
class Plan:
    """What the change needs to know later: a provision the name, a rename for how long the former slug resolves.

    `asked` is a running provision's message, so that it can be sent again; it is forgotten at the end. A swap that a
    region refuses is taken back; `refusal` and what follows say what was refused first. `parked`: the change FAILED
    because a message was given up, but its slugs are held until a replay or a cancel has ended it.
    """

    name: str = ""
    redirect_ttl_s: int = 0
    asked: CreateOrganization | None = None
    moves: tuple[Move, ...] = ()
    refusal: str = ""
    refused_id: int = 0
    refused_slug: str = ""
    refused_region: str = ""
    parked: bool = False

    @property
    def reverting(self) -> bool:
        """Whether a swap goes back."""
        return bool(self.refusal)


@dataclass(frozen=True)
class Change:
    """One change. `organization_id` and `slug` are those of a provision or rename; `region` is whom it waits for."""

    key: RequestKey
    kind: ChangeKind
    state: RequestState
    fingerprint: bytes
    created_at: datetime
    updated_at: datetime
    region: str = ""
    organization_id: int | None = None
    slug: str = ""
    plan: Plan = field(default_factory=Plan)
    error: StoredError | None = None

    @property
    def change_set(self) -> str:
        return f"{_PREFIX}{self.key.principal}/{self.key.request_id}"

    @property
    def is_running(self) -> bool:
        return self.state is RequestState.RUNNING

    @property
    def is_open(self) -> bool:
        """Whether a region's answer can still end it."""
        return self.is_running or self.plan.parked

    def with_slug(self, slug: str) -> "Change":
        """The change once its slug was chosen."""
        return replace(self, slug=slug)

    def closed(
        self,
        *,
        at: datetime,
        error: StoredError | None = None,
        organization_id: int | None = None,
        slug: str | None = None,
    ) -> "Change":
        """The change at its end: FAILED with an error, SUCCEEDED without."""
        return replace(
            self,
            state=RequestState.SUCCEEDED if error is None else RequestState.FAILED,
            error=error,
            organization_id=self.organization_id if organization_id is None else organization_id,
            slug=self.slug if slug is None else slug,
            plan=replace(self.plan, asked=None, parked=False),
            updated_at=at,
        )

    def given_up(self, *, at: datetime, error: StoredError) -> "Change":
        """The change once a message of it was parked: FAILED, and still open."""
        plan = replace(self.plan, parked=True)
        return replace(self, state=RequestState.FAILED, error=error, plan=plan, updated_at=at)


def key_of(change_set: str) -> RequestKey | None:
    """The key that a change set stands for; None for another kind of change set, like an import's."""
    principal, separator, request_id = change_set.removeprefix(_PREFIX).rpartition("/")
    if not change_set.startswith(_PREFIX) or not separator:
        return None
    return RequestKey(principal, request_id)
