"""The addresses that are users' own: each user whom an import wrote is known by one from the start, as if signed up.

Most files bring them. So they are made when the file's addresses are written, and only where the user, or anybody, has
none like it: what the file says of an address is never lost to a row of ours. No row of the file stands for what is
made here; it has names of its own in the ledger, and goes when the import is undone. A user for whom an import has made
one gets no other of it, whatever the user's address is by then. Rules: spec imports.md 10.
"""

from collections.abc import Sequence

from shared.database import Transaction
from shared.importing.decisions import Decision
from shared.importing.digests import digest_of
from shared.importing.planning import SUFFIX
from shared.importing.registry import USER
from shared.importing.statements import PLANNER, RANDOM_KEY
from shared.importing.undo_order import ADDRESSES_OF_USERS, EMAILS_OF_USERS
from shared.statements import command

# What is asked of each user is a scalar query with LIMIT: a join could be planned as a scan of the growing tables.
_MAKE = """
    WITH own AS MATERIALIZED (
        SELECT m.ordinal, m.new_pk AS user_id, u.email FROM {rows}
            JOIN LATERAL (SELECT a.email FROM user_account a WHERE a.id = m.new_pk LIMIT 1) u ON u.email <> ''
        WHERE m.decision IN ({written})
    ), addresses AS (
        INSERT INTO email_address{planned} AS t (email, date_added)
        SELECT DISTINCT ON (lower(o.email)) o.email, %(now)s::timestamptz FROM own o
        WHERE (SELECT true FROM email_address e WHERE lower(e.email) = lower(o.email) LIMIT 1) IS NULL
        ORDER BY lower(o.email), o.ordinal
        ON CONFLICT DO NOTHING
        RETURNING t.id, {address_digest} AS digest
    ), emails AS (
        INSERT INTO user_email{planned} AS t (user_id, email, is_verified, validation_hash, date_hash_added)
        SELECT o.user_id, o.email, false, {hash}, %(now)s::timestamptz FROM own o
        WHERE CASE WHEN (
            SELECT true FROM user_email e WHERE e.user_id = o.user_id AND lower(e.email) = lower(o.email) LIMIT 1
        ) IS NULL THEN (
            SELECT true FROM import_row w WHERE w.import_id = %(import_id)s AND w.model = '{emails_of_users}'
                AND w.old_pk = o.user_id LIMIT 1
        ) IS NULL END
        ON CONFLICT DO NOTHING
        RETURNING t.user_id, t.id, {email_digest} AS digest
    )
    INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal, digest)
    SELECT %(import_id)s, '{addresses_of_users}', id, id, {insert:d}, 0, digest FROM addresses
    UNION ALL SELECT %(import_id)s, '{emails_of_users}', user_id, id, {insert:d}, 0, digest FROM emails
"""


_ROWS = f"""
    SELECT ordinal, new_pk, decision FROM import_row WHERE import_id = %(import_id)s AND model = '{USER}' AND old_pk
"""
_IN_SPAN = f"({_ROWS} > %(after)s AND old_pk <= %(last)s) m"
_IN_BATCH = f"unnest(%(pks)s::int8[]) AS given (pk) CROSS JOIN LATERAL ({_ROWS} = given.pk LIMIT 1) m"


def _statement(rows: str, *, planned: bool) -> bytes:
    return _MAKE.format(
        rows=rows,
        planned=SUFFIX if planned else "",
        written=f"{Decision.INSERT:d}, {Decision.SUFFIX:d}",
        insert=Decision.INSERT,
        hash=RANDOM_KEY,
        address_digest=digest_of("email_address", "t"),
        email_digest=digest_of("user_email", "t"),
        addresses_of_users=ADDRESSES_OF_USERS,
        emails_of_users=EMAILS_OF_USERS,
    ).encode()


_OF_SPAN, _OF_BATCH = (
    {planned: _statement(rows, planned=planned) for planned in (False, True)} for rows in (_IN_SPAN, _IN_BATCH)
)
_PAGE = f"""
    SELECT COALESCE(max(old_pk), %(after)s), count(*) FROM (
        SELECT old_pk FROM import_row WHERE import_id = %(import_id)s AND model = '{USER}' AND old_pk > %(after)s
        ORDER BY old_pk LIMIT %(rows_max)s) page
""".encode()


def page_of_users(transaction: Transaction, import_id: int, after: int, rows_max: int) -> tuple[int, int]:
    """The greatest pk in the file of the first `rows_max` users of the ledger above `after`, and how many they are."""
    command(transaction.driver, PLANNER.encode())
    parameters = {"import_id": import_id, "after": after, "rows_max": rows_max}
    row = transaction.driver.execute(_PAGE, parameters).fetchone()
    assert row is not None, "aggregates have a row"
    return row[0], row[1]


def make_in_span(transaction: Transaction, import_id: int, after: int, last: int, *, planned: bool) -> None:
    """For users above `after` up to `last`, by their pk in the file. A plan's transaction has entered its schema."""
    parameters = {"import_id": import_id, "after": after, "last": last, "now": transaction.now}
    transaction.driver.execute(_OF_SPAN[planned], parameters)


def make_of_batch(transaction: Transaction, import_id: int, pks: Sequence[int], *, planned: bool) -> None:
    """For the users of a batch that the transaction has written, by their pks in the file."""
    command(transaction.driver, PLANNER.encode())
    parameters = {"import_id": import_id, "pks": list(pks), "now": transaction.now}
    transaction.driver.execute(_OF_BATCH[planned], parameters)
