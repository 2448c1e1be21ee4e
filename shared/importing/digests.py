"""The digest of a row as an import left it: SQL that tells, later, whether anybody has changed the row since.

PostgreSQL hashes the values themselves, not their texts, so no setting of a session has a part in it. What the silos
count and follow by themselves is no part of it; what the import changes of its own rows after their batch renews it in
the same transaction. A column that a later migration adds makes digests differ: such rows count as changed.
"""

from collections.abc import Mapping

from shared.importing.kept import KEYS_MAX, TABLE

PARTS: Mapping[str, str] = {
    # Its organization may come later, with the first row of the import that refers to it.
    TABLE: "model refs fields " + " ".join(f"key_{number}" for number in range(1, KEYS_MAX + 1)),
    "organization": "id slug base_slug name state status default_role flags is_test date_added import_id deletion"
    " purge_at",
    "organization_member": "id organization_id user_id email role flags token token_expires_at has_global_access"
    " inviter_id invite_status type user_email date_added",
    "project": "id organization_id slug name platform status flags public first_event forced_color template_id"
    " date_added",
    "user_account": "id username name email password is_staff is_superuser is_active is_managed is_sentry_app"
    " is_unclaimed is_suspended is_password_expired last_password_change flags session_nonce avatar_type avatar_url"
    " date_joined last_login last_active",
}
"""The columns that count, of tables where not all do."""

FOLLOWED: Mapping[str, frozenset[str]] = {
    TABLE: frozenset({"id", "organization_id", "import_id"}),
    "organization": frozenset({"version", "fence_version"}),
    "organization_member": frozenset({"version", "user_is_active"}),
    "project": frozenset({"version"}),
    "user_account": frozenset({"version"}),
}
"""Their other columns: what the silos count, and what they know from elsewhere."""


def digest_of(table: str, alias: str) -> str:
    """The digest, a bigint, of the row `alias` of the table, as SQL."""
    if table not in PARTS:
        return f"hash_record_extended({alias}, 0)"
    return f"hash_record_extended(ROW({', '.join(f'{alias}.{column}' for column in PARTS[table].split())}), 0)"
