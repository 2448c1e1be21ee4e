"""What only an import in global scope does: it refuses a region that holds others, and keeps the ids of projects."""

from collections.abc import Sequence
from dataclasses import replace

from region_silo.imports import organization_store, project_store
from region_silo.imports.targets import PROJECT
from shared import errors
from shared.database import Transaction
from shared.importing.batch import Batch
from shared.importing.decisions import BatchFinding, LedgerRow
from shared.importing.findings import Finding, FindingKind

_KEPT_ID_MAX = 2**53 - 1


def refuse_others(transaction: Transaction, import_id: int) -> None:
    """Raise SiloHoldsOrganizations when the region holds any that this import has not made."""
    if organization_store.holds_others(transaction, import_id):
        field, told = "header.options.add_to_silo", "must be set to add to a silo that holds other organizations"
        raise errors.SiloHoldsOrganizations(violations=[errors.Violation(field, told)])


def keeping_ids(transaction: Transaction, batch: Batch) -> Batch:
    """The rows with the ids that they have in the file, as far as these are free, so that DSNs go on to work."""
    taken = project_store.taken_ids(transaction, [row.pk for row in batch.rows])
    pks = [
        new if row.pk in taken or row.pk > _KEPT_ID_MAX else row.pk
        for row, new in zip(batch.rows, batch.new_pks, strict=True)
    ]
    return replace(batch, new_pks=pks)


def told_of_ids(rows: Sequence[LedgerRow]) -> list[BatchFinding]:
    """A finding for each project that got another id."""
    reason = "the id is taken; the row has {}"
    return [
        BatchFinding.of_row(
            Finding.of(
                FindingKind.ID_REPLACED,
                PROJECT,
                row.ordinal,
                pk=row.old_pk,
                field="pk",
                reason=reason.format(row.new_pk),
            )
        )
        for row in rows
        if row.new_pk != row.old_pk
    ]
