"""Making projects and reading them.

Two clients that make projects of one name at once get two slugs: the unique key decides, never a look before it.
"""

from collections.abc import Callable
from functools import partial
from random import Random, SystemRandom

from sqlalchemy.exc import IntegrityError

from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.projects import store
from region_silo.projects.domain import Project, ProjectDraft, ProjectKeyPair, check_draft
from region_silo.projects.lookup import ProjectLookup
from shared import errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.names import Key, ProjectName, project_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.slugs import PROJECT_LENGTH_MAX, PROJECT_RESERVED, candidates
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


class ProjectUseCases:
    """Projects of the organizations that the caller may see."""

    def __init__(
        self,
        database: Database,
        ids: SnowflakeAllocator,
        organizations: OrganizationLookup,
        projects: ProjectLookup,
        random: Random | None = None,
    ) -> None:
        self._database = database
        self._ids = ids
        self._organizations = organizations
        self._projects = projects
        self._random = random or SystemRandom()

    def create_project(self, parent: Key, draft: ProjectDraft, identify: Identify) -> Project:
        """The new project, with one ingestion key.

        Raises OrganizationNotFound, OrganizationImporting, InvalidArgument, ProjectExists (a given slug is taken), what
        SnowflakeAllocator.take raises, RequestIdReused.
        """
        check_draft(draft)
        organization_id = self._organizations.find(parent).id
        mutation = identify("CreateProject", organization_id, draft)
        for attempt in range(1, ID_TRIES + 1):
            (project_id,) = self._ids.take(1)
            create = partial(self._create, mutation, organization_id, project_id, draft)
            try:
                return self._database.transact(create)
            except IntegrityError as exc:
                if constraint_name(exc) != "project_pkey" or attempt == ID_TRIES:
                    raise
        raise AssertionError("unreachable")

    def get_project(self, name: ProjectName) -> Project:
        """Raises OrganizationNotFound, ProjectNotFound."""
        organization = self._organizations.find(name.organization)
        return self._projects.find(organization.id, name.project)

    def list_projects(self, parent: Key, page_size: int, page_token: str) -> tuple[list[Project], str]:
        """A page, by id, of the projects that the caller may see, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, InvalidPageToken, InvalidArgument of `page_size`.
        """
        organization_id = self._organizations.find(parent).id
        limit = tokens.page_size(page_size)
        user_id = current_caller().user_id
        query = tokens.query_digest("projects", organization_id, user_id)
        after = int(tokens.decode(page_token, query, [int])[0]) if page_token else 0  # type: ignore[arg-type]
        rows = self._database.read(
            lambda transaction: store.after_id(transaction, organization_id, after, limit + 1, user_id)
        )
        page = rows[:limit]
        return page, tokens.encode((page[-1].id,), query) if len(rows) > limit else ""

    def _create(
        self,
        mutation: Mutation,
        organization_id: int,
        project_id: int,
        draft: ProjectDraft,
        transaction: Transaction,
    ) -> Project:
        def work() -> Project:
            hold_active(transaction, organization_id)
            slugs = (
                iter((draft.slug,))
                if draft.slug
                else candidates(draft.name, PROJECT_LENGTH_MAX, PROJECT_RESERVED, self._random)
            )
            for slug in slugs:
                row = Project(project_id, organization_id, slug, draft.name, draft.platform, transaction.now)
                if store.insert_project(transaction, row):
                    store.insert_key(transaction, row, ProjectKeyPair.new())
                    return row
            raise errors.ProjectExists(
                metadata={"slug": draft.slug},
                resource=errors.Resource("siloway/Project", project_name(organization_id, draft.slug or draft.name)),
            )

        return once(transaction, mutation, Project, work, resource=_name)


def _name(project: Project) -> str:
    return project_name(project.organization_id, project.id)
