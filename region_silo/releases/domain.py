"""What a release is, which of its fields may change, and how a field mask chooses among them.

An update either names its fields or takes those that have a value; a named field without a value is cleared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum
from urllib.parse import urlsplit

from region_silo.releases.versions import VersionInfo, broken_rules
from shared.errors import ReleaseNotFound, Resource, Violation, refuse
from shared.names import release_name
from shared.update_mask import chosen_paths

MUTABLE_PATHS = ("ref", "url", "release_time", "state", "owner")
COMMITS_PAGE_BYTES_MAX = 1024 * 1024
"""A page of commits ends early when their messages are longer than this: an answer must fit a client's limit."""

AUTHORS_SHOWN_MAX = 1000
"""The most authors that a release shows; a list of a hundred thousand commits has more than an answer can hold."""

_URL_SCHEMES = frozenset({"http", "https"})


class ReleaseState(IntEnum):
    """Whether a release is in view; the numbers stand in the rows."""

    OPEN = 0
    ARCHIVED = 1


@dataclass(frozen=True)
class ReleaseFields:
    """The fields that a client sets. Empty texts and None are no value; a state that is None means open.

    `owner` is the id of a user.
    """

    ref: str = ""
    url: str = ""
    release_time: datetime | None = None
    state: ReleaseState | None = None
    owner: int | None = None


@dataclass(frozen=True)
class Commit:
    """A commit as a release shows it; empty texts are unknown."""

    key: str
    repository: str
    message: str
    author_name: str
    author_email: str
    commit_time: datetime | None


@dataclass(frozen=True)
class RepositoryHead:
    """The newest commit of one repository."""

    repository: str
    commit_key: str


@dataclass(frozen=True)
class Release:
    """A release as it is shown; lists leave last_commit, heads and authors empty.

    `authors` are the first AUTHORS_SHOWN_MAX of `author_count`.
    """

    id: int
    organization_id: int
    version: str
    project_ids: tuple[int, ...]
    ref: str
    url: str
    create_time: datetime
    release_time: datetime | None
    state: ReleaseState
    commit_count: int
    version_info: VersionInfo | None
    etag: str
    last_commit: Commit | None = None
    heads: tuple[RepositoryHead, ...] = field(default=())
    authors: tuple[str, ...] = field(default=())
    owner: int | None = None
    user_agent: str = ""
    deploy_count: int = 0
    last_deploy_id: int | None = None
    author_count: int = 0


@dataclass(frozen=True)
class CreatedRelease:
    """A release, and whether neither it nor a link to a project is new."""

    release: Release
    already_existed: bool


def etag_of(release_id: int, row_version: int) -> str:
    """Changes with every change of the release's row, and differs between releases."""
    return f"{release_id:x}-{row_version:x}"


def release_not_found(organization_id: int, version: str) -> ReleaseNotFound:
    """The one refusal for a release that is not there, and for one that the caller may not know."""
    return ReleaseNotFound(resource=Resource("siloway/Release", release_name(organization_id, version)))


def check_new_release(version: str, fields: ReleaseFields) -> None:
    """Raise InvalidArgument with one violation for each broken rule of a new release."""
    violations = [Violation("release.version", rule) for rule in broken_rules(version)]
    refuse([*violations, *_field_violations(fields, MUTABLE_PATHS)])


def changed_paths(fields: ReleaseFields, mask: Sequence[str] | None) -> frozenset[str]:
    """The paths that an update sets: those of the mask, all for `*`, those with a value when there is no mask.

    Raises InvalidUpdateMask for a path that is none of MUTABLE_PATHS, InvalidArgument for values that break a rule.
    """
    paths = chosen_paths({path: getattr(fields, path) for path in MUTABLE_PATHS}, mask)
    refuse(_field_violations(fields, paths))
    return paths


def apply_fields(current: ReleaseFields, wanted: ReleaseFields, paths: frozenset[str]) -> ReleaseFields:
    """The fields after an update of these paths; a state without a value is open."""
    changed = replace(current, **{path: getattr(wanted, path) for path in paths})
    return replace(changed, state=changed.state or ReleaseState.OPEN)


def is_url(text: str) -> bool:
    """Whether it is an http or https address with a host, without blanks and control characters."""
    if any(character <= " " or character == "\x7f" for character in text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme.lower() in _URL_SCHEMES and bool(parts.hostname)
    except ValueError:
        return False


def _field_violations(fields: ReleaseFields, paths: Sequence[str] | frozenset[str]) -> list[Violation]:
    violations = []
    if "url" in paths and fields.url and not is_url(fields.url):
        violations.append(Violation("release.url", "must be an http or https address"))
    return violations
