"""SQL of what control compares: which rows of the region are of each kind, and what of them is on its way."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from region_silo.slugs.store import STATES
from shared.comparing.domain import Kind
from shared.comparing.store import Source, region_source, token_source
from shared.database import Transaction

_STATE = f"(ARRAY[{', '.join(repr(state) for state in STATES)}])[state + 1]"
_BY_ID = "id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[]))"

# An organization without a slug is an import's, which control may not have heard of: it is compared from then on.
_ORGANIZATION = Source(
    table="organization",
    key="id",
    subject="CAST(id AS text)",
    version="version",
    values=f"id, version, slug, name, {_STATE}",
    shown=f"json_build_object('version', version, 'slug', slug, 'name', name, 'state', {_STATE})::text",
    counted="slug IS NOT NULL",
    by_subject=_BY_ID,
)

_SLUG = Source(
    table="organization",
    key="id",
    subject="CAST(id AS text)",
    version="fence_version",
    values="id, slug",
    shown="json_build_object('slug', slug, 'fence_version', fence_version)::text",
    counted="slug IS NOT NULL",
    by_subject=_BY_ID,
)

SOURCES: Mapping[Kind, Source] = {
    Kind.TOKEN: token_source("true"),
    Kind.REGION: region_source(),
    Kind.ORGANIZATION: _ORGANIZATION,
    Kind.SLUG: _SLUG,
}

_WAITING = text(
    """
    SELECT DISTINCT subject FROM outbox_message
    WHERE target = 'control' AND aggregate = ANY (CAST(:aggregates AS text[])) AND category = 'organization'
        AND skip_reason IS NULL
    """
)

_RAISE = text(
    """
    UPDATE organization SET version = organization.version + 1
    FROM ROWS FROM (unnest(CAST(:ids AS bigint[])), unnest(CAST(:versions AS bigint[]))) AS told (id, version)
    WHERE organization.id = told.id AND organization.version = told.version
    """
)


def waiting(transaction: Transaction, kind: Kind, subjects: Sequence[str]) -> frozenset[str]:
    """Those of the subjects of which control is still to be told something.

    A slug that is on its way is known by control's hold, which ends with the region's answer.
    """
    if kind is not Kind.ORGANIZATION:
        return frozenset()
    aggregates = [f"organizations/{subject}" for subject in subjects]
    return frozenset(transaction.execute(_WAITING, {"aggregates": aggregates}).scalars())


def raise_versions(transaction: Transaction, versions: Mapping[int, int]) -> None:
    """Raise the version of each organization that still has the one that is given."""
    ids = sorted(versions)
    transaction.execute(_RAISE, {"ids": ids, "versions": [versions[organization_id] for organization_id in ids]})
