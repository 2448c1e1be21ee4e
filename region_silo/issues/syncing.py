"""Telling trackers outside that an issue was resolved, or opened again: through the outbox, by way of control.

All of an organization's messages stand in one shard, so that what happens to an issue is told in its order; one message
carries many issues, so that a release which resolves thousands writes few.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import text

from shared import delivery
from shared.database import Transaction
from shared.outbox import enqueue
from shared.rpc.identity import CONTROL

_TRACKERS = text(
    """
    SELECT link.issue_id, tracker.integration, tracker.key
    FROM issue_link link JOIN tracker_issue tracker ON tracker.id = link.linked_id
    WHERE link.issue_id = ANY(CAST(:issue_ids AS bigint[])) AND link.linked_type = 3
    ORDER BY link.issue_id, tracker.id
    """
)


def tell_trackers(
    transaction: Transaction, organization_id: int, issue_ids: Sequence[int], *, is_resolved: bool, version: str = ""
) -> None:
    """Note one message entry for each issue of a tracker that is linked with one of these; `version` is the release."""
    rows = transaction.execute(_TRACKERS, {"issue_ids": list(issue_ids)}).all()
    for start in range(0, len(rows), delivery.STATUS_SYNCS_MAX):
        batch = rows[start : start + delivery.STATUS_SYNCS_MAX]
        syncs = tuple(
            delivery.StatusSync(
                organization_id, row.issue_id, row.integration, row.key, is_resolved, version, uuid.uuid4().hex
            )
            for row in batch
        )
        enqueue(
            transaction,
            target=CONTROL,
            aggregate=f"organizations/{organization_id}/status_syncs",
            category=delivery.STATUS_SYNC,
            subject=f"organizations/{organization_id}",
            payload=delivery.encode(delivery.StatusSyncs(syncs)),
        )
