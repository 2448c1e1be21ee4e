"""Collects the parts of a stream of commits, within limits of one stream and of all streams of the process.

Nothing is applied before the last part has come; then it is one call's commits, with one digest, whatever the parts.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from region_silo.releases.commits import CommitSpec, GivenCommits, check_commits, check_file_changes
from shared import deadline
from shared.errors import LimitExceeded, ResourceExhausted

STREAM_COMMITS_MAX = 100_000
STREAM_FILE_CHANGES_MAX = 300_000
STREAM_BYTES_MAX = 32 * 1024 * 1024
"""Of all parts' messages together."""

MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""What all streams of a process hold together, told by estimate."""

_COMMIT_BYTES: Final = 800
_FILE_CHANGE_BYTES: Final = 200
_RETRY_S: Final = 5


@dataclass(frozen=True)
class CommitPart:
    """The commits of one message, and its commits as bytes."""

    specs: list[CommitSpec]
    encoded: bytes


class StreamMemory:
    """What streams that have not ended hold. Safe to share among threads."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator["HeldBytes"]:
        """What one stream holds; all of it is given back at the end of the block."""
        held = HeldBytes(self)
        try:
            yield held
        finally:
            self._give_back(held.count)

    def take(self, count: int) -> None:
        """Raises ResourceExhausted when there is no room for that many bytes more."""
        with self._lock:
            if self._bytes + count > self._bytes_max:
                raise ResourceExhausted("other streams of commits fill the memory for them", retry_after_s=_RETRY_S)
            self._bytes += count

    def _give_back(self, count: int) -> None:
        with self._lock:
            self._bytes -= count


class HeldBytes:
    """The share of one stream."""

    def __init__(self, memory: StreamMemory) -> None:
        self._memory = memory
        self.count = 0

    def add(self, count: int) -> None:
        """Raises as StreamMemory.take; then nothing is added."""
        self._memory.take(count)
        self.count += count


def collect(parts: Iterator[CommitPart], held: HeldBytes, field: str) -> GivenCommits:
    """All commits in order, checked; violations count commits over the whole stream.

    Raises InvalidArgument, LimitExceeded (its metadata tell `limit` and `maximum`), ResourceExhausted,
    DeadlineExceeded.
    """
    specs: list[CommitSpec] = []
    digest = hashlib.sha256()
    size = file_changes = 0
    for part in parts:
        deadline.check()
        changes = sum(len(spec.files) for spec in part.specs)
        size += len(part.encoded)
        file_changes += changes
        _limit("commits", len(specs) + len(part.specs), STREAM_COMMITS_MAX)
        _limit("bytes", size, STREAM_BYTES_MAX)
        check_file_changes(file_changes, STREAM_FILE_CHANGES_MAX)
        held.add(len(part.encoded) + _COMMIT_BYTES * len(part.specs) + _FILE_CHANGE_BYTES * changes)
        check_commits(part.specs, field, first=len(specs))
        digest.update(part.encoded)
        specs += part.specs
    return GivenCommits(specs, digest.digest())


def _limit(what: str, count: int, maximum: int) -> None:
    if count > maximum:
        raise LimitExceeded(
            f"{count} {what} in one stream are more than {maximum}",
            metadata={"limit": what, "maximum": str(maximum)},
        )
