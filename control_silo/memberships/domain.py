"""What control keeps of a member, and the names under which regions speak of one."""

from dataclasses import dataclass

from shared.errors import InvalidArgument

_ID_MAX = 2**63 - 1


@dataclass(frozen=True, order=True)
class MembershipKey:
    """A member: ids of members are a region's own, so the organization belongs to the key."""

    organization_id: int
    member_id: int


@dataclass(frozen=True)
class Membership:
    """A mirrored row. Without a `user_id` it is an invited `email`, or nobody who could be found."""

    key: MembershipKey
    user_id: int | None
    email: str
    role: str
    version: int


@dataclass(frozen=True)
class UserOrganization:
    """One organization of a user, with what the mapping tells of it."""

    key: MembershipKey
    role: str
    slug: str
    region: str
    region_address: str


def parse_subject(subject: str) -> MembershipKey:
    """The key in "<organization id>/<member id>". Raises InvalidArgument, which only another version can cause."""
    organization, _, member = subject.partition("/")
    for part in (organization, member):
        if not (part.isascii() and part.isdigit() and len(part) <= 19 and 0 < int(part) <= _ID_MAX):
            raise InvalidArgument.of("shards.messages.subject", "must read <organization id>/<member id>")
    return MembershipKey(int(organization), int(member))
