"""Telling control of many members: of all after a restore, and of those that an import has brought.

How far that has come stands in a row for each, which is there only meanwhile. Each batch is a transaction of its own,
so millions of members cost no long one, and a kill costs nothing; several processes take turns.
"""

import threading

import structlog
from sqlalchemy import text

from region_silo.members import mirror
from region_silo.organizations.domain import OrganizationState
from region_silo.users import store as user_store
from shared.database import Database, Transaction
from shared.errors import ServiceError

MEMBERS_MAX = 1000
"""Of one batch."""

_LOOK_S = 5.0

ALL = 0
"""The telling of all members."""

_BEGIN = text(
    """
    INSERT INTO member_retelling (import_id, after_id) VALUES (0, 0)
    ON CONFLICT ON CONSTRAINT member_retelling_pkey DO UPDATE SET after_id = 0
    """
)
_BEGIN_OF_IMPORT = text(
    """
    INSERT INTO member_retelling (import_id, after_id, through_id)
    SELECT :import_id, min(member.id) - 1, max(member.id)
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE organization.import_id = :import_id HAVING count(*) > 0
    ON CONFLICT ON CONSTRAINT member_retelling_pkey
        DO UPDATE SET after_id = excluded.after_id, through_id = excluded.through_id
    """
)
_LOCK = text(
    """
    SELECT import_id, after_id, through_id FROM member_retelling
    WHERE CAST(:only_id AS bigint) IS NULL OR import_id = :only_id
    ORDER BY import_id LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
_GO_ON = text("UPDATE member_retelling SET after_id = :after_id WHERE import_id = :import_id")
_END = text("DELETE FROM member_retelling WHERE import_id = :import_id")
_ANY = text(
    "SELECT EXISTS (SELECT FROM member_retelling WHERE CAST(:only_id AS bigint) IS NULL OR import_id = :only_id)"
)

# By their ids alone, whoever they belong to: so each batch looks at no more of them than it may.
# What an import is writing is told at its end.
_NEXT = text(
    """
    SELECT member.id, member.organization_id, member.user_id, organization.state, organization.import_id
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE member.id > :after_id AND member.id <= coalesce(:through_id, 9223372036854775807)
    ORDER BY member.id LIMIT :rows_max
    """
)

_log = structlog.get_logger("siloway.members")


def begin(transaction: Transaction) -> None:
    """From this transaction's end on all members are told again, from the first one."""
    transaction.execute(_BEGIN)


def begin_of_import(transaction: Transaction, import_id: int) -> None:
    """From this transaction's end on the members of the organizations that the import has made are told."""
    transaction.execute(_BEGIN_OF_IMPORT, {"import_id": import_id})


class Retelling:
    """Carries on what `begin` has begun. Any number of processes may run one each."""

    def __init__(self, database: Database, *, members_max: int = MEMBERS_MAX) -> None:
        self._database = database
        self._members_max = members_max

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; the batch at hand is finished."""
        while not stop.is_set():
            more = False
            try:
                more = self.run_once()
            except ServiceError as error:
                _log.warning("retelling_waits", reason=error.reason)
            except Exception:  # noqa: BLE001 - the mirror is behind meanwhile; the process has other work
                _log.exception("retelling_failed")
            if not more:
                stop.wait(_LOOK_S)

    def run_once(self, only_id: int | None = None) -> bool:
        """Tell of the next batch, of one import if `only_id` says so; whether there may be more."""
        return self._database.transact(lambda transaction: self._tell(transaction, only_id))

    def _tell(self, transaction: Transaction, only_id: int | None) -> bool:
        telling = transaction.execute(_LOCK, {"only_id": only_id}).one_or_none()
        if telling is None:
            return False
        span = {"after_id": telling.after_id, "through_id": telling.through_id, "rows_max": self._members_max}
        members = transaction.execute(_NEXT, span).all()
        is_all = telling.import_id == ALL
        told = [
            row
            for row in members
            if row.state == OrganizationState.ACTIVE.value and (is_all or row.import_id == telling.import_id)
        ]
        if is_all:  # an import's were expected before its organizations opened (members.following)
            user_store.expect(transaction, {row.user_id for row in told if row.user_id is not None})
        for row in told:
            mirror.announce(transaction, row.organization_id, [row.id])
        if len(members) < self._members_max:
            transaction.execute(_END, {"import_id": telling.import_id})
            return bool(transaction.execute(_ANY, {"only_id": only_id}).scalar_one())
        transaction.execute(_GO_ON, {"import_id": telling.import_id, "after_id": members[-1].id})
        return True
