"""Making, changing and reading deploys and environments.

A mutation is one transaction: the deploy, its links, its release's counts, and the announcement when it is due. Writers
of one release take turns on its row, so counts are exact; locks are taken in the order request record, organization,
release, deploy, environment. Who may do what is the release's rule (releases/permission.py): what a caller may not see
or change is told as what is not there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.exc import IntegrityError

from region_silo.deploys import domain, environment_store, store
from region_silo.deploys.announcing import announce_pending
from region_silo.deploys.domain import Deploy, DeployFields, Environment
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.projects.lookup import ProjectLookup
from region_silo.releases import held as held_releases
from region_silo.releases import store as release_store
from region_silo.releases.domain import release_not_found
from region_silo.releases.permission import has_release_permission
from shared import deadline, errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.errors import Violation
from shared.names import DeployName, Key, ReleaseName, deploy_name, parse_key
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


@dataclass(frozen=True)
class DeployDraft:
    """A deploy as a client wishes it; `projects` are ids or slugs as text, none means all of the release's.

    Without a finish time it has finished now, unless it is `running`.
    """

    environment: str
    fields: DeployFields
    projects: tuple[str, ...] = ()
    running: bool = False


@dataclass(frozen=True)
class DeployUpdate:
    """What changes: the fields of the mask (None: those with a value). An etag, when not empty, must be the current."""

    fields: DeployFields
    mask: tuple[str, ...] | None = None
    etag: str = ""


@dataclass(frozen=True)
class DeployQuery:
    """Which deploys of a release a list shows; an empty environment means all."""

    environment: str = ""
    latest_only: bool = False


class DeployUseCases:
    """Deploys of the releases that the caller may see."""

    def __init__(
        self,
        database: Database,
        ids: SnowflakeAllocator,
        organizations: OrganizationLookup,
        projects: ProjectLookup,
    ) -> None:
        self._database = database
        self._ids = ids
        self._organizations = organizations
        self._projects = projects

    def create_deploy(self, parent: ReleaseName, draft: DeployDraft, identify: Identify) -> Deploy:
        """A new deploy of the release, announced when it has finished and does not wait for commits.

        Raises InvalidArgument (`deploy.environment`, one violation a broken rule; `projects[i]` for one that is not the
        release's), OrganizationNotFound, OrganizationImporting, OrganizationPendingDeletion, ReleaseNotFound, also for
        a release that the caller may not change, Aborted, what SnowflakeAllocator.take raises, RequestIdReused.
        """
        domain.check_new_deploy(draft.environment, draft.fields, running=draft.running)
        organization_id = self._organizations.find(parent.organization).id
        wanted = self._projects.ids(organization_id, [parse_key(project) for project in draft.projects])
        known = sorted({project_id for project_id in wanted if project_id is not None})
        mutation = identify(
            "CreateDeploy", organization_id, parent.version, known, draft.environment, draft.fields, draft.running
        )

        def name_of(made: Deploy) -> str:
            return deploy_name(organization_id, made.version, made.id)

        for attempt in range(1, ID_TRIES + 1):
            deadline.check()
            (deploy_id,) = self._ids.take(1)
            new = _New(organization_id, parent.version, deploy_id, draft, tuple(wanted))

            def work(transaction: Transaction, new: _New = new) -> Deploy:
                return once(transaction, mutation, Deploy, lambda: _create(transaction, new), resource=name_of)

            try:
                return self._database.transact(work)
            except IntegrityError as exc:
                if constraint_name(exc) != "deploy_pkey" or attempt == ID_TRIES:
                    raise
        raise AssertionError("unreachable")

    def update_deploy(self, name: DeployName, update: DeployUpdate, identify: Identify) -> Deploy:
        """The deploy after the update, announced when it is due now.

        Raises InvalidUpdateMask, InvalidArgument, OrganizationNotFound, OrganizationImporting,
        OrganizationPendingDeletion, DeployNotFound, also for one that the caller may not change, DeployAnnounced when
        the time of an announced finish would change, EtagMismatch, Aborted, RequestIdReused.
        """
        paths = domain.changed_paths(update.fields, update.mask)
        organization_id = self._organizations.find(name.organization).id
        wanted = {path: getattr(update.fields, path) for path in sorted(paths)}
        mutation = identify("UpdateDeploy", organization_id, name.version, name.deploy, wanted, update.etag)
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> Deploy:
            hold_active(transaction, organization_id)
            release = held_releases.hold_changeable(transaction, organization_id, name.version, user_id)
            held = None
            if release is not None and has_release_permission(transaction, organization_id, release.id, user_id):
                held = store.hold(transaction, release.id, name.deploy)
            if release is None or held is None:
                raise _deploy_not_found(organization_id, name)
            if update.etag and update.etag != held.etag:
                raise errors.EtagMismatch(metadata={"etag": held.etag})
            fields = domain.apply_fields(held.fields, update.fields, paths)
            if held.announced_at is not None and fields.finish_time != held.fields.finish_time:
                raise errors.DeployAnnounced(resource=_resource(organization_id, name))
            if fields != held.fields:
                store.write_fields(transaction, held.id, fields)
                announce_pending(transaction, organization_id, release.id)
            return _existing(store.read_deploy(transaction, organization_id, name.version, held.id, user_id))

        def resource(deploy: Deploy) -> str:
            return deploy_name(organization_id, deploy.version, deploy.id)

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Deploy, lambda: work(transaction), resource=resource)
        )

    def get_deploy(self, name: DeployName) -> Deploy:
        """The deploy. Raises OrganizationNotFound, DeployNotFound."""
        organization_id = self._organizations.locate(name.organization).id
        user_id = current_caller().user_id
        found = self._database.ask(
            lambda transaction: store.read_deploy(transaction, organization_id, name.version, name.deploy, user_id)
        )
        if found is None:
            self._organizations.check_known(organization_id, name.organization)
            raise _deploy_not_found(organization_id, name)
        return found

    def list_deploys(
        self, parent: ReleaseName, query: DeployQuery, page_size: int, page_token: str
    ) -> tuple[list[Deploy], str]:
        """A page, those that run first, then the newest finish, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, ReleaseNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(parent.organization).id
        user_id = current_caller().user_id
        wanted = store.DeployFilter(organization_id, parent.version, query.environment, query.latest_only, user_id)
        digest = tokens.query_digest("deploys", wanted)
        limit = tokens.page_size(page_size)
        before = _position(page_token, digest) if page_token else None

        def work(transaction: Transaction) -> list[Deploy]:
            if release_store.release_id(transaction, organization_id, parent.version, user_id) is None:
                raise release_not_found(organization_id, parent.version)
            return store.list_deploys(transaction, wanted, before, limit + 1)

        rows = self._database.read(work)
        page = rows[:limit]
        return page, _token(page[-1], digest) if len(rows) > limit else ""

    def list_environments(
        self, parent: Key, project: str, page_size: int, page_token: str
    ) -> tuple[list[Environment], str]:
        """A page by name and the token of the next one, empty at the end; `project` is an id or slug, empty for all.

        Raises OrganizationNotFound, ProjectNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(parent).id
        user_id = current_caller().user_id
        project_id = self._projects.find(organization_id, parse_key(project)).id if project else None
        digest = tokens.query_digest("environments", organization_id, project_id, user_id)
        limit = tokens.page_size(page_size)
        after = str(tokens.decode(page_token, digest, [str])[0]) if page_token else None
        rows = self._database.read(
            lambda transaction: environment_store.list_environments(
                transaction, organization_id, user_id, project_id=project_id, after=after, limit=limit + 1
            )
        )
        page = rows[:limit]
        return page, tokens.encode((page[-1].name,), digest) if len(rows) > limit else ""


@dataclass(frozen=True)
class _New:
    """A deploy that is to be made: the draft, its id, and its projects by id, None for an unknown slug."""

    organization_id: int
    version: str
    deploy_id: int
    draft: DeployDraft
    wanted: tuple[int | None, ...]


def _create(transaction: Transaction, new: _New) -> Deploy:
    organization_id, draft = new.organization_id, new.draft
    user_id = current_caller().user_id
    hold_active(transaction, organization_id)
    release = held_releases.hold_changeable(transaction, organization_id, new.version, user_id)
    if release is None or not has_release_permission(transaction, organization_id, release.id, user_id):
        raise release_not_found(organization_id, new.version)
    projects = store.project_ids(transaction, release.id)
    if new.wanted:
        _refuse_foreign_projects(new.wanted, set(projects))
        projects = sorted({project_id for project_id in new.wanted if project_id is not None})
    fields = draft.fields
    if fields.finish_time is None and not draft.running:
        fields = replace(fields, finish_time=transaction.now)
    environment_id = environment_store.find_or_add(transaction, organization_id, draft.environment)
    row = store.NewDeploy(new.deploy_id, organization_id, release.id, environment_id, fields)
    store.insert_deploy(transaction, row, projects)
    environment_store.see_deploy(transaction, row, projects)
    announce_pending(transaction, organization_id, release.id)
    return _existing(store.read_deploy(transaction, organization_id, new.version, new.deploy_id, user_id))


def _refuse_foreign_projects(wanted: Sequence[int | None], projects: set[int]) -> None:
    violations = [
        Violation(f"projects[{index}]", "is no project of the release")
        for index, project_id in enumerate(wanted)
        if project_id not in projects
    ]
    errors.refuse(violations)


def _token(last: Deploy, digest: bytes) -> str:
    # One that runs is placed by its id alone; the time only keeps the token's shape.
    runs = int(last.finish_time is None)
    return tokens.encode((runs, last.finish_time or last.create_time, last.id), digest)


def _position(token: str, digest: bytes) -> tuple[datetime | None, int]:
    runs, finished, deploy_id = tokens.decode(token, digest, [int, datetime, int])
    assert isinstance(finished, datetime), "decode has checked the types"
    assert isinstance(deploy_id, int), "decode has checked the types"
    return None if runs else finished, deploy_id


def _existing(deploy: Deploy | None) -> Deploy:
    assert deploy is not None, "a deploy that is held has gone"
    return deploy


def _resource(organization_id: int, name: DeployName) -> errors.Resource:
    return errors.Resource("siloway/Deploy", deploy_name(organization_id, name.version, name.deploy))


def _deploy_not_found(organization_id: int, name: DeployName) -> errors.DeployNotFound:
    return errors.DeployNotFound(resource=_resource(organization_id, name))
