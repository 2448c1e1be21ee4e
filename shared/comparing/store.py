"""The statements of a comparison: digests are made inside PostgreSQL, one statement for many ranges.

A Source says in SQL what a kind's rows are in one silo. All of it is text of the code; values are always bound.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from shared.comparing.domain import Bucket, Digest, KeyRange, Listed, Row
from shared.database import Transaction

_USE_INDEXES = text("SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)")


@dataclass(frozen=True)
class Source:
    """One kind's rows in one silo, as SQL expressions over `table`.

    `values` are what both silos must agree on, in the same order and form on both sides. `counted` is the condition of
    the rows that are compared, `by_subject` the one that finds rows by :subjects, `elsewhere` that of Row.
    """

    table: str
    key: str
    subject: str
    version: str
    values: str
    shown: str
    counted: str
    by_subject: str
    elsewhere: str = "false"

    @property
    def encoded(self) -> str:
        """The row's text: JSON keeps nulls, numbers and texts apart, whatever the texts hold."""
        return f"json_build_array({self.values})::text"


def use_indexes(transaction: Transaction) -> None:
    """Keep the rest of the transaction from scanning whole tables for a range; statistics may be old."""
    transaction.execute(_USE_INDEXES)


def next_buckets(
    transaction: Transaction, source: Source, parameters: Mapping[str, Any], *, after: int, rows: int, buckets: int
) -> list[Bucket]:
    """The next ranges above `after`, of `rows` rows each, at most `buckets`; one statement."""
    statement = text(
        f"""
        SELECT count(*) AS row_count, max(key) AS last_key, {_digest("encoded")} AS digest
        FROM (
            SELECT key, encoded, (row_number() OVER (ORDER BY key) - 1) / :rows AS bucket
            FROM (
                SELECT {source.key} AS key, {source.encoded} AS encoded FROM {source.table}
                WHERE ({source.counted}) AND {source.key} > :after ORDER BY {source.key} LIMIT :rows_max
            ) AS limited
        ) AS numbered
        GROUP BY bucket ORDER BY bucket
        """
    )
    given = {**parameters, "after": after, "rows": rows, "rows_max": rows * buckets}
    return [
        Bucket(row.last_key, Digest(row.row_count, bytes(row.digest))) for row in transaction.execute(statement, given)
    ]


def digest_ranges(
    transaction: Transaction,
    source: Source,
    parameters: Mapping[str, Any],
    ranges: Sequence[KeyRange],
    *,
    rows_max: int,
) -> list[Digest]:
    """The digest of each range, over its first `rows_max` rows at most; one statement."""
    statement = text(
        f"""
        SELECT found.row_count, found.digest
        FROM ROWS FROM (unnest(CAST(:afters AS bigint[])), unnest(CAST(:lasts AS bigint[])))
            WITH ORDINALITY AS wanted (after, last, place)
        CROSS JOIN LATERAL (
            SELECT count(*) AS row_count, {_digest("encoded")} AS digest
            FROM (
                SELECT {source.key} AS key, {source.encoded} AS encoded FROM {source.table}
                WHERE ({source.counted}) AND {source.key} > wanted.after AND {source.key} <= wanted.last
                ORDER BY {source.key} LIMIT :rows_max
            ) AS limited
        ) AS found
        ORDER BY wanted.place
        """
    )
    given = {
        **parameters,
        "afters": [each.after for each in ranges],
        "lasts": [each.last for each in ranges],
        "rows_max": rows_max,
    }
    return [Digest(row.row_count, bytes(row.digest)) for row in transaction.execute(statement, given)]


def list_rows(
    transaction: Transaction, source: Source, parameters: Mapping[str, Any], within: KeyRange, *, rows_max: int
) -> list[Listed]:
    """The first rows of a range, by key."""
    statement = text(
        f"""
        SELECT {source.key} AS key, {source.subject} AS subject, {_of_one(source.encoded)} AS digest
        FROM {source.table}
        WHERE ({source.counted}) AND {source.key} > :after AND {source.key} <= :last
        ORDER BY {source.key} LIMIT :rows_max
        """
    )
    given = {**parameters, "after": within.after, "last": within.last, "rows_max": rows_max}
    return [Listed(row.key, row.subject, bytes(row.digest)) for row in transaction.execute(statement, given)]


def read_rows(
    transaction: Transaction, source: Source, parameters: Mapping[str, Any], subjects: Sequence[str]
) -> dict[str, Row]:
    """The rows of these subjects that exist, compared or not."""
    statement = text(
        f"""
        SELECT {source.subject} AS subject, {source.version} AS version, {_of_one(source.encoded)} AS digest,
            {source.shown} AS shown, coalesce({source.counted}, false) AS counted, {source.elsewhere} AS elsewhere
        FROM {source.table} WHERE {source.by_subject}
        """
    )
    rows = transaction.execute(statement, {**parameters, "subjects": list(subjects)})
    return {row.subject: Row(row.version, bytes(row.digest), row.shown, row.counted, row.elsewhere) for row in rows}


def token_source(counted: str, elsewhere: str = "false") -> Source:
    """A token's row, of the same shape in control and in a replica. Times go as numbers: no setting changes those."""
    return Source(
        table="token",
        key="id",
        subject="CAST(id AS text)",
        version="version",
        values="""id, version, encode(secret_hash, 'hex'), name, to_json(audience), to_json(scopes), organization_id,
            extract(epoch FROM expires_at), extract(epoch FROM revoked_at), extract(epoch FROM created_at), user_id,
            user_suspended, calls_per_minute, ids_per_minute""",
        shown="""json_build_object('version', version, 'name', name, 'audience', to_json(audience),
            'scopes', to_json(scopes), 'revoked', revoked_at IS NOT NULL)::text""",
        counted=counted,
        elsewhere=elsewhere,
        by_subject="id = ANY (CAST(CAST(:subjects AS text[]) AS bigint[]))",
    )


def region_source() -> Source:
    """A region of the directory, as regions are told of it."""
    return Source(
        table="region_directory",
        key="number",
        subject="name",
        version="version",
        values="number, name, version, public_address",
        shown="json_build_object('version', version, 'number', number, 'public_address', public_address)::text",
        counted="true",
        by_subject="name = ANY (CAST(:subjects AS text[]))",
    )


def _digest(column: str) -> str:
    joined = f"""string_agg({column}, chr(10) ORDER BY key, {column} COLLATE "C")"""
    return f"sha256(convert_to(coalesce({joined}, ''), 'UTF8'))"


def _of_one(expression: str) -> str:
    return f"sha256(convert_to({expression}, 'UTF8'))"
