"""Reading releases: one with all that its page shows, and lists in the language of queries.

What the caller may not see is told as what is not there (permission.py). Nothing here is decided from a cache but which
organization and which project a name means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from region_silo.organizations.lookup import OrganizationLookup
from region_silo.projects.lookup import ProjectLookup
from region_silo.releases import facts, listing, store
from region_silo.releases.domain import Release, ReleaseState, release_not_found
from region_silo.releases.facts import NeighbourFilter, ReleaseFacts
from region_silo.releases.listing import Position, ReleaseFilter, ReleaseOrder
from region_silo.releases.query import parse_query
from region_silo.releases.query_conditions import asks_latest, conditions_of
from shared import errors
from shared.database import Database, Transaction
from shared.errors import InvalidArgument, refuse
from shared.names import Key, ReleaseName, parse_key
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller

NO_PROJECT = "-1"
PERIODS = ("1h", "24h", "1d", "48h", "2d", "7d", "14d", "30d", "90d")
_HEALTH_ORDERS = frozenset(
    {"crash_free_sessions", "crash_free_users", "sessions", "users", "sessions_24h", "users_24h"}
)


@dataclass(frozen=True)
class FactsQuery:
    """What a release's page is to show; `project` is an id or slug, empty or "-1" for none."""

    project: str = ""
    environments: tuple[str, ...] = ()
    state: ReleaseState = ReleaseState.OPEN
    text: str = ""
    sort: str = ""
    adoption_stages: bool = False
    summary_stats_period: str = ""
    health_stats_period: str = ""


@dataclass(frozen=True)
class ReleaseQuery:
    """Which releases of an organization a list shows. Projects are ids or slugs; no state is every state."""

    state: ReleaseState | None = ReleaseState.OPEN
    projects: tuple[str, ...] = ()
    text: str = ""
    order: str = ""
    environments: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None


_NO_ID = 0


class ReleaseReading:
    """Releases of the organizations that the caller may see."""

    def __init__(self, database: Database, organizations: OrganizationLookup, projects: ProjectLookup) -> None:
        self._database = database
        self._organizations = organizations
        self._projects = projects

    def get_facts(self, name: ReleaseName, query: FactsQuery) -> tuple[Release, ReleaseFacts]:
        """The release and the facts of its page.

        Raises InvalidArgument (`sort`, `query`, `summary_stats_period`, `health_stats_period`), OrganizationNotFound,
        ReleaseNotFound: also when the asked project is not there, not the release's, or not the caller's to see, but
        when health is asked for: then InvalidArgument of `project` (spec/releases.md 2.5 (4), 3 row 27).
        """
        check_facts_query(query)
        organization_id = self._organizations.find(name.organization).id
        project_id = self._asked_project(organization_id, query.project)
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> tuple[Release, ReleaseFacts] | None:
            found = store.read_release(transaction, organization_id, name.version, user_id)
            if found is None:
                return None
            if project_id is not None and project_id not in found.project_ids:
                if query.health_stats_period:
                    raise errors.InvalidArgument.of("project", "is no project of the release")
                return None
            neighbours = None
            if project_id is not None:
                neighbours = NeighbourFilter(project_id, query.environments, query.state, query.text)
            return found, facts.read_facts(
                transaction, found, neighbours, query.environments, with_stages=query.adoption_stages
            )

        found = self._database.read(work)
        if found is None:
            raise release_not_found(organization_id, name.version)
        return found

    def list_releases(
        self, parent: Key, query: ReleaseQuery, page_size: int, page_token: str
    ) -> tuple[list[Release], str]:
        """A page in the asked order and the token of the next one, empty at the end.

        Raises OrganizationNotFound, ProjectNotFound, InvalidPageToken, InvalidArgument (`query`, `order_by`,
        `environments[i]`), QueryTooLarge.
        """
        order = order_of(query.order)
        terms = parse_query(query.text)
        conditions_of(terms, environments=query.environments, of_projects=bool(query.projects), latest_ids=())
        organization_id = self._organizations.find(parent).id
        wanted = ReleaseFilter(
            organization_id,
            current_caller().user_id,
            query.state,
            self._project_ids(organization_id, query.projects),
            query.environments,
            query.start,
            query.end,
            order,
        )
        digest = tokens.query_digest("releases", wanted, query.text)
        after = _position(page_token, digest, order) if page_token else None
        limit = tokens.page_size(page_size)

        def work(transaction: Transaction) -> list[tuple[Release, Position]]:
            latest = listing.latest_ids(transaction, wanted) if asks_latest(terms) else []
            conditions = conditions_of(
                terms,
                environments=wanted.environments,
                of_projects=wanted.project_ids is not None,
                latest_ids=latest,
            )
            return listing.releases_after(transaction, wanted, conditions, after, limit + 1)

        is_one_statement = order is not ReleaseOrder.SEMVER and not asks_latest(terms)
        rows = self._database.ask(work) if is_one_statement else self._database.read(work)
        page = rows[:limit]
        next_page_token = tokens.encode(page[-1][1], digest) if len(rows) > limit else ""
        return [release for release, _ in page], next_page_token

    def _asked_project(self, organization_id: int, project: str) -> int | None:
        """The project's id, None when none is asked for; one that is not there has an id that no release has."""
        if project in ("", NO_PROJECT):
            return None
        try:
            return self._projects.find(organization_id, parse_key(project)).id
        except errors.ProjectNotFound:
            return _NO_ID

    def _project_ids(self, organization_id: int, projects: Sequence[str]) -> tuple[int, ...] | None:
        keys = [parse_key(project) for project in projects if project != NO_PROJECT]
        if not keys:
            return None
        return tuple(sorted({self._projects.find(organization_id, key).id for key in keys}))


def check_facts_query(query: FactsQuery) -> None:
    """Raise InvalidArgument naming each field that breaks a rule of spec/releases.md 2.5."""
    violations = [
        errors.Violation(field, f"must be one of {', '.join(PERIODS)}")
        for field in ("summary_stats_period", "health_stats_period")
        if getattr(query, field) not in ("", *PERIODS)
    ]
    if query.sort not in ("", ReleaseOrder.DATE.value):
        violations.append(errors.Violation("sort", "must be date: neighbours have no other order"))
    refuse(violations)


def order_of(text: str) -> ReleaseOrder:
    """The order of that name, by date for none. Raises InvalidArgument of `order_by`."""
    if text in _HEALTH_ORDERS:
        raise InvalidArgument.of("order_by", f"{text} needs health data, which is not kept here")
    try:
        return ReleaseOrder(text or ReleaseOrder.DATE.value)
    except ValueError:
        known = ", ".join(order.value for order in ReleaseOrder)
        raise InvalidArgument.of("order_by", f"must be one of {known}") from None


def _position(page_token: str, digest: bytes, order: ReleaseOrder) -> Position:
    position = tokens.decode(page_token, digest)
    if [type(part) for part in position] not in listing.position_types(order):
        raise errors.InvalidPageToken(violations=[errors.Violation("page_token", "is broken")])
    return position
