"""Telling control of all members again: after a restore, and once of those from before control was told of any.

How far that has come stands in one row, which is there only meanwhile. Each batch is a transaction of its own, so a
region of millions of members costs no long one, and a kill costs nothing; several processes take turns.
"""

import threading
from collections.abc import Sequence

import structlog
from sqlalchemy import Row, text

from region_silo.members import mirror
from region_silo.organizations.domain import OrganizationState
from region_silo.users import store as user_store
from shared.database import Database, Transaction
from shared.errors import ServiceError

MEMBERS_MAX = 1000
"""Of one batch."""

_LOOK_S = 5.0

_BEGIN = text(
    """
    INSERT INTO member_retelling (after_id) VALUES (0)
    ON CONFLICT ON CONSTRAINT member_retelling_pkey DO UPDATE SET after_id = 0
    """
)
_LOCK = text("SELECT after_id FROM member_retelling FOR UPDATE SKIP LOCKED")
_GO_ON = text("UPDATE member_retelling SET after_id = :after_id")
_END = text("DELETE FROM member_retelling")

# What an import is writing is told at its end.
_NEXT = text(
    """
    SELECT member.id, member.organization_id, member.user_id, organization.state
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE member.id > :after_id ORDER BY member.id LIMIT :rows_max
    """
)

_log = structlog.get_logger("siloway.members")


def begin(transaction: Transaction) -> None:
    """From this transaction's end on all members are told again, from the first one."""
    transaction.execute(_BEGIN)


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

    def run_once(self) -> bool:
        """Tell of the next batch; whether there may be more."""
        return self._database.transact(self._tell)

    def _tell(self, transaction: Transaction) -> bool:
        after_id = transaction.execute(_LOCK).scalar()
        if after_id is None:
            return False
        members = transaction.execute(_NEXT, {"after_id": after_id, "rows_max": self._members_max}).all()
        _announce(transaction, [row for row in members if row.state == OrganizationState.ACTIVE.value])
        if len(members) < self._members_max:
            transaction.execute(_END)
            return False
        transaction.execute(_GO_ON, {"after_id": members[-1].id})
        return True


def _announce(transaction: Transaction, members: Sequence[Row[tuple[object, ...]]]) -> None:
    user_store.expect(transaction, {row.user_id for row in members if row.user_id is not None})
    for row in members:
        mirror.announce(transaction, row.organization_id, [row.id])
