"""Making, changing and reading releases.

Each mutation is one transaction with all its effects, or nothing; locks are taken in the order request record,
organization, project, release, repository, author, commit, issue. Writers of one release take turns on its row. What a
caller may not see is told as what is not there, in the same words (permission.py).
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import IntegrityError

from region_silo.deploys.announcing import announce_pending
from region_silo.fetches import store as fetches
from region_silo.issues.resolving import attach_issues, keep_order
from region_silo.organizations import store as organizations_store
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.projects import store as projects_store
from region_silo.projects.lookup import ProjectLookup
from region_silo.releases import domain, store
from region_silo.releases import held as held_releases
from region_silo.releases.commit_changes import COMMITS_FIELD, telling_lock
from region_silo.releases.commit_list import ListedRelease, replace_commits
from region_silo.releases.commits import GivenCommits, ReleaseCommit, check_commits, default_repository, normalise
from region_silo.releases.deleting import ReleaseDeleting
from region_silo.releases.domain import Commit, CreatedRelease, Release, ReleaseFields
from region_silo.releases.permission import has_release_permission, has_unseen_project
from region_silo.releases.reading import ReleaseReading
from region_silo.releases.refs import CheckedRefs, RefChange, check_refs, write_refs
from shared import deadline, errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.errors import Violation
from shared.names import Key, ReleaseName, parse_key, release_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


@dataclass(frozen=True)
class ReleaseDraft:
    """A release as a client wishes it; `projects` are ids or slugs as text. Commits and refs are None when not told."""

    version: str
    projects: tuple[str, ...]
    fields: ReleaseFields
    user_agent: str = ""
    commits: GivenCommits | None = None
    refs: RefChange | None = None


@dataclass(frozen=True)
class ReleaseUpdate:
    """What changes: the fields of the mask (None: those with a value), all commits and the refs unless those are None.

    An etag, when not empty, must be the release's current one.
    """

    fields: ReleaseFields
    mask: tuple[str, ...] | None = None
    commits: GivenCommits | None = None
    etag: str = ""
    refs: RefChange | None = None


@dataclass(frozen=True)
class _Contents:
    """What a request says of commits and refs, checked; None is nothing. Refs are fetched under `fetch_id`, if any."""

    listed: Sequence[ReleaseCommit] | None
    refs: CheckedRefs | None
    fetch_id: int | None


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
        self.reading = ReleaseReading(database, organizations, projects)
        self.deleting = ReleaseDeleting(database, organizations)

    def create_release(self, parent: Key, draft: ReleaseDraft, identify: Identify) -> CreatedRelease:
        """The release of that version, made if it is not there, with all the projects attached.

        The draft's fields apply to a new release only, its commits and refs to any.

        Raises InvalidArgument (`release.version`, one violation a broken rule; `projects[i]` for one that is not there
        or not accessible; commits and refs as an update), OrganizationNotFound, OrganizationImporting,
        ProjectNotAccessible when the release is there with a project that the caller may not see, Aborted, what
        SnowflakeAllocator.take raises, RequestIdReused.
        """
        domain.check_new_release(draft.version, draft.fields)
        refs = _checked(draft.commits, draft.refs)
        organization_id = self._organizations.find(parent).id
        project_ids = self._projects.ids(organization_id, [parse_key(project) for project in draft.projects])
        known = sorted({project_id for project_id in project_ids if project_id is not None})
        mutation = identify("CreateRelease", organization_id, draft.version, known, draft.fields, *_told(draft, refs))
        contents = self._contents(organization_id, draft.commits, refs)
        for attempt in range(1, ID_TRIES + 1):
            deadline.check()
            (release_id,) = self._ids.take(1)
            row = store.NewRelease(release_id, organization_id, draft.version, draft.fields, draft.user_agent)
            create = partial(self._create, mutation, row, project_ids, contents)
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
        refs = _checked(update.commits, update.refs)
        organization_id = self._organizations.id_to_hold(name.organization)
        wanted = {path: getattr(update.fields, path) for path in sorted(paths)}
        told = _told(update, refs)
        mutation = identify("UpdateRelease", organization_id, name.version, wanted, update.etag, *told)
        contents = self._contents(organization_id, update.commits, refs)
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> Release:
            with telling_lock(organization_id, name.version) if contents.listed is not None else nullcontext():
                held = held_releases.hold_below_active(transaction, organization_id, name.version, user_id)
            if held is None or not has_release_permission(transaction, organization_id, held.id, user_id):
                raise domain.release_not_found(organization_id, name.version)
            if update.etag and update.etag != held.etag:
                raise errors.EtagMismatch(metadata={"etag": held.etag})
            fields = domain.apply_fields(held.fields, update.fields, paths)
            if fields.owner != held.fields.owner:
                check_owner(transaction, organization_id, fields.owner)
            # The release before is chosen by the time that the update sets.
            is_counted = fields != held.fields
            if is_counted:
                store.update_release(transaction, held.id, fields)
            if _write(transaction, ListedRelease(organization_id, held.id), contents) and not is_counted:
                store.update_release(transaction, held.id, None)
            if "release_time" in paths and fields.release_time is not None:
                store.add_release_activities(transaction, held.id, held.version, fields.release_time)
            return _existing(store.read_release(transaction, organization_id, name.version, user_id, below_held=True))

        try:
            return self._database.transact(
                lambda transaction: once(transaction, mutation, Release, lambda: work(transaction), resource=_name)
            )
        except errors.OrganizationNotFound:
            self._organizations.find(name.organization)  # says where it is instead
            raise

    def get_release(self, name: ReleaseName) -> Release:
        """The release with its newest commit, heads and authors. Raises OrganizationNotFound, ReleaseNotFound.

        By an id it is one statement, which costs less than a look into the cache before it.
        """
        caller, organization_id = current_caller(), name.organization
        if isinstance(organization_id, int) and caller.organization_id in (None, organization_id):
            found = self._read(organization_id, name.version)
            if found is not None:
                return found
        organization_id = self._organizations.locate(name.organization).id
        found = self._read(organization_id, name.version)
        if found is None:
            self._organizations.check_known(organization_id, name.organization)
            raise domain.release_not_found(organization_id, name.version)
        return found

    def _read(self, organization_id: int, version: str) -> Release | None:
        user_id = current_caller().user_id
        return self._database.ask(
            lambda transaction: store.read_release(transaction, organization_id, version, user_id)
        )

    def list_release_commits(self, name: ReleaseName, page_size: int, page_token: str) -> tuple[list[Commit], str]:
        """A page of commits, newest first, and the token of the next one, empty at the end.

        A page of long messages ends early. Raises OrganizationNotFound, ReleaseNotFound, InvalidPageToken,
        InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        digest = tokens.query_digest("release_commits", organization_id, name.version)
        limit = tokens.page_size(page_size)
        before: store.CommitPlace | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [int, int, int])  # type: ignore[assignment]
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> tuple[list[tuple[store.CommitPlace, Commit]], bool]:
            release_id = store.release_id(transaction, organization_id, name.version, user_id)
            if release_id is None:
                raise domain.release_not_found(organization_id, name.version)
            return store.newest_commits(transaction, release_id, before, limit, domain.COMMITS_PAGE_BYTES_MAX)

        rows, more = self._database.read(work)
        return [commit for _, commit in rows], tokens.encode(rows[-1][0], digest) if more else ""

    def _contents(self, organization_id: int, commits: GivenCommits | None, refs: CheckedRefs | None) -> _Contents:
        """What is to be written; commits that are told need no fetch."""
        fetches = commits is None and refs is not None and bool(refs.refs)
        return _Contents(
            listed=None if commits is None else normalise(commits.specs, default_repository(organization_id)),
            refs=refs,
            fetch_id=self._ids.take(1)[0] if fetches else None,
        )

    @staticmethod
    def _create(
        mutation: Mutation,
        row: store.NewRelease,
        project_ids: Sequence[int | None],
        contents: _Contents,
        transaction: Transaction,
    ) -> CreatedRelease:
        organization_id, version = row.organization_id, row.version
        user_id = current_caller().user_id

        def work() -> CreatedRelease:
            hold_active(transaction, organization_id)
            wanted = sorted({project_id for project_id in project_ids if project_id is not None})
            there = projects_store.hold(transaction, organization_id, wanted, user_id)
            _refuse_unknown_projects(project_ids, there)
            check_owner(transaction, organization_id, row.fields.owner)
            projects_store.flag_has_releases(transaction, wanted)
            keep_order(transaction, wanted)
            is_new = store.insert_release(transaction, row)
            with telling_lock(organization_id, version) if contents.listed is not None else nullcontext():
                held = held_releases.hold(transaction, organization_id, version)
            if held is None:  # it was there, and has gone between the two statements
                raise errors.Aborted(retry_after_s=0.1)
            if has_unseen_project(transaction, organization_id, held.id, user_id):
                raise errors.ProjectNotAccessible
            attached = store.attach_projects(transaction, organization_id, held.id, wanted)
            is_written = _write(transaction, ListedRelease(organization_id, held.id), contents)
            attach_issues(transaction, organization_id, held.id, attached)
            if (attached or is_written) and not is_new:
                store.update_release(transaction, held.id, None)
            if attached and held.fields.release_time is not None:
                store.add_release_activities(transaction, held.id, version, held.fields.release_time, attached)
            release = _existing(store.read_release(transaction, organization_id, version, user_id, below_held=True))
            return CreatedRelease(release, already_existed=not (is_new or attached))

        return once(transaction, mutation, CreatedRelease, work, resource=lambda created: _name(created.release))


def _told(request: ReleaseDraft | ReleaseUpdate, refs: CheckedRefs | None) -> list[object]:
    """What of commits and refs makes the request another one."""
    digest = None if request.commits is None else request.commits.digest
    return [digest] if refs is None else [digest, refs]


def _checked(commits: GivenCommits | None, refs: RefChange | None) -> CheckedRefs | None:
    """The refs, checked like the commits. Raises InvalidArgument."""
    if commits is not None:
        check_commits(commits.specs, COMMITS_FIELD)
    return None if refs is None else check_refs(refs)


def _write(transaction: Transaction, target: ListedRelease, contents: _Contents) -> bool:
    """Commits, then refs, whose heads win over the commits'; whether anything was written.

    A list that is told or cleared ends the wait of deploys, which run what the refs say.
    """
    has_list, refs = contents.listed is not None, contents.refs
    is_written = False
    if contents.listed is not None:
        fetches.overtake(transaction, target.release_id)
        is_written = replace_commits(transaction, target, contents.listed).is_written
    if refs is not None and (refs.refs or not has_list):
        is_written |= write_refs(transaction, target, refs, contents.fetch_id)
    if has_list or (refs is not None and refs.clears):
        announce_pending(transaction, target.organization_id, target.release_id)
    return is_written


def _refuse_unknown_projects(project_ids: Sequence[int | None], there: set[int]) -> None:
    violations = [
        Violation(f"projects[{index}]", "there is no such project in the organization")
        for index, project_id in enumerate(project_ids)
        if project_id is None or project_id not in there
    ]
    errors.refuse(violations)


def check_owner(transaction: Transaction, organization_id: int, owner: int | None) -> None:
    """Raise InvalidArgument of `release.owner` for a user who is no member of the organization."""
    if owner is not None and not organizations_store.knows(transaction, organization_id, owner):
        raise errors.InvalidArgument.of("release.owner", "is no member of the organization")


def _existing(release: Release | None) -> Release:
    assert release is not None, "a release that is held has gone"
    return release


def _name(release: Release) -> str:
    return release_name(release.organization_id, release.version)
