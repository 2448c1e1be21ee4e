"""Reads everything that an import made, in both silos, with ids replaced by natural keys: two runs can be compared.

What is random by rule (passwords, validation hashes, new keys) is left out or shown as present. Kept rows are shown as
they stand, but for their references, which get the pks of the file.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from shared.database import Database
from shared.importing.registry import Silo, models

Rows = list[tuple[Any, ...]]
Ledger = Mapping[tuple[str, int], int]
"""(model, new pk) -> the pk in the file."""

_KEPT = """
    SELECT k.model, r.old_pk, k.organization_id, k.fields, k.refs,
           k.key_1 IS NULL, k.key_2 IS NULL, k.key_3 IS NULL, k.key_4 IS NULL
    FROM kept_row k LEFT JOIN import_row r ON (r.import_id, r.model, r.new_pk) = (k.import_id, k.model, k.id)
    WHERE k.import_id = :import_id
"""
_LEDGER = "SELECT model, new_pk, old_pk FROM import_row WHERE import_id = :import_id"
_OF_CONTROL = "SELECT model, old_pk, decision, ordinal FROM import_row WHERE import_id = :import_id AND ordinal > 0"

_CONTROL = {
    "sentry.user": """
        SELECT u.username, u.name, u.email, u.is_active, u.is_staff, u.is_superuser, u.is_managed, u.is_unclaimed,
               u.flags, u.date_joined, u.last_active, u.password <> '' AS has_password
        FROM import_row r JOIN user_account u ON u.id = r.new_pk
        WHERE r.import_id = :import_id AND r.model = 'sentry.user'
    """,
    "sentry.email": """
        SELECT lower(e.email) FROM import_row r JOIN email_address e ON e.id = r.new_pk
        WHERE r.import_id = :import_id AND r.model = 'sentry.email'
    """,
    "sentry.useremail": """
        SELECT u.username, e.email, e.is_verified, length(e.validation_hash)
        FROM import_row r JOIN user_email e ON e.user_id = r.new_pk JOIN user_account u ON u.id = e.user_id
        WHERE r.import_id = :import_id AND r.model = 'sentry.user'
    """,
}
_REGION = {
    "sentry.organization": """
        SELECT o.base_slug, o.slug, o.name, o.state, o.status, o.default_role, o.flags, o.is_test, o.date_added
        FROM organization o WHERE o.import_id = :import_id
    """,
    "sentry.team": """
        SELECT o.base_slug, t.slug, t.name, t.status, t.idp_provisioned, t.date_added
        FROM team t JOIN organization o ON o.id = t.organization_id WHERE o.import_id = :import_id
    """,
    "sentry.organizationmember": """
        SELECT o.base_slug, m.user_id, m.inviter_id, m.email, m.role, m.flags, m.token, m.token_expires_at,
               m.has_global_access, m.invite_status, m.type, m.user_email, m.user_is_active, m.date_added
        FROM organization_member m JOIN organization o ON o.id = m.organization_id WHERE o.import_id = :import_id
    """,
    "sentry.project": """
        SELECT o.base_slug, p.slug, p.name, p.platform, p.status, p.flags, p.public, p.date_added
        FROM project p JOIN organization o ON o.id = p.organization_id WHERE o.import_id = :import_id
    """,
    "sentry.projectteam": """
        SELECT o.base_slug, p.slug, t.slug FROM project_team j JOIN organization o ON o.id = j.organization_id
        JOIN project p ON p.id = j.project_id JOIN team t ON t.id = j.team_id WHERE o.import_id = :import_id
    """,
    "sentry.projectkey": """
        SELECT o.base_slug, p.slug, k.label, k.public_key, k.secret_key, k.roles, k.status, k.data::text, k.use_case,
               k.date_added
        FROM project_key k JOIN organization o ON o.id = k.organization_id JOIN project p ON p.id = k.project_id
        WHERE o.import_id = :import_id
    """,
    "sentry.organizationmemberteam": """
        SELECT o.base_slug, t.slug, m.user_id, m.email, j.is_active, j.role
        FROM organization_member_team j JOIN organization o ON o.id = j.organization_id
        JOIN organization_member m ON m.id = j.organization_member_id JOIN team t ON t.id = j.team_id
        WHERE o.import_id = :import_id
    """,
    "sentry.environment": """
        SELECT o.base_slug, e.name, e.date_added
        FROM environment e JOIN organization o ON o.id = e.organization_id WHERE o.import_id = :import_id
    """,
    "sentry.environmentproject": """
        SELECT o.base_slug, p.slug, e.name, j.is_hidden
        FROM environment_project j JOIN organization o ON o.id = j.organization_id
        JOIN project p ON p.id = j.project_id JOIN environment e ON e.id = j.environment_id
        WHERE o.import_id = :import_id
    """,
    "sentry.repository": """
        SELECT o.base_slug, r.name, r.url, r.provider, r.external_id, r.config::text, r.status, r.date_added,
               r.integration_id IS NULL, r.languages
        FROM repository r JOIN organization o ON o.id = r.organization_id WHERE o.import_id = :import_id
    """,
    "sentry.counter": """
        SELECT o.base_slug, p.slug, c.value
        FROM project_counter c JOIN organization o ON o.id = c.organization_id JOIN project p ON p.id = c.project_id
        WHERE o.import_id = :import_id
    """,
    "ledger": "SELECT model, old_pk, decision, ordinal FROM import_row WHERE import_id = :import_id",
    "findings": """
        SELECT kind, model, ordinal, pk, field, skipped FROM import_finding WHERE import_id = :import_id
    """,
    "counts": """
        SELECT model, sum((counts->>'inserted')::int), sum((counts->>'merged')::int), sum((counts->>'suffixed')::int),
               sum((counts->>'skipped')::int), max(last_ordinal)
        FROM import_chunk WHERE import_id = :import_id GROUP BY model
    """,
}
# Places of user ids in rows of the region, which have no user table.
_USER_PLACES = {"sentry.organizationmember": (1, 2), "sentry.organizationmemberteam": (2,)}


def read_natural_rows(control: Database, region: Database, import_id: int) -> dict[str, Rows]:
    """Every row of the import by model, sorted; besides these the ledger, the findings and the counts."""
    usernames = {row[0]: row[1] for row in _read(control, "SELECT id, username FROM user_account", import_id)}
    found = {name: _read(control, statement, import_id) for name, statement in _CONTROL.items()}
    for name, statement in _REGION.items():
        rows = _read(region, statement, import_id)
        places = _USER_PLACES.get(name, ())
        found[name] = [
            tuple(usernames.get(value, value) if place in places else value for place, value in enumerate(row))
            for row in rows
        ]
    ledger = {(model, new): old for model, new, old in _read(region, _LEDGER, import_id)}
    own = {name for name, model in models().items() if model.silo is Silo.CONTROL}
    found["ledger"] = [row for row in found["ledger"] if row[0] not in own]
    found["ledger"] += [row for row in _read(control, _OF_CONTROL, import_id) if row[0] in own]
    for name, database in (("kept in control", control), ("kept in the region", region)):
        found[name] = [_natural(ledger, row) for row in _read(database, _KEPT, import_id)]
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def _natural(ledger: Ledger, row: tuple[Any, ...]) -> tuple[Any, ...]:
    model, old_pk, organization_id, fields, refs, *no_keys = row
    targets = {each.field: each.model for each in models()[model].references}

    def pk_in_file(of: str, new_pk: int | None) -> int | str | None:
        return None if new_pk is None else ledger.get((of, new_pk), f"{new_pk} of another import")

    named = {field: pk_in_file(targets[field], new_pk) for field, new_pk in refs.items()}
    organization = pk_in_file("sentry.organization", organization_id)
    return (model, old_pk, organization, sorted(fields.items()), sorted(named.items()), *no_keys)


def _read(database: Database, statement: str, import_id: int) -> Rows:
    def work(transaction: Any) -> Rows:
        return [tuple(row) for row in transaction.execute(text(statement), {"import_id": import_id})]

    return database.read(work)
