"""Teams of an organization: who is in them, and which projects they work on.

Each mutation is one transaction; locks are taken in the order request record, organization, project, team, member,
links by id. A team's name is resolved once, before the transaction; deleting takes an id only. Each change stands in
the audit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random, SystemRandom

from sqlalchemy.exc import IntegrityError

from region_silo.members import store as member_store
from region_silo.members import team_store as store
from region_silo.members.authority import hold_administered
from region_silo.members.domain import Removed, Team, TeamDraft, check_team_draft
from region_silo.organizations.lookup import OrganizationLookup
from region_silo.projects import store as project_store
from region_silo.projects.lookup import ProjectLookup
from shared import audit, errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.names import Key, MemberName, ProjectName, TeamName, member_name, project_name, team_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.slugs import PROJECT_LENGTH_MAX, PROJECT_RESERVED, candidates
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


class TeamLookup:
    """Finds teams of an organization; every member may know all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, organization_id: int, key: Key) -> int:
        """The id that a slug stands for; an id stands for itself, be it there or not. Raises TeamNotFound."""
        if isinstance(key, int):
            return key
        found = self._database.read(lambda transaction: store.id_by_slug(transaction, organization_id, key))
        if found is None:
            raise _not_found(organization_id, key)
        return found


class TeamUseCases:
    """Teams of the organizations that the caller may see."""

    def __init__(
        self,
        database: Database,
        ids: SnowflakeAllocator,
        organizations: OrganizationLookup,
        projects: ProjectLookup,
        teams: TeamLookup,
        *,
        random: Random | None = None,
    ) -> None:
        self._database = database
        self._ids = ids
        self._organizations = organizations
        self._projects = projects
        self._teams = teams
        self._random = random or SystemRandom()

    def create_team(self, parent: Key, draft: TeamDraft, identify: Identify) -> Team:
        """The new team, without members.

        Raises OrganizationNotFound, OrganizationImporting, PermissionDenied, InvalidArgument, TeamExists (a given slug
        is taken), what SnowflakeAllocator.take raises, RequestIdReused.
        """
        check_team_draft(draft)
        organization_id = self._organizations.find(parent).id
        mutation = identify("CreateTeam", organization_id, draft)
        for attempt in range(1, ID_TRIES + 1):
            (team_id,) = self._ids.take(1)
            create = partial(self._create, mutation, organization_id, team_id, draft)
            try:
                return self._database.transact(create)
            except IntegrityError as exc:
                if constraint_name(exc) != "team_pkey" or attempt == ID_TRIES:
                    raise
        raise AssertionError("unreachable")

    def get_team(self, name: TeamName) -> Team:
        """The team with those of its projects that the caller may see. Raises OrganizationNotFound, TeamNotFound."""
        organization_id = self._organizations.find(name.organization).id
        team_id = self._teams.find(organization_id, name.team)
        return self._database.read(lambda transaction: _existing(transaction, organization_id, team_id))

    def list_teams(self, parent: Key, page_size: int, page_token: str) -> tuple[list[Team], str]:
        """A page by id, without projects, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, InvalidPageToken, InvalidArgument of `page_size`.
        """
        organization_id = self._organizations.find(parent).id
        limit = tokens.page_size(page_size)
        query = tokens.query_digest("teams", organization_id)
        after = int(tokens.decode(page_token, query, [int])[0]) if page_token else 0  # type: ignore[arg-type]
        rows = self._database.read(lambda transaction: store.after_id(transaction, organization_id, after, limit + 1))
        page = rows[:limit]
        return page, tokens.encode((page[-1].id,), query) if len(rows) > limit else ""

    def delete_team(self, organization: Key, team_id: int, identify: Identify) -> Removed:
        """The name of the team that is gone; its members and projects stay.

        Raises OrganizationNotFound, OrganizationImporting, PermissionDenied, TeamNotFound, RequestIdReused.
        """
        organization_id = self._organizations.find(organization).id
        mutation = identify("DeleteTeam", organization_id, team_id)

        def work(transaction: Transaction) -> Removed:
            hold_administered(transaction, organization_id)
            if not store.hold(transaction, organization_id, team_id, to_delete=True):
                raise _not_found(organization_id, team_id)
            store.delete_team(transaction, team_id)
            _audit(transaction, _Told("team.delete"), organization_id, team_id, mutation)
            return Removed(team_name(organization_id, team_id))

        return self._database.transact(
            lambda transaction: once(
                transaction, mutation, Removed, lambda: work(transaction), resource=lambda removed: removed.name
            )
        )

    def add_team_member(self, name: TeamName, member: MemberName, identify: Identify) -> Team:
        """The team with the member in it. Raises what `_change` does, MemberNotFound, InvalidArgument of `member`."""
        organization_id = self._organization_of(name, member.organization, "member")

        def change(transaction: Transaction, team_id: int) -> None:
            if not member_store.hold(transaction, organization_id, member.member):
                resource = errors.Resource("siloway/Member", member_name(organization_id, member.member))
                raise errors.MemberNotFound(resource=resource)
            store.add_member(transaction, organization_id, team_id, member.member)

        identify = partial(identify, "AddTeamMember", member.member)
        told = _Told("team.add_member", {"member": member_name(organization_id, member.member)})
        return self._change(organization_id, name.team, identify, change, told)

    def remove_team_member(self, name: TeamName, member: MemberName, identify: Identify) -> Team:
        """The team without the member. Raises what `_change` does, InvalidArgument of `member`."""
        organization_id = self._organization_of(name, member.organization, "member")

        def change(transaction: Transaction, team_id: int) -> None:
            store.remove_member(transaction, team_id, member.member)

        identify = partial(identify, "RemoveTeamMember", member.member)
        told = _Told("team.remove_member", {"member": member_name(organization_id, member.member)})
        return self._change(organization_id, name.team, identify, change, told)

    def grant_project(self, name: TeamName, project: ProjectName, identify: Identify) -> Team:
        """The team with the project. Raises what `_change` does, ProjectNotFound, InvalidArgument of `project`."""
        organization_id = self._organization_of(name, project.organization, "project")
        project_id = self._projects.find(organization_id, project.project).id

        def hold(transaction: Transaction) -> None:
            user_id = current_caller().user_id
            if not project_store.hold(transaction, organization_id, [project_id], user_id):
                resource = errors.Resource("siloway/Project", project_name(organization_id, project_id))
                raise errors.ProjectNotFound(resource=resource)

        def change(transaction: Transaction, team_id: int) -> None:
            store.grant(transaction, organization_id, team_id, project_id)

        identify = partial(identify, "GrantProjectTeam", project_id)
        told = _Told("team.grant_project", {"project": project_name(organization_id, project_id)})
        return self._change(organization_id, name.team, identify, change, told, hold_first=hold)

    def revoke_project(self, name: TeamName, project: ProjectName, identify: Identify) -> Team:
        """The team without the project. Raises what `_change` does, ProjectNotFound, InvalidArgument of `project`."""
        organization_id = self._organization_of(name, project.organization, "project")
        project_id = self._projects.find(organization_id, project.project).id

        def change(transaction: Transaction, team_id: int) -> None:
            store.revoke(transaction, team_id, project_id)

        identify = partial(identify, "RevokeProjectTeam", project_id)
        told = _Told("team.revoke_project", {"project": project_name(organization_id, project_id)})
        return self._change(organization_id, name.team, identify, change, told)

    def _organization_of(self, name: TeamName, other: Key, field: str) -> int:
        organization_id = self._organizations.find(name.organization).id
        if other != name.organization and self._organizations.find(other).id != organization_id:
            raise errors.InvalidArgument.of(field, "must be of the team's organization")
        return organization_id

    def _change(
        self,
        organization_id: int,
        team: Key,
        identify: Identify,
        change: Callable[[Transaction, int], None],
        told: "_Told",
        *,
        hold_first: Callable[[Transaction], None] = lambda _transaction: None,
    ) -> Team:
        """The team after a change of its links.

        Raises OrganizationNotFound, OrganizationImporting, PermissionDenied, TeamNotFound, RequestIdReused.
        """
        team_id = self._teams.find(organization_id, team)
        mutation = identify(organization_id, team_id)

        def work(transaction: Transaction) -> Team:
            hold_administered(transaction, organization_id)
            hold_first(transaction)
            if not store.hold(transaction, organization_id, team_id):
                raise _not_found(organization_id, team_id)
            change(transaction, team_id)
            _audit(transaction, told, organization_id, team_id, mutation)
            return _existing(transaction, organization_id, team_id)

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Team, lambda: work(transaction), resource=_name)
        )

    def _create(
        self, mutation: Mutation, organization_id: int, team_id: int, draft: TeamDraft, transaction: Transaction
    ) -> Team:
        def work() -> Team:
            hold_administered(transaction, organization_id)
            slugs = (
                iter((draft.slug,))
                if draft.slug
                else candidates(draft.name, PROJECT_LENGTH_MAX, PROJECT_RESERVED, self._random)
            )
            for slug in slugs:
                row = Team(team_id, organization_id, slug, draft.name, transaction.now)
                if store.insert_team(transaction, row):
                    _audit(transaction, _Told("team.create", {"slug": slug}), organization_id, team_id, mutation)
                    return row
            raise errors.TeamExists(
                metadata={"slug": draft.slug},
                resource=errors.Resource("siloway/Team", team_name(organization_id, draft.slug or draft.name)),
            )

        return once(transaction, mutation, Team, work, resource=_name)


@dataclass(frozen=True)
class _Told:
    """What the audit says of a change."""

    action: str
    detail: dict[str, object] = field(default_factory=dict)


def _audit(
    transaction: Transaction,
    told: _Told,
    organization_id: int,
    team_id: int,
    mutation: Mutation,
) -> None:
    audit.record(
        transaction,
        action=told.action,
        target=team_name(organization_id, team_id),
        organization_id=organization_id,
        request_id=mutation.request_id,
        detail=told.detail,
    )


def _existing(transaction: Transaction, organization_id: int, team_id: int) -> Team:
    found = store.by_id(transaction, organization_id, team_id, current_caller().user_id)
    if found is None:
        raise _not_found(organization_id, team_id)
    return found


def _not_found(organization_id: int, key: Key) -> errors.TeamNotFound:
    return errors.TeamNotFound(resource=errors.Resource("siloway/Team", team_name(organization_id, key)))


def _name(team: Team) -> str:
    return team_name(team.organization_id, team.id)
