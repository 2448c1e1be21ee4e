"""What a client's list of commits means, before any of it is written.

The result is newest first, without the commits that ask to be skipped, each (repository, key) once; absent means
absent, however it was said. Rules: spec/releases.md 2.9 and 4.2 (4, 5). Commits come by the ten thousand: here they are
named tuples, times are whole microseconds, and what is the same for many is made once.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import chain
from operator import attrgetter
from typing import Final, NamedTuple

from shared.errors import LimitExceeded, Violation, refuse

SKIP_MARK = "#skipsentry"
EMAIL_LENGTH_MAX = 200
COMMITS_MAX = 10_000
"""Commits in one message; the contract says so too."""

FILE_CHANGES_MAX = 100_000
"""File changes in one message, over all its commits; a commit alone may have 1000."""

NO_TIME: Final = -(2**63)
"""Stands, where commits are put in order, for the time of one without: older than every time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NOT_LOCAL = re.compile(r"[^A-Za-z0-9_.-]")


class CommitMode(Enum):
    """What becomes of the commits that a release has; the numbers are those of the contract."""

    REPLACE_ALL = 1
    REPLACE_REPOSITORY = 2
    APPEND = 3


class FileChange(NamedTuple):
    """One file that a commit adds (A), deletes (D) or modifies (M)."""

    path: str
    type: str


class CommitSpec(NamedTuple):
    """A commit as a client tells it; an empty text tells nothing. Times are microseconds since 1970 (time_us)."""

    key: str
    repository: str = ""
    message: str = ""
    author_name: str = ""
    author_email: str = ""
    commit_time_us: int | None = None
    files: tuple[FileChange, ...] = ()


@dataclass(frozen=True)
class GivenCommits:
    """The commits of one call, and the SHA-256 of the bytes that told them: the same bytes are the same commits."""

    specs: Sequence[CommitSpec]
    digest: bytes


class Author(NamedTuple):
    """Who wrote a commit: the lower-case address is the identity, the name may be unknown."""

    email: str
    name: str | None


class ReleaseCommit(NamedTuple):
    """A commit in its place in a release; None is what the client does not know."""

    repository: str
    key: str
    message: str | None
    author: Author | None
    commit_time_us: int | None
    files: tuple[FileChange, ...]


def time_us(time: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    return (time - _EPOCH) // _MICROSECOND


def default_repository(organization_id: int) -> str:
    """The repository of commits that name none."""
    return f"organization-{organization_id}"


def check_commits(specs: Sequence[CommitSpec], field: str, *, first: int = 0) -> None:
    """Raise InvalidArgument with a violation for each text that cannot be stored, like `<field>[3].id`.

    `first` is the index of the first of them. Lengths are checked where the message comes in. Raises LimitExceeded when
    there are too many file changes in all.
    """
    check_file_changes(sum(map(len, map(attrgetter("files"), specs))), FILE_CHANGES_MAX)
    if all(map(str.strip, map(attrgetter("key"), specs))) and not _has_nul(specs):
        return
    violations = [found for index, spec in enumerate(specs, first) for found in _violations(spec, f"{field}[{index}]")]
    refuse(violations)


def check_file_changes(count: int, maximum: int) -> None:
    """Raise LimitExceeded when `count` is more than `maximum`."""
    if count > maximum:
        raise LimitExceeded(
            f"{count} file changes are more than {maximum}",
            metadata={"limit": "file_changes", "maximum": str(maximum)},
        )


def named_repositories(specs: Sequence[CommitSpec], repository: str) -> list[str]:
    """The repositories that the call names, sorted, those of skipped commits among them."""
    return sorted({name if name.strip() else repository for name in set(map(attrgetter("repository"), specs))})


def normalise(specs: Sequence[CommitSpec], repository: str) -> list[ReleaseCommit]:
    """The commits to write, newest first; `repository` is for those that name none.

    Those with a time come first, newest first; equal times, and those without one, keep the client's order. Of several
    with one (repository, key) the first of that order stays.
    """
    kept = [spec for spec in specs if SKIP_MARK not in spec.message]
    kept.sort(key=_age, reverse=True)  # stable: equal ones keep their order
    authors: dict[tuple[str, str], Author | None] = {}
    commits: dict[tuple[str, str], ReleaseCommit] = {}
    for key, named, message, author_name, author_email, commit_time_us, files in kept:
        name = named if named and not named.isspace() else repository
        if (name, key) in commits:
            continue
        told = (author_name, author_email)
        if told not in authors:
            authors[told] = author_of(author_name, author_email)
        commits[name, key] = ReleaseCommit(name, key, message or None, authors[told], commit_time_us, files)
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


def _age(spec: CommitSpec) -> int:
    return NO_TIME if spec.commit_time_us is None else spec.commit_time_us


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


def _has_nul(specs: Sequence[CommitSpec]) -> bool:
    texts = chain.from_iterable(spec[:5] for spec in specs)
    paths = (change.path for spec in specs if spec.files for change in spec.files)
    return "\0" in "".join(chain(texts, paths))


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
