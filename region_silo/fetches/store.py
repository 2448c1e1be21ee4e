"""SQL of fetches: the row with its refs and its lease.

Whoever works on a fetch proves that it holds the lease by changing the row under its token. Fetches of one release are
worked on one after the other, in the order in which they were asked for, so that the newest has the last word.
"""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    Row,
    Select,
    Table,
    Text,
    and_,
    exists,
    func,
    or_,
    select,
    text,
)
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import JSONB

from region_silo.fetches.domain import CommitFetch, FetchedRef, FetchState, anew
from region_silo.releases.permission import is_readable
from region_silo.releases.tables import release
from region_silo.schema import METADATA
from shared.database import Transaction

COMMIT_FETCH = Table(
    "commit_fetch",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("organization_id", BigInteger, nullable=False),
    Column("release_id", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),
    Column("user_id", BigInteger),
    Column("previous_release_id", BigInteger),
    Column("previous_release_reason", Text, nullable=False),
    Column("refs", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("commit_count", Integer, nullable=False),
    Column("error_reason", Text),
    Column("error_message", Text),
    Column("next_try_at", DateTime(timezone=True)),
    Column("lease_token", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Column("is_overtaken", Boolean, nullable=False),
)

_OPEN = (FetchState.QUEUED.value, FetchState.RUNNING.value)
_LEASE_SKEW = timedelta(seconds=5)
_OVERTAKE = text(
    """
    UPDATE commit_fetch SET is_overtaken = true
    WHERE release_id = :release_id AND state IN ('queued', 'running') AND NOT is_overtaken
    """
)

REFS_A_PAGE = 2000
"""A page of fetches ends early: an answer must fit a client's limit."""


class LeaseLostError(Exception):
    """Another process works on the fetch now, or it is gone; this one has to stop."""


@dataclass(frozen=True)
class NewFetch:
    """A fetch before it is one; principal and user are whoever asked for it."""

    id: int
    organization_id: int
    release_id: int
    principal: str
    user_id: int | None
    previous_release_id: int | None
    previous_reason: str
    refs: tuple[FetchedRef, ...]


@dataclass(frozen=True)
class Lease:
    """The right to work on one fetch until it runs out or is given back, with what the work needs to know."""

    fetch_id: int
    token: str
    organization_id: int
    release_id: int
    version: str
    principal: str
    user_id: int | None
    attempts: int
    refs: tuple[FetchedRef, ...]


def insert(transaction: Transaction, row: NewFetch) -> None:
    """Queue a fetch."""
    values = {
        "id": row.id,
        "organization_id": row.organization_id,
        "release_id": row.release_id,
        "principal": row.principal,
        "user_id": row.user_id,
        "previous_release_id": row.previous_release_id,
        "previous_release_reason": row.previous_reason,
        "refs": _stored(row.refs),
        "state": FetchState.QUEUED.value,
        "attempts": 0,
        "commit_count": 0,
        "next_try_at": transaction.now,
        "created_at": transaction.now,
        "updated_at": transaction.now,
    }
    transaction.execute(sql_insert(COMMIT_FETCH).values(values))


def overtake(transaction: Transaction, release_id: int) -> None:
    """Note at the release's open fetches that a client has told commits since; for who holds the release's row."""
    transaction.execute(_OVERTAKE, {"release_id": release_id})


def is_overtaken(transaction: Transaction, lease: Lease) -> bool:
    """Whether a client has told commits since the fetch was asked for; for who holds the release's row."""
    asked = select(COMMIT_FETCH.c.is_overtaken).where(COMMIT_FETCH.c.id == lease.fetch_id)
    return bool(transaction.execute(asked).scalar_one_or_none())


def find(transaction: Transaction, organization_id: int, fetch_id: int, user_id: int | None) -> CommitFetch | None:
    """The fetch; None also when the caller may not read its release."""
    statement = _shown(organization_id, user_id).where(COMMIT_FETCH.c.id == fetch_id)
    row = transaction.execute(statement).one_or_none()
    return None if row is None else _fetch(row)


def newest(
    transaction: Transaction, organization_id: int, release_id: int, before: int | None, limit: int
) -> tuple[list[CommitFetch], bool]:
    """At most `limit` fetches of the release, newest first, with ids below `before`; are there more?

    It stops early, after one at least, when they have more than REFS_A_PAGE refs together.
    """
    shown = _shown(organization_id, None).where(COMMIT_FETCH.c.release_id == release_id)
    if before is not None:
        shown = shown.where(COMMIT_FETCH.c.id < before)
    refs_before = func.sum(func.jsonb_array_length(COMMIT_FETCH.c.refs)).over(
        order_by=COMMIT_FETCH.c.id.desc(), rows=(None, -1)
    )
    numbered = shown.add_columns(refs_before.label("refs_before")).order_by(COMMIT_FETCH.c.id.desc()).limit(limit + 1)
    page = numbered.subquery()
    rows = transaction.execute(
        select(page).where(func.coalesce(page.c.refs_before, 0) <= REFS_A_PAGE).order_by(page.c.id.desc())
    ).all()
    found = [_fetch(row) for row in rows[:limit]]
    if len(rows) > limit or not found:
        return found, bool(found)
    older = select(COMMIT_FETCH.c.id).where(COMMIT_FETCH.c.release_id == release_id, COMMIT_FETCH.c.id < found[-1].id)
    return found, transaction.execute(older.limit(1)).one_or_none() is not None


def lease_next(transaction: Transaction, lease_s: float) -> Lease | None:
    """Take the fetch that has waited longest and that nobody works on, and count the attempt; None without one."""
    now = transaction.now
    older = COMMIT_FETCH.alias()
    found = transaction.execute(
        select(COMMIT_FETCH.c.id, COMMIT_FETCH.c.refs)
        .where(
            COMMIT_FETCH.c.state.in_(_OPEN),
            COMMIT_FETCH.c.next_try_at <= now,
            or_(COMMIT_FETCH.c.lease_until.is_(None), COMMIT_FETCH.c.lease_until < now - _LEASE_SKEW),
            ~exists().where(
                older.c.release_id == COMMIT_FETCH.c.release_id,
                older.c.id < COMMIT_FETCH.c.id,
                older.c.state.in_(_OPEN),
            ),
        )
        .order_by(COMMIT_FETCH.c.next_try_at, COMMIT_FETCH.c.id)
        .limit(1)
        .with_for_update(of=COMMIT_FETCH, skip_locked=True)
    ).one_or_none()
    if found is None:
        return None
    refs, token = anew(_refs(found.refs)), str(uuid.uuid4())
    row = transaction.execute(
        sql_update(COMMIT_FETCH)
        .where(COMMIT_FETCH.c.id == found.id, release.c.id == COMMIT_FETCH.c.release_id)
        .values(
            state=FetchState.RUNNING.value,
            refs=_stored(refs),
            attempts=COMMIT_FETCH.c.attempts + 1,
            lease_token=token,
            lease_until=now + timedelta(seconds=lease_s),
            updated_at=now,
        )
        .returning(*COMMIT_FETCH.c, release.c.version)
    ).one()
    return Lease(
        fetch_id=row.id,
        token=token,
        organization_id=row.organization_id,
        release_id=row.release_id,
        version=row.version,
        principal=row.principal,
        user_id=row.user_id,
        attempts=row.attempts,
        refs=refs,
    )


def save_progress(transaction: Transaction, lease: Lease, refs: Sequence[FetchedRef], lease_s: float) -> None:
    """Show what became of the refs so far, and hold on to the fetch. Raises LeaseLostError."""
    _change_held(
        transaction,
        lease,
        refs=_stored(refs),
        commit_count=sum(ref.commit_count for ref in refs),
        lease_until=transaction.now + timedelta(seconds=lease_s),
    )


def renew(transaction: Transaction, lease: Lease, lease_s: float) -> None:
    """Hold on to the fetch for a while longer. Raises LeaseLostError."""
    _change_held(transaction, lease, lease_until=transaction.now + timedelta(seconds=lease_s))


def give_back(transaction: Transaction, lease: Lease, next_try_at: datetime, *, counts: bool) -> None:
    """Let others work on it from then on; `counts`: the attempt is one of those that a fetch has.

    Raises LeaseLostError.
    """
    attempts = lease.attempts if counts else lease.attempts - 1
    _change_held(transaction, lease, next_try_at=next_try_at, lease_token=None, lease_until=None, attempts=attempts)


def end(
    transaction: Transaction, lease: Lease, state: FetchState, refs: Sequence[FetchedRef], error: tuple[str, str] | None
) -> None:
    """The fetch is over; `error` is a reason and a message. Raises LeaseLostError."""
    reason, message = error or (None, None)
    _change_held(
        transaction,
        lease,
        state=state.value,
        refs=_stored(refs),
        commit_count=sum(ref.commit_count for ref in refs),
        error_reason=reason,
        error_message=message,
        next_try_at=None,
        lease_token=None,
        lease_until=None,
    )


def _change_held(transaction: Transaction, lease: Lease, **values: Any) -> None:
    held = and_(COMMIT_FETCH.c.id == lease.fetch_id, COMMIT_FETCH.c.lease_token == lease.token)
    changed = transaction.execute(sql_update(COMMIT_FETCH).where(held).values(**values, updated_at=transaction.now))
    if changed.rowcount != 1:
        raise LeaseLostError(lease.fetch_id)


def _shown(organization_id: int, user_id: int | None) -> Select[Any]:
    previous = release.alias()
    return (
        select(*COMMIT_FETCH.c, release.c.version, previous.c.version.label("previous_version"))
        .select_from(COMMIT_FETCH)
        .join(release, release.c.id == COMMIT_FETCH.c.release_id)
        .outerjoin(
            previous,
            and_(previous.c.id == COMMIT_FETCH.c.previous_release_id, previous.c.organization_id == organization_id),
        )
        .where(COMMIT_FETCH.c.organization_id == organization_id, is_readable(organization_id, user_id))
    )


def _stored(refs: Sequence[FetchedRef]) -> list[dict[str, Any]]:
    return [asdict(ref) for ref in refs]


def _refs(stored: Any) -> tuple[FetchedRef, ...]:
    return msgspec.convert(stored, tuple[FetchedRef, ...])


def _fetch(row: Row[Any]) -> CommitFetch:
    return CommitFetch(
        id=row.id,
        organization_id=row.organization_id,
        version=row.version,
        state=FetchState(row.state),
        refs=_refs(row.refs),
        previous_version=row.previous_version or "",
        previous_reason=row.previous_release_reason,
        commit_count=row.commit_count,
        attempts=row.attempts,
        next_try_at=row.next_try_at,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
