"""What a deploy is, which of its fields may change, and what an environment may be called.

A deploy runs while it has no finish time. Once it is announced its finish time stays, for others have acted on it.
Rules: spec/releases.md 1 (Environment, Deploy) and 2.11.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from region_silo.releases.domain import is_url
from shared.errors import Violation, refuse
from shared.update_mask import chosen_paths

MUTABLE_PATHS = ("display_name", "url", "start_time", "finish_time")
ENVIRONMENT_LENGTH_MAX = 64

_NOT_IN_ENVIRONMENTS = frozenset("\n\r\t\f/\0")
_RESERVED = "none"


@dataclass(frozen=True)
class DeployFields:
    """The fields that a client may change. Empty texts and None are no value; without a finish time it runs."""

    display_name: str = ""
    url: str = ""
    start_time: datetime | None = None
    finish_time: datetime | None = None


@dataclass(frozen=True)
class Deploy:
    """A deploy as it is shown; `project_ids` are those that the caller may see."""

    id: int
    organization_id: int
    version: str
    environment: str
    display_name: str
    url: str
    start_time: datetime | None
    finish_time: datetime | None
    announce_time: datetime | None
    create_time: datetime
    project_ids: tuple[int, ...]
    etag: str


@dataclass(frozen=True)
class Environment:
    """A place that releases go to."""

    id: int
    organization_id: int
    name: str


def etag_of(deploy_id: int, row_version: int) -> str:
    """Changes with every change of the deploy's row, and differs between deploys."""
    return f"{deploy_id:x}-{row_version:x}"


def environment_rules_broken(name: str) -> list[str]:
    """The rules that the name of a deploy's environment breaks, in words; none for a good one."""
    if not name:
        return ["is required"]
    rules = []
    if len(name) > ENVIRONMENT_LENGTH_MAX:
        rules.append(f"must not be longer than {ENVIRONMENT_LENGTH_MAX} characters")
    if not _NOT_IN_ENVIRONMENTS.isdisjoint(name):
        rules.append("must not hold /, line breaks, form feeds, tabs and NUL")
    if name.lower() == _RESERVED:
        rules.append(f"must not be {_RESERVED!r}")
    return rules


def check_new_deploy(environment: str, fields: DeployFields, *, running: bool) -> None:
    """Raise InvalidArgument with one violation for each broken rule of a new deploy."""
    violations = [Violation("deploy.environment", rule) for rule in environment_rules_broken(environment)]
    if running and fields.finish_time is not None:
        violations.append(Violation("running", "a deploy that runs has no finish time"))
    refuse([*violations, *_field_violations(fields, MUTABLE_PATHS)])


def changed_paths(fields: DeployFields, mask: Sequence[str] | None) -> frozenset[str]:
    """The paths that an update sets: those of the mask, all for `*`, those with a value when there is no mask.

    Raises InvalidUpdateMask for a path that is none of MUTABLE_PATHS, InvalidArgument for values that break a rule.
    """
    paths = chosen_paths({path: getattr(fields, path) for path in MUTABLE_PATHS}, mask)
    refuse(_field_violations(fields, paths))
    return paths


def apply_fields(current: DeployFields, wanted: DeployFields, paths: frozenset[str]) -> DeployFields:
    """The fields after an update of these paths."""
    return replace(current, **{path: getattr(wanted, path) for path in paths})


def _field_violations(fields: DeployFields, paths: Sequence[str] | frozenset[str]) -> list[Violation]:
    violations = []
    if "url" in paths and fields.url and not is_url(fields.url):
        violations.append(Violation("deploy.url", "must be an http or https address"))
    return violations
