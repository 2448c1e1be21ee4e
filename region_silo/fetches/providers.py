"""What fetches commits: one provider for each word that repositories may have as theirs, and how one may fail.

A provider reads, and changes nothing. It is called outside of transactions, may be called again for the same ref, and
keeps its own deadline and limits. The reasons of its failures are those of the other refusals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from region_silo.releases.commits import CommitSpec

COMMITS_WITHOUT_START = 20
"""How many of the newest commits are fetched when nobody knows where to begin."""


class SourceError(Exception):
    """A repository did not give its commits; `is_transient` when trying again may help."""

    reason: ClassVar[str]
    is_transient: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class SourceNotFoundError(SourceError):
    """There is no such repository, or no such commit in it."""

    reason = "RESOURCE_NOT_FOUND"


class SourceUnreachableError(SourceError):
    """It cannot be read now."""

    reason = "UNAVAILABLE"
    is_transient = True


class SourceRefusedError(SourceError):
    """It may not be read, or was asked in a way that it does not understand."""

    reason = "FAILED_PRECONDITION"


class SourceTooLargeError(SourceError):
    """There is more between the two commits than a fetch takes."""

    reason = "LIMIT_EXCEEDED"


@dataclass(frozen=True)
class SourceRepository:
    """A repository as its provider needs to know it."""

    organization_id: int
    name: str
    external_id: str
    settings: Mapping[str, str]


class Provider(Protocol):
    """Reads the repositories of one kind."""

    def compare(self, repository: SourceRepository, start: str | None, end: str, limit: int) -> Sequence[CommitSpec]:
        """The commits that `end` has and `start` has not, `end` first, with their messages, authors, times and files.

        Without a start the newest COMMITS_WITHOUT_START up to `end`, or `limit` when that is less. Each names the
        repository and keeps the limits of CommitSpec on the wire. Raises SourceError; more than `limit` between two
        commits is SourceTooLargeError.
        """
