"""What a client's list of commits means, before any of it is written.

The result is newest first, without the commits that ask to be skipped, each (repository, key) once; absent means
absent, however it was said. Rules: spec/releases.md 2.9 and 4.2 (4, 5).
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import InvalidArgument, Violation

SKIP_MARK = "#skipsentry"
EMAIL_LENGTH_MAX = 200
_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
_NOT_LOCAL = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True)
class FileChange:
    """One file that a commit adds (A), deletes (D) or modifies (M)."""

    path: str
    type: str


@dataclass(frozen=True)
class CommitSpec:
    """A commit as a client tells it; an empty text tells nothing."""

    key: str
    repository: str = ""
    message: str = ""
    author_name: str = ""
    author_email: str = ""
    commit_time: datetime | None = None
    files: tuple[FileChange, ...] = ()


@dataclass(frozen=True)
class Author:
    """Who wrote a commit: the lower-case address is the identity, the name may be unknown."""

    email: str
    name: str | None


@dataclass(frozen=True)
class ReleaseCommit:
    """A commit in its place in a release; None is what the client does not know."""

    repository: str
    key: str
    message: str | None
    author: Author | None
    commit_time: datetime | None
    files: tuple[FileChange, ...]


def default_repository(organization_id: int) -> str:
    """The repository of commits that name none."""
    return f"organization-{organization_id}"


def check_commits(specs: Sequence[CommitSpec], field: str) -> None:
    """Raise InvalidArgument with a violation for each text that cannot be stored, like `<field>[3].id`.

    Lengths are checked where the message comes in.
    """
    violations = [found for index, spec in enumerate(specs) for found in _violations(spec, f"{field}[{index}]")]
    if violations:
        first = violations[0]
        raise InvalidArgument(f"{first.field}: {first.description}", violations=violations)


def normalise(specs: Sequence[CommitSpec], repository: str) -> list[ReleaseCommit]:
    """The commits to write, newest first; `repository` is for those that name none.

    Those with a time come first, newest first; equal times, and those without one, keep the client's order. Of several
    with one (repository, key) the first of that order stays.
    """
    kept = [spec for spec in specs if SKIP_MARK not in spec.message]
    kept.sort(key=_age, reverse=True)
    commits: dict[tuple[str, str], ReleaseCommit] = {}
    for spec in kept:
        name = spec.repository if spec.repository.strip() else repository
        if (name, spec.key) not in commits:
            commits[name, spec.key] = ReleaseCommit(
                repository=name,
                key=spec.key,
                message=spec.message or None,
                author=author_of(spec.author_name, spec.author_email),
                commit_time=spec.commit_time,
                files=spec.files,
            )
    return list(commits.values())


def author_of(name: str, email: str) -> Author | None:
    """The author that a name and an address tell; None when they tell nobody.

    A blank address, unlike an empty one, says that there is no author. Without an address one is made from the name.
    """
    name = name.strip()
    if email:
        address = email.strip().lower()
    else:
        address = _local_address(name) if name else ""
    return Author(_fitted(address), name or None) if address else None


def _age(spec: CommitSpec) -> tuple[bool, datetime]:
    # sorted(reverse=True) is stable: equal ones keep their order.
    return (spec.commit_time is not None, spec.commit_time or _EPOCH)


def _local_address(name: str) -> str:
    cleaned = _NOT_LOCAL.sub("", name).lower()
    if not cleaned.strip("-_."):
        # Names of other scripts must not all become one person.
        cleaned = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{cleaned}@localhost"


def _fitted(address: str) -> str:
    # Lower case can be longer than upper case; a plain cut would make one author of two.
    if len(address) <= EMAIL_LENGTH_MAX:
        return address
    return f"{address[: EMAIL_LENGTH_MAX - 17]}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def _violations(spec: CommitSpec, field: str) -> Iterator[Violation]:
    if not spec.key.strip():
        yield Violation(f"{field}.id", "must not be blank")
    texts = {
        "id": spec.key,
        "repository": spec.repository,
        "message": spec.message,
        "author_name": spec.author_name,
        "author_email": spec.author_email,
    }
    for name, text in texts.items():
        if "\0" in text:
            yield Violation(f"{field}.{name}", "must not hold NUL")
    for index, change in enumerate(spec.files):
        if "\0" in change.path:
            yield Violation(f"{field}.patch_set[{index}].path", "must not hold NUL")
