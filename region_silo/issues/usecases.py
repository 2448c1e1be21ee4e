"""Making, reading and changing issues one by one.

Each mutation is one transaction that holds the issue's row, after the organization and, where it needs them, the
project's order of releases and the release. What a caller may not see is told as what is not there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy.exc import IntegrityError

from region_silo.issues import domain, reading, store
from region_silo.issues.domain import (
    ActivityType,
    InboxAction,
    Issue,
    IssueActivity,
    IssueDraft,
    IssueKey,
    IssueState,
    ResolutionType,
    TrackerIssue,
)
from region_silo.issues.mentions import parse_short_id
from region_silo.issues.syncing import tell_trackers
from region_silo.issues.tables import HISTORY_IN_RELEASE, HISTORY_RESOLVED, HISTORY_REVIEWED, HISTORY_UNRESOLVED
from region_silo.organizations.lookup import OrganizationLookup, hold_active
from region_silo.projects import store as projects_store
from region_silo.projects.lookup import ProjectLookup
from region_silo.releases.domain import release_not_found
from shared import deadline, errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.names import IssueName, Key, ProjectName, ReleaseName, issue_name, parse_key, project_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

ID_TRIES = 3

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


@dataclass(frozen=True)
class IssueQuery:
    """Which issues of an organization a list shows; `project` is an id or slug, empty texts and None mean all."""

    project: str = ""
    state: IssueState | None = None
    inbox_only: bool = False
    resolved_in: ReleaseName | None = None


class IssueUseCases:
    """Issues of the organizations that the caller may see."""

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

    def create_issue(self, parent: ProjectName, draft: IssueDraft, identify: Identify) -> Issue:
        """The new issue, in the inbox.

        Raises InvalidArgument, OrganizationNotFound, OrganizationImporting, ProjectNotFound, ReleaseNotFound, what
        SnowflakeAllocator.take raises, RequestIdReused.
        """
        domain.check_draft(draft)
        organization_id = self._organizations.find(parent.organization).id
        project_id = self._projects.find(organization_id, parent.project).id
        mutation = identify("CreateIssue", organization_id, project_id, draft)
        for attempt in range(1, ID_TRIES + 1):
            deadline.check()
            (issue_id,) = self._ids.take(1)
            create = partial(_create, mutation, store.IssuePlace(issue_id, organization_id, project_id), draft)
            try:
                return self._database.transact(create)
            except IntegrityError as exc:
                if constraint_name(exc) != "issue_pkey" or attempt == ID_TRIES:
                    raise
        raise AssertionError("unreachable")

    def get_issue(self, name: IssueName) -> Issue:
        """The issue with its links. Raises OrganizationNotFound, IssueNotFound."""
        organization_id = self._organizations.find(name.organization).id
        user_id = current_caller().user_id
        key = _key(organization_id, name.issue)

        def work(transaction: Transaction) -> Issue:
            found = reading.read_issue(transaction, organization_id, key, user_id)
            if found is None:
                raise _not_found(organization_id, name.issue)
            return replace(found, links=reading.links_of(transaction, found.id))

        return self._database.read(work)

    def list_issues(self, parent: Key, query: IssueQuery, page_size: int, page_token: str) -> tuple[list[Issue], str]:
        """A page, newest first by (first_seen, id), and the token of the next one, empty at the end.

        Raises OrganizationNotFound, ProjectNotFound, ReleaseNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(parent).id
        project_id = None
        if query.project:
            project_id = self._projects.find(organization_id, parse_key(query.project)).id
        release = query.resolved_in
        if release is not None and self._organizations.find(release.organization).id != organization_id:
            raise errors.InvalidArgument.of("resolved_in_release", "is a release of another organization")
        user_id = current_caller().user_id
        digest = tokens.query_digest("issues", organization_id, user_id, project_id, query)
        limit = tokens.page_size(page_size)
        before: tuple[datetime, int] | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [datetime, int])  # type: ignore[assignment]

        def work(transaction: Transaction) -> list[Issue]:
            release_id = None
            if query.resolved_in is not None:
                release_id = _release_id(transaction, organization_id, query.resolved_in.version)
            wanted = reading.IssueFilter(
                organization_id, user_id, project_id, query.state, query.inbox_only, release_id
            )
            return reading.newest_issues(transaction, wanted, before, limit + 1)

        rows = self._database.read(work)
        page = rows[:limit]
        more = len(rows) > limit
        return page, tokens.encode((page[-1].first_seen_time, page[-1].id), digest) if more else ""

    def list_activities(self, name: IssueName, page_size: int, page_token: str) -> tuple[list[IssueActivity], str]:
        """A page, newest first, and the token of the next one, empty at the end.

        Raises OrganizationNotFound, IssueNotFound, InvalidPageToken, InvalidArgument.
        """
        organization_id = self._organizations.find(name.organization).id
        key = _key(organization_id, name.issue)
        digest = tokens.query_digest("issue_activities", organization_id, str(name.issue))
        limit = tokens.page_size(page_size)
        before: tuple[datetime, int] | None = None
        if page_token:
            before = tokens.decode(page_token, digest, [datetime, int])  # type: ignore[assignment]

        def work(transaction: Transaction) -> list[IssueActivity]:
            issue_id, _ = _found(transaction, organization_id, key, name.issue)
            return reading.newest_activities(transaction, issue_id, before, limit + 1)

        rows = self._database.read(work)
        page = rows[:limit]
        return page, tokens.encode((page[-1].create_time, page[-1].id), digest) if len(rows) > limit else ""

    def resolve_issue(self, name: IssueName, type_: ResolutionType | None, version: str, identify: Identify) -> Issue:
        """The issue, resolved: now, in the release of that version, or in the next one of its project.

        Raises InvalidArgument of `version` (missing with IN_RELEASE, given without), OrganizationNotFound,
        OrganizationImporting, IssueNotFound, ReleaseNotFound for a version that the project does not have,
        ProjectWithoutRelease, RequestIdReused.
        """
        if (type_ is ResolutionType.IN_RELEASE) != bool(version):
            rule = "belongs to TYPE_IN_RELEASE only" if version else "must be given with TYPE_IN_RELEASE"
            raise errors.InvalidArgument.of("version", rule)

        def change(transaction: Transaction, held: store.HeldIssue, chosen: store.ReleaseChoice | None) -> None:
            _resolve(transaction, held, type_, chosen)

        def choose(transaction: Transaction, project_id: int, organization_id: int) -> store.ReleaseChoice | None:
            return _choose(transaction, organization_id, project_id, type_, version)

        return self._change(name, identify, ("ResolveIssue", type_, version), change, choose)

    def reopen_issue(self, name: IssueName, identify: Identify) -> Issue:
        """The issue, unresolved; one that is so already stays as it is.

        Raises OrganizationNotFound, OrganizationImporting, IssueNotFound, RequestIdReused.
        """

        def change(transaction: Transaction, held: store.HeldIssue, _: store.ReleaseChoice | None) -> None:
            if held.state is IssueState.UNRESOLVED:
                return
            user_id = current_caller().user_id
            store.set_state(transaction, held, IssueState.UNRESOLVED)
            store.drop_resolution(transaction, held.id)
            store.add_history(transaction, held, HISTORY_UNRESOLVED, user_id)
            store.add_activity(transaction, held, ActivityType.SET_UNRESOLVED, user_id)
            if held.state is IssueState.RESOLVED:
                tell_trackers(transaction, held.organization_id, [held.id], is_resolved=False)

        return self._change(name, identify, ("ReopenIssue",), change)

    def remove_from_inbox(self, name: IssueName, action: InboxAction, identify: Identify) -> Issue:
        """The issue, out of the inbox; one that is not there stays as it is, whatever the action.

        MARK_REVIEWED is told in the history when the caller acts as a user (spec/releases.md 2.13). Raises
        OrganizationNotFound, OrganizationImporting, IssueNotFound, RequestIdReused.
        """

        def change(transaction: Transaction, held: store.HeldIssue, _: store.ReleaseChoice | None) -> None:
            user_id = current_caller().user_id
            was_there = store.leave_inbox(transaction, held.id)
            if was_there and action is InboxAction.MARK_REVIEWED and user_id is not None:
                store.add_activity(transaction, held, ActivityType.MARK_REVIEWED, user_id)
                store.add_history(transaction, held, HISTORY_REVIEWED, user_id)

        return self._change(name, identify, ("RemoveIssueFromInbox", action), change)

    def link_tracker_issue(self, name: IssueName, tracker: TrackerIssue, identify: Identify) -> Issue:
        """The issue, linked with that of a tracker, which is told from now on how things stand.

        Raises InvalidArgument, OrganizationNotFound, OrganizationImporting, IssueNotFound, RequestIdReused.
        """
        domain.check_tracker_issue(tracker)

        def change(transaction: Transaction, held: store.HeldIssue, _: store.ReleaseChoice | None) -> None:
            store.save_tracker_link(transaction, held, tracker)

        return self._change(name, identify, ("LinkTrackerIssue", tracker), change)

    def _change(
        self,
        name: IssueName,
        identify: Identify,
        asked: tuple[object, ...],
        change: Callable[[Transaction, store.HeldIssue, store.ReleaseChoice | None], None],
        choose: Callable[[Transaction, int, int], store.ReleaseChoice | None] | None = None,
    ) -> Issue:
        """The issue after `change`, which gets it held; `choose` looks for its release before that."""
        organization_id = self._organizations.find(name.organization).id
        key = _key(organization_id, name.issue)
        mutation = identify(*asked, organization_id, str(key))
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> Issue:
            hold_active(transaction, organization_id)
            issue_id, project_id = _found(transaction, organization_id, key, name.issue)
            chosen = None if choose is None else choose(transaction, project_id, organization_id)
            held = store.hold(transaction, issue_id)
            if held is None:
                raise _not_found(organization_id, name.issue)
            change(transaction, held, chosen)
            return _whole(transaction, organization_id, issue_id, user_id)

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Issue, lambda: work(transaction), resource=_name)
        )


def _create(mutation: Mutation, place: store.IssuePlace, draft: IssueDraft, transaction: Transaction) -> Issue:
    user_id = current_caller().user_id
    organization_id = place.organization_id

    def work() -> Issue:
        hold_active(transaction, organization_id)
        if not projects_store.hold(transaction, organization_id, [place.project_id], user_id):
            name = project_name(organization_id, place.project_id)
            raise errors.ProjectNotFound(resource=errors.Resource("siloway/Project", name))
        first_release_id = None
        if draft.first_release:
            first_release_id = _release_id(transaction, organization_id, draft.first_release)
        first_seen = draft.first_seen_time or min(transaction.now, draft.last_seen_time or transaction.now)
        last_seen = draft.last_seen_time or max(first_seen, transaction.now)
        row = store.NewIssue(**vars(place), title=draft.title, first_seen=first_seen, last_seen=last_seen)
        store.insert_issue(transaction, row, first_release_id)
        held = store.HeldIssue(**vars(place), state=IssueState.UNRESOLVED)
        store.add_history(transaction, held, HISTORY_UNRESOLVED, user_id, first_release_id)
        return _whole(transaction, organization_id, place.id, user_id)

    return once(transaction, mutation, Issue, work, resource=_name)


def _choose(
    transaction: Transaction, organization_id: int, project_id: int, type_: ResolutionType | None, version: str
) -> store.ReleaseChoice | None:
    if type_ is None:
        return None
    if type_ is ResolutionType.IN_RELEASE:
        chosen = store.release_of_project(transaction, project_id, version)
        if chosen is None:
            raise release_not_found(organization_id, version)
        return chosen
    store.await_releases(transaction, project_id)
    newest = store.newest_release(transaction, project_id)
    if newest is None:
        name = project_name(organization_id, project_id)
        raise errors.ProjectWithoutRelease(resource=errors.Resource("siloway/Project", name))
    return newest


def _resolve(
    transaction: Transaction,
    held: store.HeldIssue,
    type_: ResolutionType | None,
    chosen: store.ReleaseChoice | None,
) -> None:
    user_id = current_caller().user_id
    was_resolved = held.state is IssueState.RESOLVED
    if not was_resolved:
        store.set_state(transaction, held, IssueState.RESOLVED)
    store.leave_inbox(transaction, held.id)
    if type_ is None or chosen is None:
        store.drop_resolution(transaction, held.id)
        if not was_resolved:
            store.add_history(transaction, held, HISTORY_RESOLVED, user_id)
            store.add_activity(transaction, held, ActivityType.SET_RESOLVED, user_id)
            tell_trackers(transaction, held.organization_id, [held.id], is_resolved=True)
        return
    is_next = type_ is ResolutionType.IN_NEXT_RELEASE
    version = "" if is_next else chosen.version
    store.save_resolution(transaction, held, type_, chosen, user_id)
    store.add_history(transaction, held, HISTORY_IN_RELEASE, user_id, None if is_next else chosen.id)
    store.add_activity(transaction, held, ActivityType.SET_RESOLVED_IN_RELEASE, user_id, version=version)
    tell_trackers(transaction, held.organization_id, [held.id], is_resolved=True, version=version)


def _found(transaction: Transaction, organization_id: int, key: IssueKey | None, asked: Key) -> tuple[int, int]:
    found = None
    if key is not None:
        found = reading.find(transaction, organization_id, key, current_caller().user_id)
    if found is None:
        raise _not_found(organization_id, asked)
    return found


def _whole(transaction: Transaction, organization_id: int, issue_id: int, user_id: int | None) -> Issue:
    found = reading.read_issue(transaction, organization_id, issue_id, user_id)
    if found is None:  # the caller's place in a team has gone between the two statements
        raise _not_found(organization_id, issue_id)
    return replace(found, links=reading.links_of(transaction, issue_id))


def _release_id(transaction: Transaction, organization_id: int, version: str) -> int:
    found = store.readable_release(transaction, organization_id, version, current_caller().user_id)
    if found is None:
        raise release_not_found(organization_id, version)
    return found


def _key(organization_id: int, asked: Key) -> IssueKey:
    """The id or short id. Raises IssueNotFound for what can be neither."""
    key = asked if isinstance(asked, int) else parse_short_id(asked)
    if key is None:
        raise _not_found(organization_id, asked)
    return key


def _not_found(organization_id: int, asked: Key) -> errors.IssueNotFound:
    return errors.IssueNotFound(resource=errors.Resource("siloway/Issue", issue_name(organization_id, asked)))


def _name(issue: Issue) -> str:
    return issue_name(issue.organization_id, issue.id)
