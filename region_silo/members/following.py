"""Imported members follow their users before their organizations open: what the region knows of a user counts, not what
a file says. Afterwards what control tells of a user reaches the members (users.usecases).
"""

from sqlalchemy import text

from region_silo.users import store as user_store
from shared.database import Transaction

_SPAN = text(
    """
    SELECT min(member.id) AS first, max(member.id) AS last
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE organization.import_id = :import_id
    """
)
# By their ids alone, whoever they belong to: so each batch looks at no more of them than it may.
_NEXT = text(
    """
    SELECT member.id, member.user_id, organization.import_id
    FROM organization_member AS member JOIN organization ON organization.id = member.organization_id
    WHERE member.id > :after_id AND member.id <= :through_id ORDER BY member.id LIMIT :rows_max
    """
)
_FOLLOW = text(
    """
    UPDATE organization_member AS member SET user_is_active = (known.state = 1)
    FROM known_user AS known
    WHERE member.id = ANY (CAST(:ids AS bigint[])) AND known.id = member.user_id AND known.state <> 0
        AND member.user_is_active <> (known.state = 1)
    """
)


def span(transaction: Transaction, import_id: int) -> tuple[int, int]:
    """The first and the last id of the members that the import has brought; 1 and 0 without any."""
    row = transaction.execute(_SPAN, {"import_id": import_id}).one()
    return (1, 0) if row.first is None else (row.first, row.last)


def follow(transaction: Transaction, import_id: int, after_and_through: tuple[int, int], rows_max: int) -> int:
    """Let the import's members among the next ones follow; the id up to which that is done."""
    after_id, through_id = after_and_through
    looked_at = {"after_id": after_id, "through_id": through_id, "rows_max": rows_max}
    members = transaction.execute(_NEXT, looked_at).all()
    own = [row for row in members if row.import_id == import_id]
    user_store.expect(transaction, {row.user_id for row in own if row.user_id is not None})
    if own:
        transaction.execute(_FOLLOW, {"ids": [row.id for row in own]})
    return members[-1].id if len(members) == rows_max else through_id
