"""SQL on the slugs of the organization table; its rows are locked in the order of their ids."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import text

from region_silo.slugs.domain import Organization
from shared.database import Transaction
from shared.delivery import OrganizationState, SlugPair

STATES = ("importing", "active")
"""What control is told of an organization's state, by the numbers in the rows."""

_USE_INDEXES = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('jit', 'off', true)
    """
)

_LOCK = text(
    """
    SELECT id, slug, fence_version FROM organization
    WHERE id = ANY (CAST(string_to_array(:ids, ',') AS bigint[]))
    ORDER BY id FOR UPDATE
    """
)

_READ_HOLDERS = text("SELECT slug, id FROM organization WHERE slug = ANY (string_to_array(:slugs, ','))")

_PARK = text(
    """
    UPDATE organization SET slug = NULL
    WHERE id = ANY (CAST(string_to_array(:ids, ',') AS bigint[])) AND slug IS NOT NULL
    """
)

_SET = text(
    """
    UPDATE organization
    SET slug = given.slug, fence_version = CAST(given.fence AS bigint), version = organization.version + 1
    FROM ROWS FROM (
        unnest(string_to_array(:ids, ',')), unnest(string_to_array(:slugs, ',')), unnest(string_to_array(:fences, ','))
    ) AS given (id, slug, fence)
    WHERE organization.id = CAST(given.id AS bigint)
    """
)

_RAISE_FENCES = text(
    """
    UPDATE organization SET fence_version = CAST(given.fence AS bigint)
    FROM ROWS FROM (unnest(string_to_array(:ids, ',')), unnest(string_to_array(:fences, ','))) AS given (id, fence)
    WHERE organization.id = CAST(given.id AS bigint)
    """
)

_READ_STATES = text(
    """
    SELECT id, slug, name, state, version FROM organization
    WHERE id = ANY (CAST(string_to_array(:ids, ',') AS bigint[]))
    """
)


def use_indexes(transaction: Transaction) -> None:
    """Keep the rest of the transaction from scanning whole tables.

    A table that has grown since its last ANALYZE looks so small that a set of thousands is looked up by reading it all.
    """
    transaction.execute(_USE_INDEXES)


def lock(transaction: Transaction, organization_ids: Iterable[int]) -> dict[int, Organization]:
    """Lock the rows of these organizations that exist."""
    rows = transaction.execute(_LOCK, {"ids": _joined(sorted(organization_ids))})
    return {row.id: Organization(row.id, row.slug, row.fence_version) for row in rows}


def read_holders(transaction: Transaction, slugs: Iterable[str]) -> dict[str, int]:
    """Who holds these slugs, slug -> organization id."""
    return {row.slug: row.id for row in transaction.execute(_READ_HOLDERS, {"slugs": ",".join(slugs)})}


def set_slugs(transaction: Transaction, pairs: Sequence[SlugPair]) -> None:
    """Give each organization its slug and fence version, and raise its version; first all are parked."""
    transaction.execute(_PARK, {"ids": _joined(pair.organization_id for pair in pairs)})
    transaction.execute(_SET, {**_columns(pairs), "slugs": ",".join(pair.slug for pair in pairs)})


def raise_fences(transaction: Transaction, pairs: Sequence[SlugPair]) -> None:
    """Remember the fence versions of pairs that were refused, so that nothing older is applied after them."""
    transaction.execute(_RAISE_FENCES, _columns(pairs))


def read_states(
    transaction: Transaction, organization_ids: Iterable[int]
) -> Mapping[int, tuple[int, OrganizationState]]:
    """What control is told of these organizations: id -> (version, state)."""
    return {
        row.id: (row.version, OrganizationState(row.name, row.slug or "", STATES[row.state]))
        for row in transaction.execute(_READ_STATES, {"ids": _joined(organization_ids)})
    }


def _columns(pairs: Sequence[SlugPair]) -> dict[str, str]:
    return {
        "ids": _joined(pair.organization_id for pair in pairs),
        "fences": _joined(pair.fence_version for pair in pairs),
    }


def _joined(numbers: Iterable[int]) -> str:
    return ",".join(map(str, numbers))
