"""What a repository is, which of its fields may change, and what its texts may hold.

A name belongs to at most one active repository without a provider; of several that have providers the newest is meant
by the name. An external id belongs to at most one repository of a provider.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from region_silo.releases.domain import is_url
from shared.errors import RepositoryNotFound, Resource, Violation, refuse
from shared.names import repository_name
from shared.update_mask import chosen_paths

MUTABLE_PATHS = ("display_name", "url", "provider", "external_id", "provider_settings", "state")


class RepositoryState(IntEnum):
    """Whether commits and refs may name it; the numbers stand in the rows. Imported rows may have others."""

    ACTIVE = 0
    HIDDEN = 1


@dataclass(frozen=True)
class RepositoryFields:
    """The fields that a client sets. Empty texts, no settings and None are no value; a state of None means active."""

    display_name: str = ""
    url: str = ""
    provider: str = ""
    external_id: str = ""
    provider_settings: Mapping[str, str] = field(default_factory=dict)
    state: RepositoryState | None = None


@dataclass(frozen=True)
class Repository:
    """A repository as it is shown."""

    id: int
    organization_id: int
    fields: RepositoryFields
    create_time: datetime


@dataclass(frozen=True)
class RepositoryCommit:
    """A commit of a repository; empty texts are unknown."""

    id: int
    key: str
    message: str
    author_name: str
    author_email: str
    commit_time: datetime | None


def repository_not_found(organization_id: int, repository_id: int) -> RepositoryNotFound:
    """The one refusal for a repository that is not there, and for one that the caller may not know."""
    return RepositoryNotFound(resource=Resource("siloway/Repository", repository_name(organization_id, repository_id)))


def check_new(fields: RepositoryFields) -> None:
    """Raise InvalidArgument with one violation for each broken rule of a new repository."""
    refuse(_violations(fields, frozenset(MUTABLE_PATHS)))


def changed_paths(fields: RepositoryFields, mask: Sequence[str] | None) -> frozenset[str]:
    """The paths that an update sets: those of the mask, all for `*`, those with a value when there is no mask.

    Raises InvalidUpdateMask for a path that is none of MUTABLE_PATHS, InvalidArgument for values that break a rule.
    """
    paths = chosen_paths({path: getattr(fields, path) for path in MUTABLE_PATHS}, mask)
    refuse(_violations(fields, paths))
    return paths


def apply_fields(current: RepositoryFields, wanted: RepositoryFields, paths: frozenset[str]) -> RepositoryFields:
    """The fields after an update of these paths; a state without a value is active."""
    changed = replace(current, **{path: getattr(wanted, path) for path in paths})
    return replace(changed, state=RepositoryState.ACTIVE if changed.state is None else changed.state)


def _violations(fields: RepositoryFields, paths: frozenset[str]) -> list[Violation]:
    violations = []
    if "display_name" in paths and not fields.display_name.strip():
        violations.append(Violation("repository.display_name", "must not be blank"))
    if "url" in paths and fields.url and not is_url(fields.url):
        violations.append(Violation("repository.url", "must be an http or https address"))
    return violations
