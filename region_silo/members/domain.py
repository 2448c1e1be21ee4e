"""What members and teams are, who may change them, and the rule that an organization never loses its last owner.

A caller that acts as a user changes members and teams as an owner or manager only, and owners as an owner only; a token
without a user has the authority that its scopes give.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from shared.errors import InvalidArgument, LastOwner, PermissionDenied, Resource, Violation, refuse
from shared.names import member_name
from shared.slugs import PROJECT_RESERVED, is_numeric, is_reserved
from shared.update_mask import chosen_paths

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


class Role(Enum):
    """What a member may do in the organization; the words stand in the rows."""

    OWNER = "owner"
    MANAGER = "manager"
    ADMIN = "admin"
    MEMBER = "member"

    @classmethod
    def of(cls, word: str) -> "Role | None":
        """The role of a row; None for a word of another system."""
        return cls(word) if word in _ROLE_WORDS else None


class MemberState(Enum):
    """Whether somebody stands behind a row: a user who may act, an invited address, a user of whom control has not told
    yet, or one who may not act.
    """

    ACTIVE = "active"
    INVITED = "invited"
    UNCONFIRMED = "unconfirmed"
    INACTIVE = "inactive"


_ROLE_WORDS = frozenset(role.value for role in Role)
ADMINISTERING = (Role.OWNER, Role.MANAGER)
"""Who of an organization changes its members and teams, and sees all its projects."""


@dataclass(frozen=True)
class Member:
    """A member as it is shown. Without a `user_id` it is an invited address; a role of another system is None."""

    id: int
    organization_id: int
    user_id: int | None
    email: str
    role: Role | None
    date_added: datetime
    state: MemberState = MemberState.ACTIVE


@dataclass(frozen=True)
class MemberDraft:
    """A member as a client wishes it: a user, or an address to invite."""

    role: Role | None
    user_id: int | None = None
    email: str = ""


@dataclass(frozen=True)
class HeldMember:
    """A row that nobody else changes meanwhile; `stands` is True when an active user stands behind it,
    of whom control has told.
    """

    id: int
    role: Role | None
    stands: bool


@dataclass(frozen=True)
class Authority:
    """What the caller may do to members and teams; `role` is the acting user's, None for a token without a user."""

    role: Role | None
    acts_as_user: bool

    def check_administers(self) -> None:
        """Raise PermissionDenied for a user who is neither owner nor manager."""
        if self.acts_as_user and self.role not in ADMINISTERING:
            raise _role_missing(*ADMINISTERING)

    def check_touches(self, *roles: Role | None) -> None:
        """Raise PermissionDenied when one of the roles, before or after a change, is above the caller's."""
        if self.acts_as_user and self.role is not Role.OWNER and Role.OWNER in roles:
            raise _role_missing(Role.OWNER)


@dataclass(frozen=True)
class Removed:
    """What was removed, by its name."""

    name: str


@dataclass(frozen=True)
class Team:
    """A team as it is shown; lists leave `project_ids` empty."""

    id: int
    organization_id: int
    slug: str
    name: str
    date_added: datetime
    member_count: int = 0
    project_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TeamDraft:
    """A team as a client wishes it; an empty slug is made from the name."""

    name: str
    slug: str = ""


def check_member_draft(draft: MemberDraft) -> None:
    """Raise InvalidArgument with one violation for each broken rule."""
    violations = []
    if (draft.user_id is None) == (not draft.email):
        violations.append(Violation("member.user", "give either a user or an email"))
    if draft.email and not _EMAIL.fullmatch(draft.email):
        violations.append(Violation("member.email", "must be an address like name@example.com"))
    if draft.role is None:
        violations.append(Violation("member.role", "is required"))
    refuse(violations)


def check_role_update(role: Role | None, mask: Sequence[str]) -> Role:
    """The role to set. Raises InvalidUpdateMask for a path other than `role`, InvalidArgument without a role."""
    chosen_paths({"role": role}, mask)
    if role is None:
        raise InvalidArgument.of("member.role", "is required")
    return role


def check_team_draft(draft: TeamDraft) -> None:
    """Raise InvalidArgument with one violation for each broken rule; slugs obey the rules of projects."""
    violations = []
    if not draft.name.strip():
        violations.append(Violation("team.display_name", "must not be blank"))
    if is_reserved(draft.slug, PROJECT_RESERVED):
        violations.append(Violation("team.slug", f"{draft.slug!r} is reserved"))
    if is_numeric(draft.slug):
        violations.append(Violation("team.slug", "must not consist of digits only"))
    refuse(violations)


def check_owner_remains(organization_id: int, held: Sequence[HeldMember], leaving: HeldMember) -> None:
    """Raise LastOwner when `leaving` is an owner and none is left that can stand in; `held` has all owners.

    An invited owner stands in only for another invited one.
    """
    if leaving.role is not Role.OWNER:
        return
    others = [row for row in held if row.role is Role.OWNER and row.id != leaving.id]
    if not any(row.stands or not leaving.stands for row in others):
        name = member_name(organization_id, leaving.id)
        raise LastOwner(resource=Resource("siloway/Member", name))


def _role_missing(*roles: Role) -> PermissionDenied:
    words = " or ".join(role.value for role in roles)
    message = f"Only an {words} of the organization may do this."
    return PermissionDenied(message, metadata={"role": ",".join(role.value for role in roles)})
