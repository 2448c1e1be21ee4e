"""Users by control's use cases and members by the regions', on the silos of one process."""

from functools import partial

from siloway.region.v1 import region_organization_service_pb2 as organization_pb

from control_silo.memberships.domain import UserOrganization
from control_silo.users.domain import NewUser, User
from control_silo.users.usecases import UserUseCases
from region_silo.members.domain import Member, MemberDraft, Role
from region_silo.members.teams import TeamLookup
from region_silo.members.usecases import MemberUseCases
from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from shared.model_cache_gate import CacheGate
from shared.names import MemberName
from shared.requests.domain import Mutation
from shared.rpc.call import Caller, acting, mutation
from shared.snowflake.allocator import SnowflakeAllocator
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.provisioning.asking import id_of, made, new_id

OPERATOR = Caller("tokens/1", frozenset({"silo:operate", "org:admin", "org:read"}), token_id=1)


class Crowd:
    """Short ways to what people are and become."""

    def __init__(self, silos: Silos) -> None:
        self.silos = silos
        self.ids = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
        self.users = UserUseCases(silos.control, self.ids)
        self.members = {name: self._members(name) for name in silos.regions}

    def close(self) -> None:
        self.ids.close()

    def user(self, username: str, email: str = "") -> int:
        with acting(OPERATOR, method="/test"):
            made: User = self.users.create_user(NewUser(username, "", email), _identify())
        return made.id

    def suspend(self, user_id: int, *, suspended: bool = True) -> None:
        with acting(OPERATOR, method="/test"):
            self.users.set_suspended(user_id, _identify(), suspended=suspended)

    def organization(self, region: str = "us", slug: str = "acme", **fields: object) -> int:
        """A provisioned organization, everything delivered."""
        return id_of(made(self.silos, region=region, slug=slug, name=slug, **fields))

    def add(
        self,
        organization: int,
        user_id: int | None = None,
        *,
        email: str = "",
        role: Role = Role.MEMBER,
        at: str = "us",
    ) -> Member:
        with acting(OPERATOR, method="/test"):
            return self.members[at].add_member(organization, MemberDraft(role, user_id, email), _identify())

    def get(self, member: Member, at: str = "us") -> Member:
        with acting(OPERATOR, method="/test"):
            return self.members[at].get_member(MemberName(member.organization_id, member.id))

    def remove(self, member: Member, at: str = "us") -> None:
        with acting(OPERATOR, method="/test"):
            self.members[at].remove_member(MemberName(member.organization_id, member.id), _identify())

    def set_role(self, member: Member, role: Role, at: str = "us") -> None:
        with acting(OPERATOR, method="/test"):
            name = MemberName(member.organization_id, member.id)
            self.members[at].change_role(name, role, [], _identify())

    def listed(self, organization: int, at: str = "us") -> list[Member]:
        with acting(OPERATOR, method="/test"):
            return self.members[at].list_members(organization, "", 0, "")[0]

    def where(self, user_id: int, caller: Caller = OPERATOR) -> list[UserOrganization]:
        with acting(caller, method="/test"):
            return self.users.list_organizations(user_id, page_size=0, token="")[0]

    def mirror(self) -> set[tuple[object, ...]]:
        """Control's mirror: (organization, member, user, email, role)."""
        return set(
            rows(
                self.silos.control,
                "SELECT organization_id, member_id, user_id, email, role FROM organization_membership",
            )
        )

    def truth(self) -> set[tuple[object, ...]]:
        """What the regions hold, in the mirror's words."""
        statement = """
            SELECT organization_id, id, user_id, CASE WHEN user_id IS NULL THEN email END, role FROM organization_member
        """
        return {row for database in self.silos.regions.values() for row in rows(database, statement)}

    def _members(self, name: str) -> MemberUseCases:
        database = self.silos.regions[name]
        gate = CacheGate(database, clock=self.silos.clock)
        lookup = OrganizationLookup(organization_cache(database, None, gate, name), database)
        return MemberUseCases(database, lookup, TeamLookup(database))


def _identify() -> partial[Mutation]:
    return partial(mutation, organization_pb.RemoveMemberRequest(request_id=new_id()))
