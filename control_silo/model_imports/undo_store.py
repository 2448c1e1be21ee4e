"""SQL of control's part in undoing imports: who refers to a user or an address, and what is left of a ledger."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from control_silo.model_imports.targets import target_of
from shared import delivery
from shared.database import Transaction
from shared.importing.decisions import Decision, WriteKind
from shared.importing.kept import TABLE as KEPT
from shared.importing.registry import ORGANIZATION, USER, Silo
from shared.importing.terms import Terms
from shared.importing.undo_order import ADDRESSES_OF_USERS, EMAIL, EMAILS_OF_USERS, PARTS_OF_USERS, USER_EMAIL
from shared.importing.undoing import Reference, Span, foreign_keys, kept_references, lookup, other_imports
from shared.outbox import tombstones

_MERGED = frozenset({USER, EMAIL, "sentry.integration", "sentry.controloption", "sentry.userrole"})
"""Models of control whose rows may stand for those of other imports."""

_TABLES = {EMAILS_OF_USERS: "user_email", ADDRESSES_OF_USERS: "email_address"}

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('model imports', 0))")
_SHARE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('model imports', 0))")
_NEWEST = text("SELECT max(created_at) FROM import_chunk WHERE import_id = :import_id")
_TOUCH = text(
    """
    UPDATE import_chunk SET created_at = :now WHERE import_id = :import_id AND (model, first_ordinal) = (
        SELECT model, first_ordinal FROM import_chunk WHERE import_id = :import_id
        ORDER BY created_at DESC, model, first_ordinal LIMIT 1)
    """
)
_NOTE_UNDONE = text(
    """
    UPDATE import_chunk SET undone = undone + :undone
    WHERE import_id = :import_id AND model = :model AND first_ordinal = (
        SELECT min(first_ordinal) FROM import_chunk WHERE import_id = :import_id AND model = :model)
    RETURNING undone
    """
)
_DROP_ADOPTED = text(
    f"""
    DELETE FROM undo_page q WHERE q.new_pk IN (
        SELECT new_pk FROM import_row WHERE import_id = :import_id AND model = '{USER_EMAIL}')
    """
)
# By arrays, for the ledger has no index of the pks here: it is read once.
_MARK_USERS = text(
    f"""
    UPDATE import_row SET stays = :why WHERE import_id = :import_id AND model = '{USER}' AND stays IS NULL
        AND new_pk = ANY (CAST(:users AS int8[]))
    """
)
_MARKED = text(
    f"""
    SELECT new_pk FROM import_row WHERE import_id = :import_id AND model = '{USER}' AND stays IS NOT NULL
        AND new_pk = ANY (CAST(:users AS int8[]))
    """
)
_VERSIONS = text("SELECT id, version FROM user_account WHERE id = ANY (CAST(:ids AS int8[])) ORDER BY id")

_OF_ORGANIZATION = (
    lookup("token", "organization_id"),
    Reference("c.model", f"FROM {KEPT} c WHERE c.organization_id = q.new_pk"),
)

# What the user's own rows are that no import of ours has brought.
_OWN_OF_OTHERS = (
    Reference(
        "c.model",
        f"FROM {KEPT} c WHERE c.refs @> jsonb_build_object('user', q.new_pk)"
        f" AND (c.model || '') = ANY ('{{{','.join(sorted(PARTS_OF_USERS))}}}')"
        " AND c.import_id IS DISTINCT FROM :import_id",
    ),
    Reference(
        "'user_email'",
        f"""
        FROM user_email c LEFT JOIN import_row r ON r.import_id = :import_id AND r.new_pk = c.id
            AND r.model IN ('{USER_EMAIL}', '{EMAILS_OF_USERS}')
        WHERE r.new_pk IS NULL AND c.user_id IN (SELECT new_pk FROM undo_page)
        """,
        "user_id",
    ),
)
_WHO_HAS_ADDRESS = Reference(
    "'user_email'",
    """
    FROM (
        SELECT a.id FROM email_address a JOIN undo_page p ON p.new_pk = a.id
        WHERE lower(a.email) IN (SELECT lower(email) FROM user_account UNION ALL SELECT lower(email) FROM user_email)
    ) c
    """,
    "id",
)


def lock_imports(transaction: Transaction) -> None:
    """No import writes a batch until the end: so no row is found and used that goes at this moment."""
    transaction.execute(_LOCK)


def share_imports(transaction: Transaction) -> None:
    """Nothing is undone until the end."""
    transaction.execute(_SHARE)


def newest_chunk(transaction: Transaction, import_id: int) -> datetime | None:
    """When the import last wrote something here; None when that is not known, or was cleaned up."""
    newest: datetime | None = transaction.execute(_NEWEST, {"import_id": import_id}).scalar_one()
    return newest


def keep_ledger(transaction: Transaction, import_id: int) -> None:
    """The retention of the import's ledger begins anew."""
    transaction.execute(_TOUCH, {"import_id": import_id, "now": transaction.now})


def note_undone(transaction: Transaction, import_id: int, model: str, undone: int) -> int | None:
    """Add so many rows of the model to those that were undone; how many these are by now.

    None for rows that came with users: they are of no model of a file, and nobody counts them.
    """
    parameters = {"import_id": import_id, "model": model, "undone": undone}
    in_all: int | None = transaction.execute(_NOTE_UNDONE, parameters).scalar_one_or_none()
    return in_all


def table_of(model: str, terms: Terms) -> str:
    """Where rows of the model stand."""
    return _TABLES.get(model) or target_of(model, terms).table


def mark_users(transaction: Transaction, span: Span, table: str) -> None:
    """Users whose part is on the page and stays, stay too."""
    if span.model == EMAILS_OF_USERS:
        transaction.execute(_DROP_ADOPTED, {"import_id": span.import_id})
    users = _users_of_page(transaction, table, "q.stays IS NOT NULL")
    if users:
        part = USER_EMAIL if span.model == EMAILS_OF_USERS else span.model
        parameters = {"import_id": span.import_id, "users": users, "why": f"{WriteKind.KEPT_REFERRED.value} {part}"}
        transaction.execute(_MARK_USERS, parameters)


def stay_with_users(transaction: Transaction, span: Span, table: str) -> None:
    """Rows of the page whose users are marked stay with them."""
    users = _users_of_page(transaction, table, "q.stays IS NULL")
    if not users:
        return
    marked = list(transaction.execute(_MARKED, {"import_id": span.import_id, "users": users}).scalars())
    if marked:
        statement = f"""
            UPDATE undo_page q SET stays = '{WriteKind.KEPT_WITH_USER.value}' FROM {table} t
            WHERE t.id = q.new_pk AND q.stays IS NULL AND q.decision <> {Decision.MERGE:d}
                AND {_user_of(table)} = ANY (CAST(:marked AS int8[]))
        """
        transaction.execute(text(statement), {"marked": marked})


def references_of_users(region: str) -> list[Reference]:
    """What keeps a user besides the user's own rows. Memberships of the region's are the region's to tell."""
    of_others = f"FROM organization_membership c WHERE c.user_id = q.new_pk AND c.region <> '{region}'"
    return [
        Reference("'organizations/' || c.organization_id", of_others, kind=WriteKind.KEPT_MEMBER),
        lookup("token", "user_id"),
        *kept_references(USER, Silo.CONTROL, besides=PARTS_OF_USERS),
        *_OWN_OF_OTHERS,
        other_imports(USER),
    ]


def references_of(transaction: Transaction, model: str, table: str, region: str) -> list[Reference]:
    """What refers to rows of one of control's models from within control."""
    if model in (EMAIL, ADDRESSES_OF_USERS):
        return [_WHO_HAS_ADDRESS, other_imports(EMAIL)]
    found = [*kept_references(model, Silo.CONTROL)]
    if table != KEPT:
        found += foreign_keys(transaction, table)
    if model == USER:
        return [*references_of_users(region), *found]
    return [*found, other_imports(model)] if model in _MERGED else found


def references_to_region(model: str) -> list[Reference]:
    """What refers from within control to rows of one of the region's models."""
    found = [*kept_references(model, Silo.CONTROL)]
    return [*_OF_ORGANIZATION, *found] if model == ORGANIZATION else found


def bury_users(transaction: Transaction, region: str, user_ids: Sequence[int]) -> None:
    """Tell the region that these users are no more."""
    for row in transaction.execute(_VERSIONS, {"ids": list(user_ids)}).all():
        tombstones.bury(
            transaction,
            target=region,
            aggregate=f"users/{row.id}",
            category=delivery.USER,
            subject=str(row.id),
            version=row.version + 1,
        )


def _users_of_page(transaction: Transaction, table: str, condition: str) -> list[int]:
    statement = (
        f"SELECT DISTINCT {_user_of(table)} FROM undo_page q JOIN {table} t ON t.id = q.new_pk WHERE {condition}"
    )
    return list(transaction.execute(text(statement)).scalars())


def _user_of(table: str) -> str:
    return "CAST(t.refs->>'user' AS int8)" if table == KEPT else "t.user_id"
