"""Imported members follow their users before their organizations open: what the region knows of a user counts, not what
a file says. Afterwards what control tells of a user reaches the members (users.usecases).

Who is new to the region is expected from then on, and has nothing to follow. Users who were known before are held until
the transaction ends, so that no member misses what control tells of its user at the same moment.
"""

from sqlalchemy import text

from shared.database import Transaction

# Without statistics a ledger's worth of fresh rows looks like few: what is known of a thousand users is looked up by
# their ids, never by reading all that is known.
_USE_INDEXES = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
        set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)
    """
)
_SPAN = text(
    """
    SELECT min(member.id) AS first, max(member.id) AS last
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE organization.import_id = :import_id
    """
)
# By their ids alone, whoever they belong to: so each batch looks at no more of them than it may.
_EXPECT = text(
    """
    WITH looked AS MATERIALIZED (
        SELECT id, organization_id, user_id FROM organization_member
        WHERE id > :after_id AND id <= :through_id ORDER BY id LIMIT :rows_max
    ), wanted AS MATERIALIZED (
        SELECT DISTINCT user_id FROM looked
        WHERE user_id IS NOT NULL
            AND (SELECT import_id FROM organization WHERE organization.id = looked.organization_id) = :import_id
    ), expected AS (
        INSERT INTO known_user (id, state, version) SELECT user_id, 0, 0 FROM wanted ORDER BY user_id
        ON CONFLICT ON CONSTRAINT known_user_pkey DO NOTHING
        RETURNING id
    )
    SELECT
        (SELECT CASE WHEN count(*) < :rows_max THEN :through_id ELSE max(id) END FROM looked) AS last_id,
        (SELECT count(*) FROM wanted) > (SELECT count(*) FROM expected) AS some_were_known
    """
)
_FOLLOW = text(
    """
    WITH looked AS MATERIALIZED (
        SELECT id, user_id FROM organization_member AS member
        WHERE id > :after_id AND id <= :last_id AND user_id IS NOT NULL
            AND (SELECT import_id FROM organization WHERE organization.id = member.organization_id) = :import_id
    ), held AS MATERIALIZED (
        SELECT id, state FROM known_user WHERE id = ANY (ARRAY(SELECT user_id FROM looked)) ORDER BY id FOR SHARE
    )
    UPDATE organization_member AS member SET user_is_active = (held.state = 1)
    FROM looked JOIN held ON held.id = looked.user_id
    WHERE member.id = looked.id AND held.state <> 0 AND member.user_is_active <> (held.state = 1)
    """
)


def span(transaction: Transaction, import_id: int) -> tuple[int, int]:
    """The first and the last id of the members that the import has brought; 1 and 0 without any."""
    row = transaction.execute(_SPAN, {"import_id": import_id}).one()
    return (1, 0) if row.first is None else (row.first, row.last)


def follow(transaction: Transaction, import_id: int, after_and_through: tuple[int, int], rows_max: int) -> int:
    """Let the import's members among the next ones follow; the id up to which that is done."""
    after_id, through_id = after_and_through
    looked_at = {"import_id": import_id, "after_id": after_id}
    transaction.execute(_USE_INDEXES)
    done = transaction.execute(_EXPECT, {**looked_at, "through_id": through_id, "rows_max": rows_max}).one()
    if done.some_were_known:
        transaction.execute(_FOLLOW, {**looked_at, "last_id": done.last_id})
    last_id: int = done.last_id
    return last_id
