"""Taking control's word about an organization: read only, to be purged, or kept after all.

The stage is written under the organization's own lock, for which every write below it waits its turn: who was first is
purged with the rest, who comes later is refused. So no row appears behind a purge.
"""

from collections.abc import Sequence

import structlog

from region_silo.deletions import store
from region_silo.members import invitations
from region_silo.slugs.usecases import CONTROL
from shared import barrier, delivery
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.names import organization_name
from shared.outbox import tombstones
from shared.outbox.domain import Message

_LAST_VERSION = 2**62
"""Of an organization that this region has no row of: ids are never given again, so nothing can follow."""

_log = structlog.get_logger("siloway.deletions")


def apply_deletions(transaction: Transaction, messages: Sequence[Message]) -> None:
    """The outbox's handler. An organization to be purged that is not here is told as gone; from a purge nothing leads
    back. Whoever calls it tells the caches of organizations before and after.
    """
    told = {
        int(message.subject): delivery.decode(message.payload, delivery.OrganizationDeletion)
        for message in messages
        if not message.deleted  # control has forgotten it: there is nothing left to do here
    }
    here = store.lock(transaction, told)
    for organization_id, deletion in sorted(told.items()):
        stage = here.get(organization_id)
        if stage is None:
            if deletion.stage is DeletionStage.DELETING:
                tell_gone(transaction, organization_id, _LAST_VERSION)
        elif stage is DeletionStage.DELETING and deletion.stage is not DeletionStage.DELETING:
            _log.error("deletion_cannot_go_back", organization=organization_id, told=deletion.stage.name)
        else:
            store.set_stage(transaction, organization_id, deletion.stage, deletion.purge_at)
            if stage is not DeletionStage.NONE and deletion.stage is DeletionStage.NONE:
                invitations.give_again(transaction, organization_id)
    barrier.reach("deletion.applied")


def tell_gone(transaction: Transaction, organization_id: int, version: int) -> None:
    """Tell control that nothing is left of an organization."""
    tombstones.bury(
        transaction,
        target=CONTROL,
        aggregate=organization_name(organization_id),
        category=delivery.ORGANIZATION,
        subject=str(organization_id),
        version=version,
    )
