"""Telling control who belongs to the region's organizations; control's mirror of it follows these messages.

Whoever writes or deletes a member calls `announce` in the same transaction, and raises `version` with each change.
Those of an import are told by `retelling` when their organizations are open. Ids of members are never used twice, so
one that is gone is gone for good, whatever its version was.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text

from region_silo.members.tables import APPROVED
from shared import delivery
from shared.database import Transaction
from shared.outbox import enqueue
from shared.outbox.domain import SubjectState
from shared.rpc.identity import CONTROL

_GONE = 2**62
"""The version of a member who is gone: above all that rows reach."""
_EMAIL_LENGTH_MAX = 320

_READ = text(
    """
    SELECT id, organization_id, version, user_id, email, role, invite_status FROM organization_member
    WHERE id = ANY (CAST(:ids AS bigint[]))
    """
)


def announce(transaction: Transaction, organization_id: int, member_ids: Iterable[int]) -> None:
    """Tell control of these members as they are then, or that they are gone."""
    for member_id in member_ids:
        enqueue(
            transaction,
            target=CONTROL,
            aggregate=f"organizations/{organization_id}/members",
            category=delivery.MEMBERSHIP,
            subject=f"{organization_id}/{member_id}",
        )


class MembershipSource:
    """Reads the rows that the outbox's membership messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The state of each member by "<organization id>/<member id>"; one without a row is deleted.

        Who only asks to become a member is told without an address: nobody may accept what was not offered.
        """
        states: dict[str, SubjectState] = {subject: (_GONE, True, {}) for subject in subjects}
        ids = [int(subject.rpartition("/")[2]) for subject in subjects]
        for row in transaction.execute(_READ, {"ids": ids}):
            is_offered = row.user_id is None and row.invite_status == APPROVED
            email = row.email if is_offered and row.email and len(row.email) <= _EMAIL_LENGTH_MAX else ""
            state = delivery.MembershipState(row.user_id or 0, email, row.role)
            states[f"{row.organization_id}/{row.id}"] = (row.version, False, delivery.encode(state))
        return states
