"""Which fields of a row an import writes otherwise than the file has them, and why: by a rule, or as a finding tells.

It says what explains a difference between a file and what stands, nothing about whether there is one. Rules: spec
imports.md 10.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.importing.columns import columns_of
from shared.importing.decisions import WriteKind
from shared.importing.findings import FindingKind
from shared.importing.kept_rules import CLEARED, FRESH, RENEWED
from shared.importing.registry import REMOVED_FIELDS, ImportScope, models
from shared.importing.terms import Terms

BY_RULE = "BY_RULE"
"""The scope, a flag or the model's own rule gives the field another value."""
FILLED = "FILLED"
"""The file has nothing for the field, which must have a value."""

_NEW_USERS = frozenset(
    {"password", "last_password_change", "is_password_expired", "is_unclaimed", "session_nonce"},
)
_POWERS = frozenset({"is_staff", "is_superuser", "is_managed"})
_ADDRESSES = frozenset({"is_verified", "validation_hash", "date_hash_added"})
_ALWAYS: Mapping[str, frozenset[str]] = {
    "sentry.organization": frozenset({"slug"}),  # control gives it
    "sentry.organizationmember": frozenset({"user_is_active"}),  # it follows the user
}
_FILLED: Mapping[str, frozenset[str]] = {
    "sentry.user": frozenset({"flags"}),
    "sentry.team": frozenset({"slug", "date_added"}),
    "sentry.project": frozenset({"slug", "flags"}),
    "sentry.organizationmember": frozenset({"invite_status"}),
}
_WITH: Mapping[tuple[str, str], frozenset[str]] = {
    ("sentry.organizationmember", "token"): frozenset({"token_expires_at"}),
}
"""Fields that mean nothing without another one, and go with it."""
_TELLING = frozenset(
    {
        WriteKind.SUFFIXED.value,
        WriteKind.KEY_REPLACED.value,
        WriteKind.TOKEN_CLEARED.value,
        FindingKind.NULLED_REFERENCE.name,
    }
)


def explained(
    model: str, terms: Terms, fields: Mapping[str, Any], findings: Iterable[tuple[str, str]]
) -> dict[str, str]:
    """Fields of a row of the file, each with what explains another value; `findings` are kinds and fields."""
    told = dict.fromkeys(_by_rule(model, terms), BY_RULE)
    told |= {field: FILLED for field in _FILLED.get(model, ()) if fields.get(field) in (None, "")}
    told |= _unkept(model, fields)
    for kind, field in findings:
        if kind not in _TELLING:
            continue
        told[field] = kind
        told |= dict.fromkeys(_WITH.get((model, field), ()), kind)
        if model in RENEWED and kind != FindingKind.NULLED_REFERENCE.name:
            told |= dict.fromkeys(RENEWED[model](fields), kind)
    return told


def _by_rule(model: str, terms: Terms) -> frozenset[str]:
    fields = _ALWAYS.get(model, frozenset()) | FRESH.get(model, {}).keys() | CLEARED.get(model, frozenset())
    if model == "sentry.organization" and terms.hide_organizations:
        fields |= {"status"}
    if model == "sentry.user" and terms.scope is not ImportScope.GLOBAL:
        fields |= _NEW_USERS if terms.scope is ImportScope.CONFIG else _NEW_USERS | _POWERS
    if model == "sentry.useremail" and terms.scope is not ImportScope.GLOBAL:
        fields |= _ADDRESSES
    return fields


def _unkept(model: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields that no column takes, and those of other versions that carry nothing."""
    removed = REMOVED_FIELDS.get(model, frozenset())
    told = {field: FindingKind.FIELD_REMOVED.name for field in fields if field in removed}
    if models()[model].table is None:
        return told
    known = {column.name for column in columns_of(model)}
    return {field: FindingKind.UNKNOWN_FIELD.name for field in fields if field not in known} | told
