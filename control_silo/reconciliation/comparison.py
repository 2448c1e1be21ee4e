"""One comparison of one kind with one region: digests of ranges first, rows only where those differ, looks at the rest.

Every look is a short transaction of its own, and no call is made inside one. What was committed before the comparison
began is in every look of it, so when all ranges and all suspects were seen equal, everything up to then is.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import msgspec

from control_silo.reconciliation import looks, store
from control_silo.reconciliation.domain import (
    DIFFERENCES_MAX,
    PENDING_MAX,
    Judgement,
    Nature,
    Repair,
    State,
    Verdict,
    judge,
)
from shared.comparing.domain import (
    KEY_MAX,
    LISTED_MAX,
    RANGE_ROWS,
    RANGES_MAX,
    SUBJECTS_MAX,
    Bucket,
    Digest,
    KeyRange,
    Kind,
    Listed,
    Look,
)
from shared.database import Database, Transaction

_NO_ROWS = Digest(0, hashlib.sha256(b"").digest())
_QUIET_LOOKS = 2
_ROUNDS_S = (0.0, 1.0, 2.0, 4.0)
"""When suspects are looked at, each time so many seconds after the last: what is on its way has time to arrive."""


class RegionRows(Protocol):
    """A region's part of a comparison. Each method raises PeerUnavailable, DeadlineExceeded."""

    def digest_ranges(self, region: str, kind: Kind, ranges: Sequence[KeyRange]) -> Sequence[Digest]:
        """One digest a range, for up to RANGES_MAX ranges."""
        ...

    def list_rows(self, region: str, kind: Kind, within: KeyRange) -> Sequence[Listed]:
        """The first LISTED_MAX rows of a range, by key."""
        ...

    def read_rows(self, region: str, kind: Kind, subjects: Sequence[str]) -> Look:
        """Up to SUBJECTS_MAX subjects as they are now."""
        ...

    def resend_organizations(self, region: str, versions: Mapping[int, int]) -> None:
        """Let the region tell of up to SUBJECTS_MAX organizations again; to each the version that was compared."""
        ...


@dataclass(frozen=True)
class Finding:
    """What a comparison has seen. `equal_up_to` is None unless everything was equal."""

    kind: Kind
    row_count: int
    equal_up_to: datetime | None
    different: int
    pending: int
    resolved: int


class Comparison:
    """Compares kinds with one region. `keep(kind, position)` is called between the steps and raises to end it all;
    `wait(seconds)` waits, and raises when it is time to stop.
    """

    def __init__(
        self,
        database: Database,
        regions: RegionRows,
        region: str,
        *,
        keep: Callable[[Kind, int], None],
        wait: Callable[[float], None],
        pause_s: float,
        range_rows: int = RANGE_ROWS,
    ) -> None:
        self._database = database
        self._regions = regions
        self._region = region
        self._keep = keep
        self._wait = wait
        self._pause_s = pause_s
        self._range_rows = range_rows

    def compare(self, kind: Kind) -> Finding:
        """Compare everything of a kind and write down what was seen."""
        clock = self._database.clock
        began_s = clock.monotonic()
        started_at = self._database.transact(lambda transaction: self._begin(transaction, kind))
        known = self._database.read(lambda transaction: store.list_open(transaction, self._region, kind))
        suspects = dict.fromkeys(difference.subject for difference in known)
        row_count, whole = self._walk(kind, suspects)
        equal, seen = self._settle(kind, list(suspects))
        finding = Finding(
            kind=kind,
            row_count=row_count,
            equal_up_to=started_at if whole and not seen else None,
            different=sum(state is State.DIFFERENT for state, _ in seen.values()),
            pending=sum(state is State.PENDING for state, _ in seen.values()),
            resolved=0,
        )
        duration_ms = int((clock.monotonic() - began_s) * 1000)
        return self._database.transact(lambda transaction: self._finish(transaction, finding, equal, seen, duration_ms))

    def _begin(self, transaction: Transaction, kind: Kind) -> datetime:
        store.begin(transaction, self._region, kind)
        return transaction.now

    def _finish(
        self,
        transaction: Transaction,
        finding: Finding,
        equal: Sequence[str],
        seen: Mapping[str, tuple[State, Judgement]],
        duration_ms: int,
    ) -> Finding:
        kind = finding.kind
        resolved = store.resolve(transaction, self._region, kind, equal) if equal else 0
        if seen:
            store.see(transaction, self._region, kind, seen, pending_before=transaction.now - PENDING_MAX)
        store.finish(
            transaction,
            self._region,
            kind,
            equal_up_to=finding.equal_up_to,
            row_count=finding.row_count,
            duration_ms=duration_ms,
        )
        return replace(finding, resolved=resolved)

    def _walk(self, kind: Kind, suspects: dict[str, None]) -> tuple[int, bool]:
        """Compare range after range, adding what differs to the suspects; (rows, whether all were seen)."""
        after, row_count = 0, 0
        while True:
            buckets = self._next_buckets(kind, after)
            seen_rows = sum(bucket.digest.rows for bucket in buckets)
            is_end = seen_rows < self._range_rows * RANGES_MAX
            ranges, mine = _ranges(after, buckets, is_end=is_end)
            theirs = self._regions.digest_ranges(self._region, kind, ranges)
            row_count += seen_rows
            for within, ours, other in zip(ranges, mine, theirs, strict=True):
                if ours != other:
                    suspects.update(dict.fromkeys(self._list_unequal(kind, within)))
                if len(suspects) > DIFFERENCES_MAX:
                    for subject in list(suspects)[DIFFERENCES_MAX:]:
                        del suspects[subject]
                    return row_count, False
            if is_end:
                return row_count, True
            after = ranges[-1].last
            self._keep(kind, after)
            self._wait(self._pause_s)

    def _next_buckets(self, kind: Kind, after: int) -> list[Bucket]:
        return self._database.read(
            lambda transaction: looks.next_buckets(
                transaction, kind, self._region, after=after, rows=self._range_rows, buckets=RANGES_MAX
            )
        )

    def _list_unequal(self, kind: Kind, within: KeyRange) -> list[str]:
        """The subjects of a range that look different, up to one more than may be kept."""
        found: list[str] = []
        while within.after < within.last and len(found) <= DIFFERENCES_MAX:
            mine = self._list_own(kind, within)
            theirs = self._regions.list_rows(self._region, kind, within)
            last = min(_seen_to(mine, within), _seen_to(theirs, within))
            ours = {row.subject: row.digest for row in mine if row.key <= last}
            others = {row.subject: row.digest for row in theirs if row.key <= last}
            found += sorted(
                subject for subject in ours.keys() | others.keys() if ours.get(subject) != others.get(subject)
            )
            within = KeyRange(last, within.last)
            self._keep(kind, last)
        return found

    def _list_own(self, kind: Kind, within: KeyRange) -> list[Listed]:
        return self._database.read(
            lambda transaction: looks.list_rows(transaction, kind, self._region, within, rows_max=LISTED_MAX)
        )

    def _settle(self, kind: Kind, suspects: Sequence[str]) -> tuple[list[str], dict[str, tuple[State, Judgement]]]:
        """Look at the suspects again and again; those that are equal, and what was seen of the others.

        A difference counts when it was seen twice with nothing on its way.
        """
        equal: list[str] = []
        last: dict[str, Judgement] = {}
        quiet = dict.fromkeys(suspects, 0)
        left = list(suspects)
        for round_s in _ROUNDS_S:
            if not left:
                break
            if round_s:
                self._wait(round_s)
            for start in range(0, len(left), SUBJECTS_MAX):
                part = left[start : start + SUBJECTS_MAX]
                last.update(self._judge(kind, part))
                self._keep(kind, 0)
            for subject in left:
                quiet[subject] += last[subject].verdict is Verdict.DIFFERENT
            equal += [subject for subject in left if last[subject].verdict is Verdict.EQUAL]
            left = [s for s in left if last[s].verdict is not Verdict.EQUAL and quiet[s] < _QUIET_LOOKS]
        seen = {}
        for subject in set(suspects).difference(equal):
            state = State.DIFFERENT if quiet[subject] >= _QUIET_LOOKS else State.PENDING
            seen[subject] = (state, last[subject])
        return equal, seen

    def _judge(self, kind: Kind, subjects: Sequence[str]) -> dict[str, Judgement]:
        before = self._database.read(lambda transaction: looks.look(transaction, kind, self._region, subjects))
        theirs = self._regions.read_rows(self._region, kind, subjects)
        slugs = _slugs_of(kind, theirs)
        after = self._database.read(lambda transaction: looks.look(transaction, kind, self._region, subjects, slugs))
        judged = {subject: judge(kind, subject, before, theirs, after) for subject in subjects}
        if kind is Kind.ORGANIZATION:
            return self._without_strangers(judged)
        return judged

    def _without_strangers(self, judged: dict[str, Judgement]) -> dict[str, Judgement]:
        """A mapping can be made again only of a reservation: an organization without one is for a person to decide."""
        unmapped = [
            subject
            for subject, judgement in judged.items()
            if judgement.verdict is not Verdict.EQUAL and judgement.nature is Nature.MISSING
        ]
        if not unmapped:
            return judged
        reserved = self._database.read(lambda transaction: looks.reserved(transaction, self._region, unmapped))
        strangers = {
            subject: replace(judged[subject], repair=Repair.NONE) for subject in unmapped if subject not in reserved
        }
        return judged | strangers


def _ranges(after: int, buckets: Sequence[Bucket], *, is_end: bool) -> tuple[list[KeyRange], list[Digest]]:
    """The ranges of the buckets without a gap; the last one goes on for ever, the region may have more."""
    if not buckets:
        return [KeyRange(after, KEY_MAX)], [_NO_ROWS]
    lasts = [bucket.last for bucket in buckets]
    if is_end:
        lasts[-1] = KEY_MAX
    ranges = [KeyRange(first, last) for first, last in zip([after, *lasts], lasts, strict=False)]
    return ranges, [bucket.digest for bucket in buckets]


def _seen_to(rows: Sequence[Listed], within: KeyRange) -> int:
    """Up to which key a list of rows tells of a range."""
    return rows[-1].key if len(rows) >= LISTED_MAX else within.last


def _slugs_of(kind: Kind, look: Look) -> dict[str, str]:
    if kind not in (Kind.ORGANIZATION, Kind.SLUG):
        return {}
    return {subject: slug for subject, slug in _shown_slugs(look) if slug}


def _shown_slugs(look: Look) -> Iterable[tuple[str, str | None]]:
    for subject, row in look.rows.items():
        yield subject, msgspec.json.decode(row.shown).get("slug")
