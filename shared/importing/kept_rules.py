"""The rules of spec imports.md 10 for rows that are kept whole, by model: conflicts, scopes of rows, secrets, checks.

Everything here is about one model's fields; how the rules become SQL is shared.importing.kept's.
"""

import hashlib
import re
import secrets
import uuid
import zoneinfo
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.importing.decisions import WriteKind
from shared.importing.minting import alphanumerics
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms

Fields = Mapping[str, Any]

CONFIGURATION = frozenset(
    {"sentry.option", "sentry.controloption", "sentry.relay", "sentry.relayusage", "sentry.userrole"}
)
"""A row that is there stands for the incoming one, or gets its values with `overwrite_configs`."""

MERGED = frozenset({"sentry.integration"})
"""The same account at the same provider: the row that is there is used, unchanged."""

OF_NEW_USERS = frozenset({"sentry.userip", "sentry.userpermission", "sentry.useroption"})
"""Rows that are left out when their user was there before the import."""

CLEARED: Mapping[str, frozenset[str]] = {"sentry.userip": frozenset({"country_code", "region_code"})}
"""Fields that are null afterwards: what the source guessed of an address is not taken over."""

OPTIONS = frozenset({"sentry.option", "sentry.controloption"})
EXCLUDED_OPTIONS = frozenset(
    {"sentry:install-id", "sentry:latest_version", "sentry:last_worker_ping", "sentry:last_worker_version"}
)
"""What an installation knows about itself: never exported, never imported."""

_TOKEN_LIFE = timedelta(days=30)
_ROW_IS_GLOBAL = {
    "sentry.apitoken": "s.application IS NOT NULL",
    "sentry.apiauthorization": "s.application IS NOT NULL",
    "sentry.notificationaction": "s.integration_id IS NOT NULL OR s.sentry_app_id IS NOT NULL",
    "sentry.savedsearch": "COALESCE(s.fields::jsonb->'is_global' = 'true', false)",
}


def out_of_scope(model: str, terms: Terms) -> str | None:
    """The SQL condition over a staged row that takes it out of the import's scope, for models whose rows decide."""
    return None if terms.scope is ImportScope.GLOBAL else _ROW_IS_GLOBAL.get(model)


def _hex(length: int) -> str:
    return secrets.token_hex(length // 2)


def _like(value: Any) -> str:
    """A new secret in the form of the old one: a UUID or hexadecimal digits, of the same length."""
    text = str(value)
    try:
        dashed = str(uuid.UUID(text)) == text
    except ValueError:
        return _hex(max(32, len(text)) // 2 * 2)
    return str(uuid.uuid4()) if dashed else uuid.uuid4().hex


def _api_token(fields: Fields) -> dict[str, Any]:
    kind = str(fields.get("token_type") or "")
    token = kind + _hex(64)
    fresh: dict[str, Any] = {"token": token}
    if fields.get("token_last_characters"):
        fresh["token_last_characters"] = token[-4:]
    if fields.get("hashed_token"):
        fresh["hashed_token"] = hashlib.sha256(token.encode()).hexdigest()
    if fields.get("refresh_token"):
        fresh["refresh_token"] = kind + _hex(64)
        if fields.get("hashed_refresh_token"):
            fresh["hashed_refresh_token"] = hashlib.sha256(fresh["refresh_token"].encode()).hexdigest()
    if fields.get("expires_at"):
        fresh["expires_at"] = datetime.now(UTC) + _TOKEN_LIFE
    return fresh


def _organization_token(_fields: Fields) -> dict[str, Any]:
    # Nobody is ever told the token, so nothing but its hash and its end matters.
    token = f"sntrys_{secrets.token_urlsafe(48)}"
    return {"token_hashed": hashlib.sha256(token.encode()).hexdigest(), "token_last_characters": token[-4:]}


def _slug(fields: Fields) -> dict[str, Any]:
    return {"slug": f"{str(fields.get('slug'))[:50]}-{alphanumerics(1, 7)[0].lower()}"}


RENEWED: Mapping[str, Callable[[Fields], dict[str, Any]]] = {
    "sentry.apitoken": _api_token,
    "sentry.orgauthtoken": _organization_token,
    "sentry.apiapplication": lambda fields: {"client_id": _like(fields.get("client_id"))},
    "sentry.apikey": lambda fields: {"key": _like(fields.get("key"))},
    "sentry.servicehook": lambda fields: {"guid": _like(fields.get("guid"))},
    "sentry.sentryappcomponent": lambda _: {"uuid": uuid.uuid4()},
    "sentry.sentryapp": _slug,
}
"""New values for fields of a row whose unique values are taken already, as shapes of the old ones."""

_SUBSCRIPTION = re.compile(r"([0-9]+/).*", re.DOTALL)


def _subscription_id(value: Any) -> str:
    """Of "<digits>/<32 hexadecimal digits>" the digits before the stroke stay, the rest is new."""
    found = _SUBSCRIPTION.fullmatch(str(value))
    return f"{found[1] if found else ''}{uuid.uuid4().hex}"


FRESH: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "sentry.incident": {"detection_uuid": lambda _: uuid.uuid4()},
    "sentry.incidentactivity": {"notification_uuid": lambda _: uuid.uuid4()},
    "sentry.querysubscription": {"subscription_id": _subscription_id},
    "sentry.monitor": {"guid": lambda _: uuid.uuid4()},
}
"""Fields that get a new value whether the old one is taken or not: other systems know the source's rows by them."""

ALWAYS_SET = frozenset({"sentry.monitor"})
"""Models whose fresh field is set even where the file has none."""

MADE_UP = frozenset({"sentry.orgauthtoken"})
"""Models whose unique value is made up when the file has none, as if it were taken."""

TOLD_AS: Mapping[str, WriteKind] = {"sentry.sentryapp": WriteKind.SUFFIXED}


def has_check(model: str) -> bool:
    """Whether rows of the model are looked at by `bad_value`."""
    return model in _CHECKS


def bad_value(model: str, fields: Fields) -> tuple[str, str] | None:
    """The field of a row that its model does not allow, and why; None when all is well."""
    check = _CHECKS.get(model)
    return None if check is None else check(fields)


def _user_option(fields: Fields) -> tuple[str, str] | None:
    check = _USER_OPTIONS.get(str(fields.get("key")))
    why = None if check is None else check(fields.get("value"))
    return None if why is None else ("value", f'the user option "{fields["key"]}" {why}')


def _one_of(*allowed: Any) -> Callable[[Any], str | None]:
    return lambda value: None if value in allowed and type(value) is not float else f"must be one of {list(allowed)}"


def _timezone(value: Any) -> str | None:
    # A machine without the table of time zones cannot tell.
    good = isinstance(value, str) and (value in _TIMEZONES or not _TIMEZONES)
    return None if good else "must be a time zone"


def _language(value: Any) -> str | None:
    parts = value.split("-") if isinstance(value, str) else []
    good = 1 <= len(parts) <= 3 and all(part.isascii() and part.isalnum() and len(part) <= 8 for part in parts)
    return None if good and 2 <= len(parts[0]) <= 3 else "must be a language"


_TIMEZONES = zoneinfo.available_timezones()
_FLAGS = (True, False, 0, 1)
_USER_OPTIONS: Mapping[str, Callable[[Any], str | None]] = {
    "language": _language,
    "timezone": _timezone,
    "theme": _one_of("light", "dark", "system"),
    "stacktrace_order": _one_of(-1, 1, 2, "-1", "1", "2"),
    "stacktraceOrder": _one_of(-1, 1, 2, "-1", "1", "2"),
    "clock_24_hours": _one_of(*_FLAGS),
    "clock24Hours": _one_of(*_FLAGS),
    "default_issue_event": _one_of("recommended", "latest", "oldest"),
    "defaultIssueEvent": _one_of("recommended", "latest", "oldest"),
}
_CHECKS: Mapping[str, Callable[[Fields], tuple[str, str] | None]] = {"sentry.useroption": _user_option}
