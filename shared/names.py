"""Resource names: `organizations/<id or slug>/...`, parsed into keys and made from ids.

A part of decimal digits only is an id, anything else a slug; names that are answered carry ids. A version is the rest
of its path, blanks included. Whether the thing exists is for others to decide: a malformed name is INVALID_ARGUMENT.
"""

from dataclasses import dataclass
from typing import TypeAlias

from shared.errors import InvalidArgument

Key: TypeAlias = int | str
"""An id or a slug."""

_ID_MAX = 2**63 - 1
_ORGANIZATIONS = "organizations"


@dataclass(frozen=True, slots=True)
class ProjectName:
    """A project by keys."""

    organization: Key
    project: Key


@dataclass(frozen=True, slots=True)
class MemberName:
    """A member by its organization's key and its own id."""

    organization: Key
    member: int


@dataclass(frozen=True, slots=True)
class TeamName:
    """A team by keys."""

    organization: Key
    team: Key


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """A release by its organization's key and its version."""

    organization: Key
    version: str


@dataclass(frozen=True, slots=True)
class IssueName:
    """An issue by its organization's key and its id or short id."""

    organization: Key
    issue: Key


@dataclass(frozen=True, slots=True)
class RepositoryName:
    """A repository by its organization's key and its own id."""

    organization: Key
    repository: int


@dataclass(frozen=True, slots=True)
class CommitFetchName:
    """A fetch of commits by its organization's key and its own id."""

    organization: Key
    commit_fetch: int


@dataclass(frozen=True, slots=True)
class DeployName:
    """A deploy by its organization's key, its release's version and its own id."""

    organization: Key
    version: str
    deploy: int


def parse_key(text: str) -> Key:
    """The id that canonical decimal digits within 1..2^63-1 stand for; every other text is taken for a slug."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 19 and int(text) <= _ID_MAX:
        return int(text)
    return text


def parse_organization(name: str, field: str) -> Key:
    """The key in `organizations/<key>`. Raises InvalidArgument of `field`."""
    parts = name.split("/")
    if len(parts) != 2 or parts[0] != _ORGANIZATIONS or not _is_plain(parts[1]):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}")
    return parse_key(parts[1])


def parse_project(name: str, field: str) -> ProjectName:
    """The keys in `organizations/<key>/projects/<key>`. Raises InvalidArgument of `field`."""
    return ProjectName(*_parse_child(name, "projects", field, "{id or slug}"))


def parse_member(name: str, field: str) -> MemberName:
    """The keys in `organizations/<key>/members/<id>`. Raises InvalidArgument of `field`."""
    organization, member = _parse_child(name, "members", field, "{id}")
    if not isinstance(member, int):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}/members/{id}")
    return MemberName(organization, member)


def parse_team(name: str, field: str) -> TeamName:
    """The keys in `organizations/<key>/teams/<key>`. Raises InvalidArgument of `field`."""
    return TeamName(*_parse_child(name, "teams", field, "{id or slug}"))


def parse_release(name: str, field: str) -> ReleaseName:
    """The key and version in `organizations/<key>/releases/<version>`. Raises InvalidArgument of `field`."""
    parts = name.split("/", 3)
    if (
        len(parts) != 4
        or (parts[0], parts[2]) != (_ORGANIZATIONS, "releases")
        or not (_is_plain(parts[1]) and _is_plain(parts[3]))
    ):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}/releases/{version}")
    return ReleaseName(parse_key(parts[1]), parts[3])


def parse_issue(name: str, field: str) -> IssueName:
    """The keys in `organizations/<key>/issues/<key>`. Raises InvalidArgument of `field`."""
    return IssueName(*_parse_child(name, "issues", field, "{id or short id}"))


def parse_repository(name: str, field: str) -> RepositoryName:
    """The key and id in `organizations/<key>/repositories/<id>`. Raises InvalidArgument of `field`."""
    organization, repository = _parse_child(name, "repositories", field, "{id}")
    if not isinstance(repository, int):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}/repositories/{id}")
    return RepositoryName(organization, repository)


def parse_commit_fetch(name: str, field: str) -> CommitFetchName:
    """The key and id in `organizations/<key>/commitFetches/<id>`. Raises InvalidArgument of `field`."""
    organization, commit_fetch = _parse_child(name, "commitFetches", field, "{id}")
    if not isinstance(commit_fetch, int):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}/commitFetches/{id}")
    return CommitFetchName(organization, commit_fetch)


def parse_deploy(name: str, field: str) -> DeployName:
    """The key, version and id in `organizations/<key>/releases/<version>/deploys/<id>`. Raises InvalidArgument of
    `field`.
    """
    parts = name.split("/")
    deploy = parse_key(parts[5]) if len(parts) == 6 and parts[4] == "deploys" else ""
    if (
        not isinstance(deploy, int)
        or (parts[0], parts[2]) != (_ORGANIZATIONS, "releases")
        or not (_is_plain(parts[1]) and _is_plain(parts[3]))
    ):
        raise InvalidArgument.of(field, "must read organizations/{id or slug}/releases/{version}/deploys/{id}")
    return DeployName(parse_key(parts[1]), parts[3], deploy)


def parse_numbered(name: str, collection: str, field: str) -> int:
    """The id in `<collection>/<id>`, for things that have no slugs. Raises InvalidArgument of `field`."""
    first, _, last = name.partition("/")
    key = parse_key(last)
    if first != collection or not isinstance(key, int):
        raise InvalidArgument.of(field, f"must read {collection}/{{id}}")
    return key


def organization_name(organization: Key) -> str:
    """`organizations/<key>`."""
    return f"organizations/{organization}"


def project_name(organization: Key, project: Key) -> str:
    """`organizations/<key>/projects/<key>`."""
    return f"organizations/{organization}/projects/{project}"


def member_name(organization: Key, member: int) -> str:
    """`organizations/<key>/members/<id>`."""
    return f"organizations/{organization}/members/{member}"


def team_name(organization: Key, team: Key) -> str:
    """`organizations/<key>/teams/<key>`."""
    return f"organizations/{organization}/teams/{team}"


def release_name(organization: Key, version: str) -> str:
    """`organizations/<key>/releases/<version>`."""
    return f"organizations/{organization}/releases/{version}"


def issue_name(organization: Key, issue: Key) -> str:
    """`organizations/<key>/issues/<key>`."""
    return f"organizations/{organization}/issues/{issue}"


def repository_name(organization: Key, repository: int) -> str:
    """`organizations/<key>/repositories/<id>`."""
    return f"organizations/{organization}/repositories/{repository}"


def commit_fetch_name(organization: Key, commit_fetch: int) -> str:
    """`organizations/<key>/commitFetches/<id>`."""
    return f"organizations/{organization}/commitFetches/{commit_fetch}"


def deploy_name(organization: Key, version: str, deploy: int) -> str:
    """`organizations/<key>/releases/<version>/deploys/<id>`."""
    return f"{release_name(organization, version)}/deploys/{deploy}"


def environment_name(organization: Key, environment: int) -> str:
    """`organizations/<key>/environments/<id>`."""
    return f"organizations/{organization}/environments/{environment}"


def announcement_name(organization: Key, number: int) -> str:
    """`organizations/<key>/announcements/<number>`."""
    return f"organizations/{organization}/announcements/{number}"


def pull_request_name(organization: Key, repository: int, key: str) -> str:
    """`organizations/<key>/repositories/<id>/pullRequests/<key>`."""
    return f"organizations/{organization}/repositories/{repository}/pullRequests/{key}"


def _parse_child(name: str, collection: str, field: str, child: str) -> tuple[Key, Key]:
    parts = name.split("/")
    if (
        len(parts) != 4
        or (parts[0], parts[2]) != (_ORGANIZATIONS, collection)
        or not (_is_plain(parts[1]) and _is_plain(parts[3]))
    ):
        raise InvalidArgument.of(field, f"must read organizations/{{id or slug}}/{collection}/{child}")
    return parse_key(parts[1]), parse_key(parts[3])


def _is_plain(part: str) -> bool:
    """Not empty, and without NUL, which no stored text can hold."""
    return bool(part) and "\0" not in part
