"""SQL of control's side of a comparison: which of its rows a region should have a copy of, or has the original of.

What is on its way is known by the outbox for tokens and the directory. For organizations it is known by what is held:
a change of a slug holds one from its first transaction to its last, whichever silo's message is travelling; what is
being deleted is on its way until control has forgotten it.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from shared.comparing import store as comparing
from shared.comparing.domain import Bucket, KeyRange, Kind, Listed, Look
from shared.comparing.store import Source, region_source, token_source
from shared.database import Transaction
from shared.tokens import EVERYWHERE

_BY_ORGANIZATION = "organization_id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[]))"
_IN_AUDIENCE = "audience && CAST(ARRAY[:everywhere, :region] AS text[])"

SOURCES: Mapping[Kind, Source] = {
    Kind.TOKEN: token_source(_IN_AUDIENCE, elsewhere=f"NOT ({_IN_AUDIENCE})"),
    Kind.REGION: region_source(),
    Kind.ORGANIZATION: Source(
        table="organization_mapping",
        key="organization_id",
        subject="CAST(organization_id AS text)",
        version="version",
        values="organization_id, version, slug, name, state",
        shown="""json_build_object('version', version, 'slug', slug, 'name', name, 'state', state,
            'region', region)::text""",
        counted="region = :region AND slug IS NOT NULL",
        elsewhere="region <> :region",
        by_subject=_BY_ORGANIZATION,
    ),
    # type 0 is PRIMARY; state 2 is QUARANTINED, nobody's slug.
    Kind.SLUG: Source(
        table="slug_reservation",
        key="organization_id",
        subject="CAST(organization_id AS text)",
        version="fence_version",
        values="organization_id, slug",
        shown="json_build_object('slug', slug, 'fence_version', fence_version, 'region', region)::text",
        counted="type = 0 AND region = :region AND organization_id IS NOT NULL AND state <> 2",
        elsewhere="region <> :region",
        by_subject=f"{_BY_ORGANIZATION} AND type = 0",
    ),
}

_WAITING = text(
    """
    SELECT DISTINCT subject FROM outbox_message
    WHERE target = :region AND aggregate = ANY (CAST(:aggregates AS text[])) AND category = :category
        AND skip_reason IS NULL
    """
)

# "type <> 3" is written as the index has it. state 0 is HELD. deletion 2 and 3: its rows go, the region's first.
_HELD = text(
    """
    SELECT CAST(organization_id AS text) FROM slug_reservation
    WHERE organization_id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[])) AND type <> 3 AND state = 0
    UNION
    SELECT CAST(organization_id AS text) FROM organization_mapping
    WHERE organization_id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[])) AND deletion >= 2
    """
)
_HELD_SLUGS = text("SELECT slug FROM slug_reservation WHERE slug = ANY (CAST(:slugs AS text[])) AND state = 0")

_RESERVED = text(
    """
    SELECT CAST(organization_id AS text) FROM slug_reservation
    WHERE organization_id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[])) AND type = 0 AND type <> 3
        AND state = 1 AND region = :region
    """
)


def next_buckets(
    transaction: Transaction, kind: Kind, region: str, *, after: int, rows: int, buckets: int
) -> list[Bucket]:
    """The next ranges of control's rows, with their digests."""
    comparing.use_indexes(transaction)
    return comparing.next_buckets(
        transaction, SOURCES[kind], _parameters(kind, region), after=after, rows=rows, buckets=buckets
    )


def list_rows(transaction: Transaction, kind: Kind, region: str, within: KeyRange, *, rows_max: int) -> list[Listed]:
    """The first of control's rows of a range."""
    comparing.use_indexes(transaction)
    return comparing.list_rows(transaction, SOURCES[kind], _parameters(kind, region), within, rows_max=rows_max)


def look(
    transaction: Transaction, kind: Kind, region: str, subjects: Sequence[str], slugs: Mapping[str, str] | None = None
) -> Look:
    """Control's look at some subjects. `slugs` are those that organizations have in the region, by subject: one that is
    held may be of a new organization of which control has not heard yet.
    """
    rows = comparing.read_rows(transaction, SOURCES[kind], _parameters(kind, region), subjects)
    return Look(rows, _waiting(transaction, kind, region, subjects, slugs or {}))


def reserved(transaction: Transaction, region: str, subjects: Sequence[str]) -> frozenset[str]:
    """Those of these organizations of the region that have a PRIMARY slug which no change moves."""
    return frozenset(transaction.execute(_RESERVED, {"subjects": list(subjects), "region": region}).scalars())


def _waiting(
    transaction: Transaction, kind: Kind, region: str, subjects: Sequence[str], slugs: Mapping[str, str]
) -> frozenset[str]:
    if kind in (Kind.TOKEN, Kind.REGION):
        prefix = "tokens" if kind is Kind.TOKEN else "regions"
        parameters = {
            "region": region,
            "aggregates": [f"{prefix}/{subject}" for subject in subjects],
            "category": kind.value,
        }
        return frozenset(transaction.execute(_WAITING, parameters).scalars())
    held = set(transaction.execute(_HELD, {"subjects": list(subjects)}).scalars())
    if slugs:
        taken = set(transaction.execute(_HELD_SLUGS, {"slugs": sorted(set(slugs.values()))}).scalars())
        held |= {subject for subject, slug in slugs.items() if slug in taken}
    return frozenset(held)


def _parameters(kind: Kind, region: str) -> dict[str, str]:
    if kind is Kind.REGION:
        return {}
    return {"region": region, "everywhere": EVERYWHERE} if kind is Kind.TOKEN else {"region": region}
