"""What SetCommits costs over the bare COPY of the rows that it makes.

Floor and call are measured in turn (A B A B) and compared by their medians, for the machine is shared. The floor copies
the same commits and links by binary COPY, in one transaction, into tables made like ours with all their indexes. A call
is timed from the client's stub to its answer, through a real channel with all interceptors.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client.client import new_request_id
from tests.bench.environment import REGION, Environment
from tests.bench.measuring import Figure, from_runs, seconds
from tests.region_features import RegionFeatures, opened
from tests.statements import counted

COMMITS = 10_000
AUTHORS = 50
REPOSITORIES = 3
_BEGINS_AT = datetime(2026, 1, 1, tzinfo=UTC)
_FLOOR_TABLES = ("commit", "release_commit")
_COPY_COMMITS = """
COPY floor_commit (id, organization_id, repository_id, key, author_id, message, commit_time, date_added)
FROM STDIN (FORMAT binary)
"""
_COMMIT_TYPES = ("int8", "int8", "int8", "text", "int8", "text", "timestamptz", "timestamptz")
_COPY_LINKS = """
COPY floor_release_commit
    (release_id, commit_id, organization_id, position, repository_id, layer, sort_time_us)
FROM STDIN (FORMAT binary)
"""
_LINK_TYPES = ("int8",) * 7


def run(environment: Environment) -> dict[str, Figure]:
    """set_commits_10k_vs_copy and its replay, in seconds, and set_commits_statements."""
    organization = environment.organization()
    project = project_pb.Project(display_name="web", slug="web")
    environment.region.projects.CreateProject(
        project_pb.CreateProjectRequest(parent=organization, project=project, request_id=new_request_id())
    )
    releases = environment.region.releases
    key = organization.removeprefix("organizations/")
    firsts, replays = [], []
    with copying(environment.stack.database_url(REGION)) as copy:
        for number in range(environment.rounds + 1):
            floor = copy(COMMITS)
            first, again = _requests(releases, key, "web", secrets.token_hex(8))
            ours = [seconds(partial(releases.SetCommits, request, timeout=25)) for request in (first, again)]
            if number:  # the first round warms up
                firsts.append((floor, ours[0]))
                replays.append((floor, ours[1]))
    with opened(environment.empty_region_database(), None) as features:
        return {
            "set_commits_10k_vs_copy": from_runs(firsts, unit="s"),
            "set_commits_replay_10k_vs_copy": from_runs(replays, unit="s"),
            "set_commits_statements": _statements(features),
        }


@contextmanager
def copying(url: str) -> Iterator[Callable[[int], float]]:
    """The floor in a region's database: copies so many new commits and their links, and gives the seconds it took."""
    numbers = itertools.count()
    with psycopg.connect(url) as connection:
        _make_floor(connection)
        try:
            yield lambda size: seconds(partial(_copy, connection, *_floor_rows(next(numbers), size)))
        finally:
            connection.rollback()
            _drop_floor(connection)


def set_new(releases: Any, organization: str, size: int) -> float:
    """The seconds of one call with so many new commits, for a new release in the project `web`."""
    request, _again = _requests(releases, organization, "web", secrets.token_hex(8), size)
    return seconds(partial(releases.SetCommits, request, timeout=25))


def _statements(features: RegionFeatures) -> Figure:
    """SQL statements of a call with 10 commits (`floor`) and with all (`ours`); `value` is how many more those are."""
    counts = []
    for size in (10, COMMITS):
        request, _again = _requests(features.client.release, "acme", "web", secrets.token_hex(8), size)
        with counted(features.database.engine) as statements:
            features.client.release.SetCommits(request, timeout=25)
        # The cache looks at its gate by the clock, not by the call.
        counts.append(sum("model_cache_gate" not in statement for statement in statements))
    few, many = counts
    return Figure(many - few, few, many, "statements", ((few, many),), "how many more for 10,000 commits than for 10")


def _requests(
    releases: Any, organization: str, project: str, mark: str, size: int = COMMITS
) -> tuple[release_pb.SetCommitsRequest, release_pb.SetCommitsRequest]:
    """A call with new commits for a new release, and the same call again under another request id."""
    version = f"bench@1.0-{mark}"
    releases.CreateRelease(
        release_pb.CreateReleaseRequest(
            parent=f"organizations/{organization}",
            release=release_pb.Release(version=version),
            projects=[project],
            request_id=new_request_id(),
        )
    )
    first = release_pb.SetCommitsRequest(
        release=f"organizations/{organization}/releases/{version}",
        mode=commits_pb.COMMIT_MODE_REPLACE_ALL,
        commits=release_pb.CommitSet(commits=_specs(mark)[:size]),
        request_id=new_request_id(),
    )
    again = release_pb.SetCommitsRequest()
    again.CopyFrom(first)
    again.request_id = new_request_id()
    return first, again


def _specs(mark: str) -> list[release_pb.CommitSpec]:
    return [
        release_pb.CommitSpec(
            id=_key(mark, n),
            repository=f"repository-{n % REPOSITORIES}",
            message=_message(n),
            author_name=f"Author {n % AUTHORS}",
            author_email=f"author-{n % AUTHORS}@example.com",
            commit_time=Timestamp(seconds=int(_BEGINS_AT.timestamp()) + n),
        )
        for n in range(COMMITS)
    ]


def _key(mark: str, n: int) -> str:
    return f"{mark:0>16}{n * 2654435761 % 2**32:08x}{n:016x}"


def _message(n: int) -> str:
    return f"Change number {n}: what it does and why it does that, in one line"


def _make_floor(connection: psycopg.Connection[Any]) -> None:
    _drop_floor(connection)
    for table in _FLOOR_TABLES:
        connection.execute(f"CREATE TABLE floor_{table} (LIKE {table} INCLUDING ALL EXCLUDING IDENTITY)")
    connection.commit()


def _drop_floor(connection: psycopg.Connection[Any]) -> None:
    for table in _FLOOR_TABLES:
        connection.execute(f"DROP TABLE IF EXISTS floor_{table}")
    connection.commit()


def _floor_rows(number: int, size: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The commits and links that one call with `size` commits makes, as rows."""
    first_id, release_id, org = number * COMMITS + 1, number + 1, 100
    begins_us = int(_BEGINS_AT.timestamp()) * 1_000_000
    commits = []
    links = []
    for n in range(size):
        repository_id, time = n % REPOSITORIES + 1, _BEGINS_AT + timedelta(seconds=n)
        commits.append(
            (first_id + n, org, repository_id, _key(f"{number:x}", n), n % AUTHORS + 1, _message(n), time, _BEGINS_AT)
        )
        links.append((release_id, first_id + n, org, n + 1, repository_id, 0, begins_us + n * 1_000_000))
    return commits, links


def _copy(connection: psycopg.Connection[Any], commits: list[tuple[Any, ...]], links: list[tuple[Any, ...]]) -> None:
    """The floor: the rows of one call, in one transaction."""
    for statement, types, rows in ((_COPY_COMMITS, _COMMIT_TYPES, commits), (_COPY_LINKS, _LINK_TYPES, links)):
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
    connection.commit()
