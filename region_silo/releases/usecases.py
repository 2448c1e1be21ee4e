"""Making, changing and reading releases.

Each mutation is one transaction with all its effects, or nothing; locks are taken in the order request record,
organization, project, release, repository, author, commit, issue. Writers of one release take turns on its row. What a
caller may not see is told as what is not there, in the same words (permission.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy.exc import IntegrityError

from region_silo.issues.resolving import attach_issues, keep_order
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.projects import store as projects_store
from region_silo.projects.lookup import ProjectLookup
from region_silo.releases import domain, store
from region_silo.releases import held as held_releases
from region_silo.releases.commit_list import ListedRelease, replace_commits
from region_silo.releases.commits import CommitSpec, check_commits, default_repository, normalise
from region_silo.releases.domain import Commit, CreatedRelease, Release, ReleaseFields, ReleaseState
from region_silo.releases.permission import has_release_permission, has_unseen_project
from shared import deadline, errors
from shared.database import Database, Transaction, constraint_name
from shared.errors import Violation
from shared.names import Key, ReleaseName, parse_key, release_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3
COMMITS_FIELD = "commits.commits"

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


@dataclass(frozen=True)
class ReleaseDraft:
    """A release as a client wishes it; `projects` are ids or slugs as text."""

    version: str
    projects: tuple[str, ...]
    fields: ReleaseFields
    user_agent: str = ""


@dataclass(frozen=True)
class ReleaseUpdate:
    """What changes: the fields of the mask (None: those with a value), and all commits unless those are None.

    An etag, when not empty, must be the release's current one.
    """

    fields: ReleaseFields
    mask: tuple[str, ...] | None = None
    commits: tuple[CommitSpec, ...] | None = None
    etag: str = ""


@dataclass(frozen=True)
class ReleaseQuery:
    """Which releases of an organization a list shows; `project` is an id or slug, empty for all."""

    state: ReleaseState = ReleaseState.OPEN
    project: str = ""
    text: str = ""


class ReleaseUseCases:
    """Releases of the organizations that the caller may see."""

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

    def create_release(self, parent: Key, draft: ReleaseDraft, identify: Identify) -> CreatedRelease:
        """The release of that version, made if it is not there, with all the projects attached.

        The draft's fields apply to a new release only. Raises InvalidArgument (`release.version`, one violation a
        broken rule; `projects[i]` for one that is not there or not accessible), OrganizationNotFound,
        OrganizationImporting, ProjectNotAccessible when the release is there with a project that the caller may not
        see, Aborted, what SnowflakeAllocator.take raises, RequestIdReused.
        """
        domain.check_new_release(draft.version, draft.fields)
        organization_id = self._organizations.find(parent).id
        project_ids = self._projects.ids(organization_id, [parse_key(project) for project in draft.projects])
        known = sorted({project_id for project_id in project_ids if project_id is not None})
        mutation = identify("CreateRelease", organization_id, draft.version, known, draft.fields)
        for attempt in range(1, ID_TRIES + 1):
            deadline.check()
            (release_id,) = self._ids.take(1)
            row = store.NewRelease(release_id, organization_id, draft.version, draft.fields, draft.user_agent)
            create = partial(self._create, mutation, row, project_ids)
            try:
                return self._database.transact(create)
            except IntegrityError as exc:
                if constraint_name(exc) != "release_pkey" or attempt == ID_TRIES:
                    raise
        raise AssertionError("unreachable")

    def update_release(self, name: ReleaseName, update: ReleaseUpdate, identify: Identify) -> Release:
        """The release after the whole update.

        Raises InvalidUpdateMask, InvalidArgument, OrganizationNotFound, OrganizationImporting, ReleaseNotFound,
        EtagMismatch, Aborted when other writers hold the release to the end of the deadline, RequestIdReused.
        """
        paths = domain.changed_paths(update.fields, update.mask)
        commits = update.commits
        if commits is not None:
            check_commits(commits, COMMITS_FIELD)
        organization_id = self._organizations.find(name.organization).id
        wanted = {path: getattr(update.fields, path) for path in sorted(paths)}
        mutation = identify("UpdateRelease", organization_id, name.version, wanted, update.etag, commits)
        listed = None if commits is None else normalise(commits, default_repository(organization_id))
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> Release:
            hold_active(transaction, organization_id)
            held = held_releases.hold_changeable(transaction, organization_id, name.version, user_id)
            if held is None or not has_release_permission(transaction, organization_id, held.id, user_id):
                raise _not_found(organization_id, name.version)
            if update.etag and update.etag != held.etag:
                raise errors.EtagMismatch(metadata={"etag": held.etag})
            fields = domain.apply_fields(held.fields, update.fields, paths)
            if listed is not None:
                replace_commits(transaction, ListedRelease(organization_id, held.id), listed)
            if listed is not None or fields != held.fields:
                store.update_release(transaction, held.id, fields)
            if "release_time" in paths and fields.release_time is not None:
                store.add_release_activities(transaction, held.id, held.version, fields.release_time)
            return _existing(store.read_release(transaction, organization_id, name.version, user_id))

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Release, lambda: work(transaction), resource=_name)
        )

    def get_release(self, name: ReleaseName) -> Release:
        """The release with its newest commit, heads and authors. Raises OrganizationNotFound, ReleaseNotFound."""
        organization_id = self._organizations.locate(name.organization).id
        user_id = current_caller().user_id
        found = self._database.ask(
            lambda transaction: store.read_release(transaction, organization_id, name.version, user_id)
        )
        if found is None:
            self._organizations.check_known(organization_id, name.organization)
            raise _not_found(organization_id, name.version)
        return found

    def list_releases(
        self, parent: Key, query: ReleaseQuery, page_size: int, page_token: str
    ) -> tuple[list[Release], str]:
        """A page, newest first by (date_added, id), and the token of the next one, empty at the end.

        Raises OrganizationNotFound, ProjectNotFound, InvalidPageToken, InvalidArgument.
        """
        if "\0" in query.text:
            raise errors.InvalidArgument.of("query", "must not hold NUL")
        organization_id = self._organizations.find(parent).id
        project_id = None
        if query.project:
            project_id = self._projects.find(organization_id, parse_key(query.project)).id
        wanted = store.ReleaseFilter(organization_id, query.state, project_id, query.text, current_caller().user_id)
        digest = tokens.query_digest("releases", wanted)
        limit = tokens.page_size(page_size)
        before: tuple[datetime, int] | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [datetime, int])  # type: ignore[assignment]
        rows = self._database.read(lambda transaction: store.newest_releases(transaction, wanted, before, limit + 1))
        page = rows[:limit]
        more = len(rows) > limit
        return page, tokens.encode((page[-1].create_time, page[-1].id), digest) if more else ""

    def list_release_commits(self, name: ReleaseName, page_size: int, page_token: str) -> tuple[list[Commit], str]:
        """A page of commits, newest first, and the token of the next one, empty at the end.

        A page of long messages ends early. Raises OrganizationNotFound, ReleaseNotFound, InvalidPageToken,
        InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        digest = tokens.query_digest("release_commits", organization_id, name.version)
        limit = tokens.page_size(page_size)
        before: int | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [int])[0]  # type: ignore[assignment]
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> tuple[list[tuple[int, Commit]], bool]:
            release_id = store.release_id(transaction, organization_id, name.version, user_id)
            if release_id is None:
                raise _not_found(organization_id, name.version)
            return store.newest_commits(transaction, release_id, before, limit, domain.COMMITS_PAGE_BYTES_MAX)

        rows, more = self._database.read(work)
        return [commit for _, commit in rows], tokens.encode((rows[-1][0],), digest) if more else ""

    @staticmethod
    def _create(
        mutation: Mutation,
        row: store.NewRelease,
        project_ids: Sequence[int | None],
        transaction: Transaction,
    ) -> CreatedRelease:
        organization_id, version = row.organization_id, row.version
        user_id = current_caller().user_id

        def work() -> CreatedRelease:
            hold_active(transaction, organization_id)
            wanted = sorted({project_id for project_id in project_ids if project_id is not None})
            there = projects_store.hold(transaction, organization_id, wanted, user_id)
            _refuse_unknown_projects(project_ids, there)
            projects_store.flag_has_releases(transaction, wanted)
            keep_order(transaction, wanted)
            is_new = store.insert_release(transaction, row)
            held = held_releases.hold(transaction, organization_id, version)
            if held is None:  # it was there, and has gone between the two statements
                raise errors.Aborted(retry_after_s=0.1)
            if has_unseen_project(transaction, organization_id, held.id, user_id):
                raise errors.ProjectNotAccessible
            attached = store.attach_projects(transaction, organization_id, held.id, wanted)
            attach_issues(transaction, organization_id, held.id, attached)
            if attached and not is_new:
                store.update_release(transaction, held.id, None)
            if attached and held.fields.release_time is not None:
                store.add_release_activities(transaction, held.id, version, held.fields.release_time, attached)
            release = _existing(store.read_release(transaction, organization_id, version, user_id))
            return CreatedRelease(release, already_existed=not (is_new or attached))

        return once(transaction, mutation, CreatedRelease, work, resource=lambda created: _name(created.release))


def _refuse_unknown_projects(project_ids: Sequence[int | None], there: set[int]) -> None:
    violations = [
        Violation(f"projects[{index}]", "there is no such project in the organization")
        for index, project_id in enumerate(project_ids)
        if project_id is None or project_id not in there
    ]
    if violations:
        first = violations[0]
        raise errors.InvalidArgument(f"{first.field}: {first.description}", violations=violations)


def _existing(release: Release | None) -> Release:
    assert release is not None, "a release that is held has gone"
    return release


def _not_found(organization_id: int, version: str) -> errors.ReleaseNotFound:
    return errors.ReleaseNotFound(resource=errors.Resource("siloway/Release", release_name(organization_id, version)))


def _name(release: Release) -> str:
    return release_name(release.organization_id, release.version)
