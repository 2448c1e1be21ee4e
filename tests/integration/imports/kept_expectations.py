"""What must stand in a kept row for a row of a file: each field in the modern encoding, each reference's new pk."""

import ast
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.integration.imports.deciding import Before, Model, Row

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")

_JSON_IN_TEXT = {
    ("sentry.option", "value"),
    ("sentry.controloption", "value"),
    ("sentry.organizationoption", "value"),
    ("sentry.projectoption", "value"),
    ("sentry.projecttemplateoption", "value"),
    ("sentry.useroption", "value"),
    ("sentry.authenticator", "config"),
    ("sentry.rule", "data"),
    ("sentry.dashboardwidget", "detail"),
    ("sentry.timeseriessnapshot", "values"),
}
_ARRAYS = {
    *(("sentry.dashboardwidgetquery", name) for name in ("aggregates", "columns", "field_aliases", "fields")),
    *((model, "scope_list") for model in ("sentry.apitoken", "sentry.apiauthorization", "sentry.apigrant")),
    *((model, "scope_list") for model in ("sentry.apikey", "sentry.orgauthtoken", "sentry.sentryapp")),
    ("sentry.dashboardwidgetqueryondemand", "spec_hashes"),
    ("sentry.apiapplication", "scopes"),
    ("sentry.userrole", "permissions"),
    ("sentry.sentryapp", "events"),
    ("sentry.servicehook", "events"),
    ("sentry.datasecrecywaiver", "zendesk_tickets"),
}
_ALWAYS_NEW = {
    "sentry.monitor": {"guid"},
    "sentry.incident": {"detection_uuid"},
    "sentry.incidentactivity": {"notification_uuid"},
    "sentry.querysubscription": {"subscription_id"},
}
_NEW_WHEN_TAKEN = {
    "sentry.apitoken": {"token", "token_last_characters", "hashed_token", "refresh_token", "hashed_refresh_token"}
    | {"expires_at"},
    "sentry.orgauthtoken": {"token_hashed", "token_last_characters"},
    "sentry.apiapplication": {"client_id"},
    "sentry.apikey": {"key"},
    "sentry.servicehook": {"guid"},
    "sentry.sentryappcomponent": {"uuid"},
    "sentry.sentryapp": {"slug"},
}
_DROPPED = {"sentry.rule": {"owner"}, "sentry.alertrule": {"owner"}}
"""Fields that later versions of the source do not have."""
_CLEARED = {"sentry.userip": {"country_code", "region_code"}}


def check_kept(
    name: str, fields: Row, found: Row, *, new: Mapping[tuple[str, int], int], models: dict[str, Model], before: Before
) -> None:
    """Compare a kept row with the file's fields."""
    assert found["model"] == name
    model = models[name]
    _check_references(name, fields, found, new, model)
    fresh = _ALWAYS_NEW.get(name, set()) | (_NEW_WHEN_TAKEN.get(name, set()) if _is_taken(fields, before) else set())
    gone = found["refs"].keys() | _DROPPED.get(name, set())
    own = {field: value for field, value in fields.items() if field not in gone}
    assert found["fields"].keys() == own.keys(), name
    for field, value in own.items():
        kept = found["fields"][field]
        what = (name, field, value, kept)
        if field in _CLEARED.get(name, ()):
            assert kept is None, what
        elif field in fresh:
            assert (kept is None) == (value is None), what
            assert kept is None or kept != value, what
        else:
            _check_value(kept, _modern(name, field, value), what)


def _is_taken(fields: Row, before: Before) -> bool:
    """The source's own value is held by the first import, or the file has none."""
    return before.is_again or ("token_hashed" in fields and fields["token_hashed"] is None)


def _check_references(name: str, fields: Row, found: Row, new: Mapping[tuple[str, int], int], model: Model) -> None:
    assert found["refs"].keys() >= model.references.keys(), name
    for field, made in found["refs"].items():
        pk = fields.get(field)
        if field in model.references:
            assert made == (None if pk is None else new[model.references[field], pk]), (name, field)
        else:
            assert made is None, (name, field)
            assert pk is None, (name, field)
    for field in ("organization", "organization_id"):
        if found["refs"].get(field) is not None:
            assert found["organization_id"] == found["refs"][field], name


def _modern(name: str, field: str, value: Any) -> Any:
    if isinstance(value, str) and (name, field) in _JSON_IN_TEXT:
        try:
            inner = json.loads(value)
        except ValueError:
            return value
        return inner if isinstance(inner, str | list | dict) else value
    if isinstance(value, str) and (name, field) in _ARRAYS:
        return list(ast.literal_eval(value))
    return value


def _check_value(kept: Any, value: Any, what: tuple[Any, ...]) -> None:
    if isinstance(value, str) and _TIME.fullmatch(value):
        assert datetime.fromisoformat(kept) == datetime.fromisoformat(value), what
        assert re.search(r"\.(\d{3}|\d{6})Z$", kept), what
    else:
        assert kept == value, what
        assert type(kept) is type(value), what
