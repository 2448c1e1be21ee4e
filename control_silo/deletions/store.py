"""SQL of deletions: the stage of a mapping, and the end of all that control holds for an organization.

Who writes here has locked the mapping; slugs and tokens are locked in the order of their keys.
"""

from collections.abc import Mapping as Rows
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from control_silo.slugs.domain import ReservationState
from shared.database import Transaction
from shared.deletion import DeletionStage

_SET_STAGE = text(
    """
    UPDATE organization_mapping
    SET deletion = :stage, deletion_version = deletion_version + 1, deleted_at = :deleted_at, purge_at = :purge_at,
        updated_at = :now
    WHERE organization_id = :id
    """
)

# A slug that a region has still to answer about (TEMPORARY, or PRIMARY and HELD by a swap) is waited for: its change
# ends first, and none begins any more.
_SETTLED = """
    NOT EXISTS (
        SELECT 1 FROM slug_reservation AS slug
        WHERE slug.organization_id = mapping.organization_id AND type <> 3
            AND (slug.type = 2 OR (slug.type = 0 AND slug.state = 0))
    )
"""

_FIND_DUE = text(
    f"""
    SELECT organization_id FROM organization_mapping AS mapping
    WHERE deletion = 1 AND purge_at <= :now AND organization_id > :after_id AND {_SETTLED}
    ORDER BY organization_id LIMIT :rows_max
    """
)

_FIND_GONE = text(
    f"""
    SELECT organization_id FROM organization_mapping AS mapping
    WHERE deletion = 3 AND organization_id > :after_id AND {_SETTLED}
    ORDER BY organization_id LIMIT :rows_max
    """
)

_LOCK_SETTLED = text(
    f"""
    SELECT organization_id FROM organization_mapping AS mapping
    WHERE organization_id = :id AND deletion = :stage AND {_SETTLED}
    FOR UPDATE SKIP LOCKED
    """
)

_READ_STAGES = text(
    """
    SELECT organization_id, deletion, deletion_version, purge_at FROM organization_mapping
    WHERE organization_id = ANY (CAST(string_to_array(:ids, ',') AS bigint[])) AND deletion_version > 0
    """
)

_TAKE_TOKENS = text(
    """
    DELETE FROM token WHERE id IN (
        SELECT id FROM token WHERE organization_id = :id ORDER BY id LIMIT :rows_max FOR UPDATE
    )
    RETURNING id, audience, version
    """
)

# What belongs to a user alone has no organization.
_DELETE_KEPT = text(
    """
    DELETE FROM kept_row WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM kept_row WHERE organization_id = :id LIMIT :rows_max
    ))
    """
)

_QUARANTINE = text(
    """
    UPDATE slug_reservation
    SET organization_id = NULL, holder = '', state = :state, expires_at = :until, use_count = 0, last_used_at = NULL,
        updated_at = :now
    WHERE slug IN (SELECT slug FROM slug_reservation WHERE organization_id = :id ORDER BY slug FOR UPDATE)
    """
)

_RELEASE = text(
    """
    DELETE FROM slug_reservation
    WHERE slug IN (SELECT slug FROM slug_reservation WHERE organization_id = :id ORDER BY slug FOR UPDATE)
    """
)

_FORGET = text("DELETE FROM organization_mapping WHERE organization_id = :id")

_MEASURE = text(
    """
    SELECT deletion, count(*) AS organizations, min(purge_at) AS oldest FROM organization_mapping
    WHERE deletion <> 0 GROUP BY deletion
    """
)


class Stage(NamedTuple):
    """What a region is told of an organization."""

    stage: DeletionStage
    version: int
    purge_at: datetime | None


class DeletedToken(NamedTuple):
    """A token whose row is gone, and the version that it had."""

    id: int
    audience: tuple[str, ...]
    version: int


def set_stage(
    transaction: Transaction,
    organization_id: int,
    stage: DeletionStage,
    *,
    deleted_at: datetime | None,
    purge_at: datetime | None,
) -> None:
    """Write the stage, under a version of its own."""
    parameters = {"id": organization_id, "stage": stage.value, "deleted_at": deleted_at, "purge_at": purge_at}
    transaction.execute(_SET_STAGE, {**parameters, "now": transaction.now})


def find_due(transaction: Transaction, after_id: int, rows_max: int) -> list[int]:
    """Organizations whose grace time is over and whose slugs are settled, by id above `after_id`."""
    parameters = {"now": transaction.now, "after_id": after_id, "rows_max": rows_max}
    return list(transaction.execute(_FIND_DUE, parameters).scalars())


def find_gone(transaction: Transaction, after_id: int, rows_max: int) -> list[int]:
    """Organizations whose region has nothing left of them and whose slugs are settled, by id above `after_id`."""
    return list(transaction.execute(_FIND_GONE, {"after_id": after_id, "rows_max": rows_max}).scalars())


def lock_settled(transaction: Transaction, organization_id: int, stage: DeletionStage) -> bool:
    """Lock the mapping unless somebody else works on it, or it is no longer at that stage with its slugs settled."""
    parameters = {"id": organization_id, "stage": stage.value}
    return transaction.execute(_LOCK_SETTLED, parameters).scalar() is not None


def read_stages(transaction: Transaction, organization_ids: Sequence[int]) -> Rows[int, Stage]:
    """The stages of those organizations of which a region was ever told one."""
    rows = transaction.execute(_READ_STAGES, {"ids": ",".join(map(str, organization_ids))})
    return {row.organization_id: Stage(DeletionStage(row.deletion), row.deletion_version, row.purge_at) for row in rows}


def take_tokens(transaction: Transaction, organization_id: int, rows_max: int) -> list[DeletedToken]:
    """Delete up to `rows_max` tokens that are bound to the organization; returns them by id."""
    rows = transaction.execute(_TAKE_TOKENS, {"id": organization_id, "rows_max": rows_max})
    return sorted(DeletedToken(row.id, tuple(row.audience), row.version) for row in rows)


def delete_kept(transaction: Transaction, organization_id: int, rows_max: int) -> int:
    """Delete up to `rows_max` imported rows that are kept for the organization; returns how many."""
    return transaction.execute(_DELETE_KEPT, {"id": organization_id, "rows_max": rows_max}).rowcount


def end_slugs(transaction: Transaction, organization_id: int, quarantine: timedelta) -> int:
    """Put all slugs of the organization into quarantine without a holder, or free them when that is zero; how many."""
    if not quarantine:
        return transaction.execute(_RELEASE, {"id": organization_id}).rowcount
    parameters = {
        "id": organization_id,
        "state": ReservationState.QUARANTINED.value,
        "until": transaction.now + quarantine,
        "now": transaction.now,
    }
    return transaction.execute(_QUARANTINE, parameters).rowcount


def forget(transaction: Transaction, organization_id: int) -> None:
    """Delete the mapping."""
    transaction.execute(_FORGET, {"id": organization_id})


def measure(transaction: Transaction) -> dict[DeletionStage, tuple[int, datetime]]:
    """For each stage how many organizations are at it, and the earliest purge time among them."""
    return {DeletionStage(row.deletion): (row.organizations, row.oldest) for row in transaction.execute(_MEASURE)}
