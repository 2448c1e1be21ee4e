"""Announces each finished deploy once: activities, the message to control, and what its environment runs from then on.

A deploy waits while its release has heads but no commits yet and somebody is to fetch them. The fetch's end, however
it ends, is the end of that wait; so whoever writes commits or ends a fetch calls `announce_pending` in the same
transaction. The mark stands in the deploy's row, the row of its release is held, and the message is written with the
same commit: nothing is announced twice, and what was not announced yet is found by the sweep. Source:
spec/releases.md 2.11 and 4.2 (2, 10).
"""

from prometheus_client import Counter

from region_silo.deploys import announcing_store as store
from region_silo.slugs.usecases import CONTROL
from shared import barrier, delivery
from shared.database import Transaction
from shared.outbox import enqueue

AT_ONCE_MAX = 100
"""The most deploys of a release that one transaction announces; the sweep announces what is left."""

ANNOUNCED = Counter("siloway_deploys_announced_total", "Deploys that were announced.")


def announce_pending(transaction: Transaction, organization_id: int, release_id: int) -> int:
    """Announce the release's finished deploys, unless it waits for its commits; returns how many.

    For who holds the release's row and may write in its organization. At most AT_ONCE_MAX; a second call in the same
    transaction goes on.
    """
    due = store.mark(transaction, release_id, AT_ONCE_MAX)
    if not due:
        return 0
    store.add_activities(transaction, due)
    store.run_commits(transaction, release_id, due)
    for told in store.read(transaction, due):
        announced = delivery.DeployAnnounced(
            organization_id=organization_id,
            deploy_id=told.id,
            version=told.version,
            environment=told.environment,
            name=told.name,
            url=told.url,
            started_at=told.started_at,
            finished_at=told.finished_at,
            announced_at=told.announced_at,
            project_ids=told.project_ids,
            project_count=told.project_count,
        )
        enqueue(
            transaction,
            target=CONTROL,
            aggregate=f"deploys/{organization_id}",
            category=delivery.DEPLOY_ANNOUNCED,
            subject=str(told.id),
            payload=delivery.encode(announced),
        )
    transaction.after_commit(lambda: ANNOUNCED.inc(len(due)))
    barrier.reach("deploys.announced")
    return len(due)
