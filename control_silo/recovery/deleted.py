"""Deletions after a restore: what was deleted for good is not revived, and both sides agree on what is to be deleted.

A region that was restored may have organizations again that control has purged: they get a mapping that is DELETING, so
that the region purges them as any other. A control that was restored may have mappings again of which the region has
nothing left: they are GONE, and end with their slugs in quarantine. Whoever calls has locked the mappings.
"""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import text

from control_silo.deletions import store as deletion_store
from control_silo.deletions.store import Stage
from control_silo.deletions.usecases import tell_region
from shared import delivery
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.doctor.domain import OrganizationRecord
from shared.outbox import tombstones

_NOT_DELETED = Stage(DeletionStage.NONE, 0, None)

# The tombstone goes when the region has heard of it, the audit after its retention.
_FIND_PURGED = text(
    """
    SELECT organization_id FROM audit_entry
    WHERE organization_id = ANY (CAST(:ids AS bigint[])) AND action = 'organization.purge'
    UNION
    SELECT CAST(subject AS bigint) FROM outbox_tombstone
    WHERE category = :category AND subject = ANY (CAST(CAST(:ids AS bigint[]) AS text[]))
    """
)
_ADD_DELETING = text(
    """
    INSERT INTO organization_mapping
        (organization_id, name, region, state, version, created_at, updated_at, deletion, deletion_version, deleted_at,
         purge_at)
    SELECT added.id, added.name, added.region, added.state, 0, :now, :now, :stage, added.version, :now, :now
    FROM json_to_recordset(CAST(:records AS json))
        AS added (id bigint, name text, region text, state text, version bigint)
    ON CONFLICT ON CONSTRAINT organization_mapping_pkey DO NOTHING
    """
)


def find_purged(transaction: Transaction, organization_ids: Sequence[int]) -> frozenset[int]:
    """Those of these organizations without a mapping that control has deleted for good, as far as it remembers."""
    if not organization_ids:
        return frozenset()
    parameters = {"ids": list(organization_ids), "category": delivery.ORGANIZATION_DELETION.name}
    return frozenset(transaction.execute(_FIND_PURGED, parameters).scalars())


def find_ending(transaction: Transaction, organization_ids: Sequence[int]) -> frozenset[int]:
    """Those of these organizations whose deletion goes on by itself and cannot be taken back."""
    stages = deletion_store.read_stages(transaction, organization_ids)
    return frozenset(i for i, found in stages.items() if found.stage >= DeletionStage.DELETING)


def end(transaction: Transaction, organization_ids: Collection[int]) -> None:
    """The region has nothing left of these: `work` ends what control has, as after any purge."""
    stages = deletion_store.read_stages(transaction, list(organization_ids))
    for organization_id in sorted(organization_ids):
        purge_at = stages.get(organization_id, _NOT_DELETED).purge_at or transaction.now
        _write(transaction, organization_id, Stage(DeletionStage.GONE, 0, purge_at))


def purge_again(transaction: Transaction, records: Sequence[OrganizationRecord]) -> None:
    """Let the region purge these once more. Their slugs stay where they are: nobody's, or by now somebody else's."""
    if not records:
        return
    subjects = [str(record.organization_id) for record in records]
    buried = tombstones.read(transaction, delivery.ORGANIZATION_DELETION, subjects)
    rows = [
        {
            "id": record.organization_id,
            "name": record.name,
            "region": record.region,
            "state": record.state,
            "version": 1 + (buried[subject][0] if subject in buried else 0),
        }
        for subject, record in zip(subjects, records, strict=True)
    ]
    encoded = msgspec.json.encode(rows).decode()
    parameters = {"records": encoded, "stage": DeletionStage.DELETING.value, "now": transaction.now}
    transaction.execute(_ADD_DELETING, parameters)
    for record in records:
        tell_region(transaction, record.organization_id, record.region)


def take_over(transaction: Transaction, records: Sequence[OrganizationRecord]) -> None:
    """Let control have the region's word on which of these are to be deleted, and when."""
    stages = deletion_store.read_stages(transaction, [record.organization_id for record in records])
    for record in records:
        if _differs(record, stages.get(record.organization_id, _NOT_DELETED)):
            stage = DeletionStage.NONE if record.purge_at is None else DeletionStage.PENDING
            _write(transaction, record.organization_id, Stage(stage, 0, record.purge_at))


def tell_differing(transaction: Transaction, records: Sequence[OrganizationRecord]) -> None:
    """Tell the region control's word where the two differ, under a version of its own."""
    stages = deletion_store.read_stages(transaction, [record.organization_id for record in records])
    for record in records:
        known = stages.get(record.organization_id, _NOT_DELETED)
        if _differs(record, known):
            _write(transaction, record.organization_id, known)
            tell_region(transaction, record.organization_id, record.region)


def _differs(record: OrganizationRecord, known: Stage) -> bool:
    return record.purge_at != (known.purge_at if known.stage is DeletionStage.PENDING else None)


def _write(transaction: Transaction, organization_id: int, stage: Stage) -> None:
    deleted_at = None if stage.stage is DeletionStage.NONE else transaction.now
    deletion_store.set_stage(transaction, organization_id, stage.stage, deleted_at=deleted_at, purge_at=stage.purge_at)
