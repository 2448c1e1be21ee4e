"""Rows for the tests of decoding: one valid row of each supported model, as an export has it."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.importing.index import integer_pk
from shared.importing.rows import DecodedRows, RowDecoder
from shared.importing.upload import RawRow

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
_TIME = "2023-06-22T22:59:55.488Z"

FIELDS: dict[str, dict[str, Any]] = {
    "sentry.user": {
        "password": "md5$x$y",
        "last_login": None,
        "username": "owner",
        "name": "",
        "email": "owner@example.com",
        "is_staff": True,
        "is_active": True,
        "is_superuser": True,
        "is_managed": False,
        "is_sentry_app": None,
        "is_password_expired": False,
        "is_unclaimed": False,
        "last_password_change": _TIME,
        "flags": "0",
        "session_nonce": None,
        "date_joined": _TIME,
        "last_active": _TIME,
        "avatar_type": 0,
        "avatar_url": None,
    },
    "sentry.organization": {
        "name": "Testing",
        "slug": "testing",
        "status": 0,
        "date_added": _TIME,
        "default_role": "member",
        "is_test": False,
        "flags": "1",
    },
    "sentry.team": {
        "organization": 1,
        "slug": "testing",
        "name": "Testing",
        "status": 0,
        "idp_provisioned": False,
        "date_added": _TIME,
    },
    "sentry.projectteam": {"project": 4552809002827778, "team": 4552809002827777},
    "sentry.projectkey": {
        "project": 3,
        "label": "Default",
        "public_key": "0" * 32,
        "secret_key": "1" * 32,
        "roles": "1",
        "status": 0,
        "date_added": _TIME,
        "rate_limit_count": None,
        "rate_limit_window": None,
        "data": {"dynamicSdkLoaderOptions": {"hasPerformance": True, "hasReplay": True}},
        "use_case": "user",
    },
}


def raw_row(data: bytes, ordinal: int = 1, pk: int | None = 7) -> RawRow:
    return RawRow(ordinal, pk, ordinal, data)


def handed_row(ordinal: int, data: bytes) -> RawRow:
    """As control sees it."""
    return RawRow(ordinal, None, 0, data)


def row_of(model: str, ordinal: int = 1, *, pk: Any = 7, without: str = "", **changes: Any) -> RawRow:
    fields = {name: value for name, value in {**FIELDS[model], **changes}.items() if name != without}
    data = json.dumps({"model": model, "pk": pk, "fields": fields}).encode()
    return RawRow(ordinal, integer_pk(json.dumps(pk).encode()), ordinal, data)


def decode(model: str, *rows: RawRow) -> DecodedRows:
    return RowDecoder(model, NOW).decode(rows)


def value_of(model: str, row: RawRow, field: str) -> Any:
    """What the decoder makes of a field of a good row."""
    decoder = RowDecoder(model, NOW)
    (decoded,) = decoder.decode([row]).rows
    return decoded.values[[column.name for column in decoder.columns].index(field)]
