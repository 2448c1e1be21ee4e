"""The SQL of bringing control in line with a region. Mappings are locked before, slugs in their order."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import text

from shared.database import Transaction
from shared.delivery import SlugPair
from shared.doctor.domain import OrganizationRecord
from shared.requests import RequestKey

# type: 0 PRIMARY, 3 REDIRECT. state: 0 HELD, 1 ACTIVE, 2 QUARANTINED.
_LOCK_CLAIMS = text(
    """
    SELECT slug, organization_id, holder, type, state, expires_at FROM slug_reservation
    WHERE slug = ANY (CAST(:slugs AS text[])) ORDER BY slug FOR UPDATE
    """
)
_ADD_MAPPINGS = text(
    """
    INSERT INTO organization_mapping (organization_id, name, region, state, version, created_at, updated_at)
    SELECT added.id, added.name, added.region, added.state, 0, :now, :now
    FROM json_to_recordset(CAST(:records AS json)) AS added (id bigint, name text, region text, state text)
    ON CONFLICT ON CONSTRAINT organization_mapping_pkey DO NOTHING
    """
)
_PARK = text("UPDATE slug_reservation SET organization_id = NULL WHERE slug = ANY (CAST(:slugs AS text[]))")
_DELETE = text("DELETE FROM slug_reservation WHERE slug = ANY (CAST(:slugs AS text[]))")
_FREE_MAPPINGS = text("UPDATE organization_mapping SET slug = NULL WHERE slug = ANY (CAST(:slugs AS text[]))")
_ADD_PRIMARIES = text(
    """
    INSERT INTO slug_reservation
        (slug, organization_id, holder, region, type, state, fence_version, created_at, updated_at)
    SELECT given.slug, given.id, 'organizations/' || given.id, given.region, 0, 1, given.fence, :now, :now
    FROM unnest(
        CAST(:slugs AS text[]), CAST(:ids AS bigint[]), CAST(:regions AS text[]), CAST(:fences AS bigint[])
    ) AS given (slug, id, region, fence)
    """
)
_REDIRECT = text(
    """
    UPDATE slug_reservation AS former
    SET organization_id = given.id, holder = 'organizations/' || given.id, type = 3, state = 1,
        expires_at = :redirect_until, use_count = 0, last_used_at = NULL, updated_at = :now
    FROM unnest(CAST(:slugs AS text[]), CAST(:ids AS bigint[])) AS given (slug, id)
    WHERE former.slug = given.slug
    """
)
_RAISE_FENCES = (
    text(
        """
        UPDATE slug_reservation AS held SET fence_version = given.fence, updated_at = :now
        FROM unnest(CAST(:ids AS bigint[]), CAST(:fences AS bigint[])) AS given (id, fence)
        WHERE held.organization_id = given.id AND held.type = 0 AND held.type <> 3
        """
    ),
    text(
        """
        UPDATE organization_mapping AS mapping SET fence_version = greatest(mapping.fence_version, given.fence)
        FROM unnest(CAST(:ids AS bigint[]), CAST(:fences AS bigint[])) AS given (id, fence)
        WHERE mapping.organization_id = given.id
        """
    ),
)
_FORGET = (
    text("DELETE FROM slug_reservation WHERE organization_id = ANY (CAST(:ids AS bigint[]))"),
    text("DELETE FROM organization_mapping WHERE organization_id = ANY (CAST(:ids AS bigint[]))"),
)
_PROVISIONS_OF = text(
    """
    SELECT principal, CAST(request_id AS text) AS request_id FROM organization_change
    WHERE organization_id = ANY (CAST(:ids AS bigint[])) AND kind = 1
    """
)


@dataclass(frozen=True)
class Claim:
    """Who has a slug in control. A redirect or a quarantine gives way to who really has the slug."""

    organization_id: int | None
    holder: str
    is_held: bool
    gives_way: bool

    def is_kept_from(self, organization_id: int) -> bool:
        """Whether this row speaks against giving the slug to that organization."""
        return not self.gives_way and self.organization_id != organization_id


def lock_claims(transaction: Transaction, slugs: Sequence[str]) -> dict[str, Claim]:
    """Who has these slugs, locked until the end."""
    rows = transaction.execute(_LOCK_CLAIMS, {"slugs": list(slugs)})
    return {
        row.slug: Claim(
            row.organization_id, row.holder, is_held=row.state == 0, gives_way=row.type == 3 or row.state == 2
        )
        for row in rows
    }


def add_mappings(transaction: Transaction, records: Sequence[OrganizationRecord]) -> None:
    """Insert the mappings that are not there, without slugs."""
    rows = [
        {"id": record.organization_id, "name": record.name, "region": record.region, "state": record.state}
        for record in records
    ]
    encoded = msgspec.json.encode(rows).decode()
    transaction.execute(_ADD_MAPPINGS, {"records": encoded, "now": transaction.now})


def replace_primaries(
    transaction: Transaction,
    former: Mapping[int, str],
    given: Sequence[OrganizationRecord],
    *,
    redirect_until: datetime,
) -> None:
    """Give each organization its slug and fence version as PRIMARY; former slugs that nobody gets become redirects.

    All former ones are parked first, so that slugs may change hands.
    """
    slugs = [record.slug for record in given]
    transaction.execute(_PARK, {"slugs": sorted(former.values())})
    transaction.execute(_DELETE, {"slugs": slugs})
    transaction.execute(_FREE_MAPPINGS, {"slugs": slugs})
    parameters = {
        "slugs": slugs,
        "ids": [record.organization_id for record in given],
        "regions": [record.region for record in given],
        "fences": [record.fence_version for record in given],
        "now": transaction.now,
    }
    transaction.execute(_ADD_PRIMARIES, parameters)
    left = {slug: organization_id for organization_id, slug in former.items() if slug not in set(slugs)}
    redirects = {"slugs": list(left), "ids": list(left.values())}
    transaction.execute(_REDIRECT, {**redirects, "redirect_until": redirect_until, "now": transaction.now})


def raise_fences(transaction: Transaction, pairs: Sequence[SlugPair]) -> None:
    """Write the fence versions that the PRIMARY slugs of these pairs are sent with."""
    parameters = {
        "ids": [pair.organization_id for pair in pairs],
        "fences": [pair.fence_version for pair in pairs],
        "now": transaction.now,
    }
    for statement in _RAISE_FENCES:
        transaction.execute(statement, parameters)


def forget(transaction: Transaction, organization_ids: Collection[int]) -> None:
    """Delete the mappings of these organizations and all their slugs."""
    for statement in _FORGET:
        transaction.execute(statement, {"ids": list(organization_ids)})


def provisions_of(transaction: Transaction, organization_ids: Collection[int]) -> list[RequestKey]:
    """The requests that have made these organizations."""
    rows = transaction.execute(_PROVISIONS_OF, {"ids": list(organization_ids)})
    return [RequestKey(row.principal, row.request_id) for row in rows]
