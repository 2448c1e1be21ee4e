"""How control's models are read, and which rows a region may have: never those about another region's organizations."""

from collections.abc import Mapping

from control_silo.model_imports.targets import target_of
from shared.exporting.closure import is_exported
from shared.exporting.handover import RowsWanted
from shared.exporting.readings import Reading, Selection, reading_of
from shared.importing.registry import ImportScope, Reference, Silo, models
from shared.importing.terms import Terms

READINGS: Mapping[str, Reading] = {
    name: reading_of(target_of(name, Terms(ImportScope.ORGANIZATION)))
    for name, model in models().items()
    if model.silo is Silo.CONTROL
}
"""The tables of control's models, by model."""

SECRETS: Mapping[str, Mapping[str, str]] = {
    "sentry.user": {"password": "''", "session_nonce": "NULL::text"},
    "sentry.useremail": {"validation_hash": "''"},
}
"""What stands for the secrets of people, in an export for somebody who does not operate the silo."""

_MEMBERS = (
    "EXISTS (SELECT FROM organization_membership m WHERE m.user_id = t.id"
    " AND m.organization_id = ANY(%(organizations)s::bigint[]) AND m.region = %(region)s)"
)
_PRIVILEGED = (
    "(t.is_staff OR t.is_superuser OR t.id IN (SELECT (k.refs ->> 'user')::int8 FROM kept_row k"
    " WHERE k.model IN ('sentry.userpermission', 'sentry.userroleuser')))"
)
_USER = Reference("user", "sentry.user", nullable=False)
_OF_EXPORTED_USERS = (
    f"EXISTS (SELECT FROM user_email u WHERE lower(u.email) = lower(t.email) AND {is_exported(_USER, 'u.user_id')})"
)


def selection(model: str, wanted: RowsWanted, *, operates: bool) -> Selection:
    """Which rows of a model go, besides the closure. Parameters: usernames, organizations, region."""
    replaced = {} if operates else SECRETS.get(model, {})
    return Selection(wanted.scope, (*_filter(model, wanted), *_organizations(model, wanted)), replaced)


def _filter(model: str, wanted: RowsWanted) -> list[str]:
    """Spec imports.md 13: users by name, by membership, or by their power; addresses by their users."""
    if model == "sentry.user":
        conditions = []
        if wanted.usernames is not None:
            conditions.append("t.username = ANY(%(usernames)s::text[])")
        if wanted.organizations is not None:
            conditions.append(_MEMBERS)
        if wanted.scope is ImportScope.CONFIG:
            conditions.append(_PRIVILEGED)
        return conditions
    if model == "sentry.email" and wanted.scope is not ImportScope.GLOBAL:
        return [_OF_EXPORTED_USERS]
    return []


def _organizations(model: str, wanted: RowsWanted) -> list[str]:
    """No row about an organization that the region has not, or that is not asked for."""
    conditions = []
    for reference in models()[model].references:
        if reference.model != "sentry.organization":
            continue
        value = READINGS[model].references[reference.field]
        allowed = f"{value} = ANY(%(organizations)s::bigint[])"
        if wanted.organizations is None:
            allowed = (
                "EXISTS (SELECT FROM organization_mapping o"
                f" WHERE o.organization_id = {value} AND o.region = %(region)s)"
            )
        conditions.append(f"({value} IS NULL OR {allowed})")
    return conditions
