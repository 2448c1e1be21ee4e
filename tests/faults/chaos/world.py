"""What the callers have asked for and heard, told to one another: whose organizations there are, and every request
with all its answers.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from siloway.control.v1 import organization_service_pb2 as organization_pb

from siloway_client.refusal import Refusal

Change = organization_pb.OrganizationChange

EXPECTED = {
    "SLUG_TAKEN": "ALREADY_EXISTS",
    "SLUG_HELD": "ABORTED",
    "SLUG_CHANGE_PENDING": "ABORTED",
    "SLUGS_MISMATCH": "FAILED_PRECONDITION",
    "REDIRECT_LIMIT": "FAILED_PRECONDITION",
    "ABORTED": "ABORTED",
    "WRITE_CONFLICT": "ABORTED",
}
"""The refusals that changes of organizations may meet, reason -> code. Nothing was changed by them."""

TRY_AGAIN = {
    "UNAVAILABLE": "UNAVAILABLE",
    "STORE_UNREACHABLE": "UNAVAILABLE",
    "OUTCOME_UNKNOWN": "UNAVAILABLE",
    "PEER_UNREACHABLE": "UNAVAILABLE",
    "SERVER_STOPPING": "UNAVAILABLE",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "CANCELLED": "CANCELLED",
    "TOO_MANY_CALLS": "RESOURCE_EXHAUSTED",
}
"""Those after which the same request is sent again, reason -> code."""


@dataclass
class Asked:
    """One request and what was heard of it: its answers, or the refusal that ended it."""

    caller: int
    kind: str
    method: str
    request: Any
    answers: list[Change] = field(default_factory=list)
    refusal: Refusal | None = None

    @property
    def request_id(self) -> str:
        return str(self.request.request_id)

    def __str__(self) -> str:
        heard = [Change.State.Name(answer.state) for answer in self.answers] or self.refusal
        return f"caller {self.caller}: {self.kind} {self.request_id}: {heard}"


@dataclass
class Known:
    """An organization that somebody has made, and the slugs that it is known to have had."""

    name: str
    region: str
    slugs: list[str]


class World:
    """Shared by all callers. Thread-safe."""

    def __init__(self, changes_wanted: int) -> None:
        self._lock = threading.Lock()
        self._changes_wanted = changes_wanted
        self._known: dict[str, Known] = {}
        self.asked: list[Asked] = []
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.again = 0

    def begin(self, asked: Asked) -> None:
        with self._lock:
            self.asked.append(asked)

    def ended(self, asked: Asked) -> None:
        """Take note of how a request was answered or refused."""
        with self._lock:
            if asked.refusal is not None:
                self.refused[asked.refusal.reason] += 1
            for answer in asked.answers[-1:]:
                if answer.organization and answer.state == Change.STATE_SUCCEEDED:
                    known = self._known.setdefault(answer.organization, Known(answer.organization, answer.region, []))
                    known.slugs.append(answer.slug)

    def complain(self, problem: str) -> None:
        with self._lock:
            self.wrong.append(problem)

    def note_again(self, reason: str) -> None:
        with self._lock:
            self.again += 1
            self.refused[f"{reason} (sent again)"] += 1

    def organizations(self) -> list[Known]:
        with self._lock:
            return [Known(known.name, known.region, list(known.slugs)) for known in self._known.values()]

    def count(self) -> int:
        """How many requests were answered with a change."""
        with self._lock:
            return sum(bool(asked.answers) for asked in self.asked)

    @property
    def is_done(self) -> bool:
        """Whether as many changes were made as wanted, or something is wrong already."""
        return bool(self.wrong) or self.count() >= self._changes_wanted
