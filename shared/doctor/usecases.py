"""Running checks, repairing what they find, and the steps that bring a restored silo back in step.

Checks read; each page is a transaction of its own with short statements. A repair looks again in its own transaction,
and what was repaired stands in the audit. Nothing here speaks to another silo.
"""

from collections.abc import Sequence
from datetime import timedelta

from shared import audit, restoration
from shared.database import Transaction
from shared.doctor import store
from shared.doctor.checks import SHARED_CHECKS, IdMarks
from shared.doctor.domain import (
    Agreed,
    IdPlace,
    Life,
    Looked,
    Opened,
    OrganizationRecord,
    Repaired,
    TokenRecord,
    key_text,
    parse_key,
)
from shared.doctor.part import Check, SiloPart
from shared.errors import InvalidArgument, NotFound, Resource
from shared.identity import read_identity
from shared.rpc import page_token
from shared.snowflake.domain import LAYOUTS

ROWS = 1_000
ROWS_MAX = 10_000
RECORDS = 500


class DoctorUseCases:
    """The doctor of one silo; `part` is what the silo adds."""

    def __init__(self, part: SiloPart) -> None:
        self._part = part
        checks: Sequence[Check] = (*SHARED_CHECKS, IdMarks(part.id_columns), *part.checks)
        self._checks = {check.id: check for check in sorted(checks, key=lambda check: check.id)}
        assert len(self._checks) == len(checks), "two checks have one id"

    @property
    def checks(self) -> list[Check]:
        """All checks by id."""
        return list(self._checks.values())

    def find(
        self, transaction: Transaction, check_id: str, *, page_size: int, token: str, age_min: timedelta
    ) -> tuple[Looked, str]:
        """What one check says of the next rows, and the next page's token, empty at the end.

        Raises NotFound for a check that this silo does not have, InvalidPageToken, InvalidArgument.
        """
        check = self._check(check_id)
        store.bound(transaction)
        digest = page_token.query_digest("findings", check_id, int(age_min.total_seconds()))
        after = page_token.decode(token, digest, check.key_types) if token else None
        rows_max = page_token.page_size(page_size, ROWS, ROWS_MAX)
        older_than = transaction.now - age_min
        looked = check.look(transaction, after=_key(after), rows_max=rows_max, older_than=older_than)
        if looked.last is None or looked.row_count < rows_max:
            return looked, ""
        return looked, page_token.encode(looked.last, digest)

    def repair(
        self, transaction: Transaction, check_id: str, keys: Sequence[str], *, age_min: timedelta, request_id: str
    ) -> Repaired:
        """Repair those of the findings that are still there. Raises NotFound, InvalidArgument."""
        check = self._check(check_id)
        repaired, gone, left = [], [], []
        for place, text in enumerate(keys):
            key = parse_key(text, check.key_types)
            if key is None:
                raise InvalidArgument.of(f"keys[{place}]", f"is no key of {check_id}")
            if not check.is_found(transaction, key, older_than=transaction.now - age_min):
                gone.append(text)
            elif check.repair(transaction, key):
                repaired.append(text)
            else:
                left.append(text)
        if repaired:
            detail: dict[str, object] = {"check": check_id, "keys": list(repaired)}
            audit.record(transaction, action="doctor.repair", target="silo", request_id=request_id, detail=detail)
        return Repaired(tuple(repaired), tuple(gone), tuple(left))

    def organizations(
        self, transaction: Transaction, region: str, *, page_size: int, token: str
    ) -> tuple[list[OrganizationRecord], str]:
        """A page of records by id. Raises InvalidPageToken, InvalidArgument."""
        store.bound(transaction)
        digest = page_token.query_digest("organizationRecords", region)
        size = page_token.page_size(page_size, RECORDS)
        after_id = page_token.decode_number(token, digest) or 0
        page = self._part.organizations(transaction, region, after_id=after_id, rows_max=size + 1)
        if len(page) <= size:
            return page, ""
        return page[:size], page_token.encode((page[size - 1].organization_id,), digest)

    def tokens(
        self, transaction: Transaction, region: str, *, page_size: int, token: str
    ) -> tuple[list[TokenRecord], str]:
        """A page of records by id. Raises InvalidPageToken, InvalidArgument."""
        store.bound(transaction)
        digest = page_token.query_digest("tokenRecords", region)
        size = page_token.page_size(page_size, RECORDS)
        after_id = page_token.decode_number(token, digest) or 0
        page = self._part.tokens(transaction, region, after_id=after_id, rows_max=size + 1)
        if len(page) <= size:
            return page, ""
        return page[:size], page_token.encode((page[size - 1].token_id,), digest)

    def life(self, transaction: Transaction) -> Life:
        """The life that the silo's database is in."""
        store.bound(transaction)
        identity = read_identity(transaction)
        return Life(
            silo=identity.name,
            epoch=identity.epoch,
            restored_at=restoration.restored_at(transaction),
            marks=tuple(store.read_marks(transaction)),
            highest=tuple(store.highest_ids(transaction, self._part.id_columns)),
            peers=tuple(store.read_peers(transaction)),
            waiting=store.count_waiting(transaction),
        )

    def agree(self, transaction: Transaction, *, peer: str, epoch: str, request_id: str) -> Agreed:
        """Begin anew with a peer under an epoch, and queue all that it keeps a replica of."""
        store.agree(transaction, peer, epoch)
        self._part.forget_versions(transaction, peer)
        resent = self._part.resend(transaction, peer)
        audit.record(
            transaction,
            action="doctor.agree_on_epoch",
            target=f"silos/{peer}",
            request_id=request_id,
            detail={"epoch": epoch, "resent": resent},
        )
        return Agreed(resent)

    def open(self, transaction: Transaction, *, seen: Sequence[IdPlace], request_id: str) -> Opened:
        """Let ids go on behind all that was seen of this silo's number, and behind the clock; then open the silo."""
        identity = read_identity(transaction)
        own = [*store.highest_ids(transaction, self._part.id_columns), *seen]
        for place in own:
            if place.number == identity.number:
                store.raise_mark(transaction, IdPlace(place.layout, place.number, place.position + 1))
        for mark in store.read_marks(transaction):
            floor = max(0, LAYOUTS[mark.layout].floor(transaction.now))
            store.raise_mark(transaction, IdPlace(mark.layout, mark.number, floor))
        restoration.end(transaction)
        marks = tuple(store.read_marks(transaction))
        audit.record(
            transaction,
            action="doctor.end_restoration",
            target="silo",
            request_id=request_id,
            detail={"marks": [f"{mark.layout}/{mark.number}: {mark.position}" for mark in marks]},
        )
        return Opened(marks)

    def _check(self, check_id: str) -> Check:
        found = self._checks.get(check_id)
        if found is None:
            raise NotFound(f"this silo has no check {check_id}", resource=Resource("siloway/Check", check_id))
        return found


def key_texts(looked: Looked) -> list[tuple[str, str]]:
    """The findings as (key, what is wrong)."""
    return [(key_text(found.key), found.says) for found in looked.findings]


def _key(position: Sequence[object] | None) -> tuple[str | int, ...] | None:
    return None if position is None else tuple(part for part in position if isinstance(part, str | int))
