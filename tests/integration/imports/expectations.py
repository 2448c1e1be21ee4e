"""What an import in organization scope must have written for a file's rows, computed from the file alone.

Nothing here shares code with the importer: conversions and rules are written down a second time, field by field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = dict[str, Any]

NEW = "<new>"
"""The value is random; it must be there and differ from the file's."""

CONTROL_TABLES = {"sentry.user": "user_account", "sentry.email": "email_address", "sentry.useremail": "user_email"}
REGION_TABLES = {
    "sentry.organization": "organization",
    "sentry.team": "team",
    "sentry.organizationmember": "organization_member",
    "sentry.organizationmemberteam": "organization_member_team",
    "sentry.project": "project",
    "sentry.projectteam": "project_team",
    "sentry.projectkey": "project_key",
}
MODELS = (*CONTROL_TABLES, *REGION_TABLES)


@dataclass
class Before:
    """What the silos held before the import."""

    usernames: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    public_keys: set[str] = field(default_factory=set)
    secret_keys: set[str] = field(default_factory=set)


@dataclass
class Expected:
    """The decision for every row by (model, pk), and the rows that must not be written."""

    decisions: dict[tuple[str, int], str] = field(default_factory=dict)
    skipped: dict[tuple[str, int], str] = field(default_factory=dict)


def expect(rows: Iterable[Row], before: Before) -> Expected:
    """Decide for every row of the ten models, in the order in which references can be followed."""
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"].lower(), []).append(row)
    expected = Expected()
    usernames, addresses = set(before.usernames), set(before.addresses)
    for row in by_model.get("sentry.user", ()):
        username = row["fields"]["username"].lower()
        expected.decisions["sentry.user", row["pk"]] = "SUFFIX" if username in usernames else "INSERT"
        usernames.add(username)
        if row["fields"]["email"]:
            addresses.add(row["fields"]["email"].lower())
    for row in by_model.get("sentry.email", ()):
        address = row["fields"]["email"].lower()
        expected.decisions["sentry.email", row["pk"]] = "MERGE" if address in addresses else "INSERT"
        addresses.add(address)
    for model, references in _REFERENCES.items():
        for row in by_model.get(model, ()):
            _follow(expected, model, row, references)
    return expected


def written(model: str, fields: Row, new: Mapping[tuple[str, int], int], before: Before, import_id: int) -> Row:
    """The row's columns after the import; `new` is the ledger: (model, old pk) -> new pk."""
    made: Row = _WRITTEN[model](
        fields, lambda target, pk: None if pk is None else new.get((target, pk)), before, import_id
    )
    return made


_REFERENCES: dict[str, dict[str, str]] = {
    "sentry.useremail": {"user": "sentry.user"},
    "sentry.organization": {},
    "sentry.team": {"organization": "sentry.organization"},
    "sentry.project": {"organization": "sentry.organization", "template": "sentry.projecttemplate"},
    "sentry.organizationmember": {"organization": "sentry.organization", "user_id": "sentry.user"},
    "sentry.projectteam": {"project": "sentry.project", "team": "sentry.team"},
    "sentry.projectkey": {"project": "sentry.project"},
    "sentry.organizationmemberteam": {"organizationmember": "sentry.organizationmember", "team": "sentry.team"},
}


def _follow(expected: Expected, model: str, row: Row, references: dict[str, str]) -> None:
    for name, target in references.items():
        pk = row["fields"].get(name)
        if pk is not None and (target, pk) not in expected.decisions:
            expected.skipped[model, row["pk"]] = "MISSING_REFERENCE"
            return
    expected.decisions[model, row["pk"]] = "INSERT"


def time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _user(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "name": fields["name"],
        "email": fields["email"],
        "password": NEW,
        "is_staff": False,
        "is_superuser": False,
        "is_managed": False,
        "is_active": fields["is_active"],
        "is_sentry_app": fields.get("is_sentry_app"),
        "is_unclaimed": True,
        "is_suspended": fields.get("is_suspended", False),
        "is_password_expired": False,
        "last_password_change": "<now>",
        "flags": int(fields["flags"]),
        "session_nonce": fields["session_nonce"],
        "avatar_type": fields.get("avatar_type", 0),
        "avatar_url": fields.get("avatar_url"),
        "date_joined": time(fields["date_joined"]),
        "last_login": time(fields["last_login"]),
        "last_active": time(fields["last_active"]),
    }


def _email(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {"date_added": time(fields["date_added"])}


def _user_email(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "user_id": new("sentry.user", fields["user"]),
        "email": fields["email"],
        "is_verified": False,
        "validation_hash": NEW,
        "date_hash_added": "<now>",
    }


def _organization(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "base_slug": fields["slug"],
        "name": fields["name"],
        "state": 1,
        "status": fields["status"],
        "default_role": fields["default_role"],
        "flags": int(fields["flags"]),
        "is_test": fields.get("is_test", False),
        "date_added": time(fields["date_added"]),
        "import_id": import_id,
    }


def _team(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "organization_id": new("sentry.organization", fields["organization"]),
        "slug": fields["slug"],
        "name": fields["name"],
        "status": fields["status"],
        "idp_provisioned": fields.get("idp_provisioned", False),
        "date_added": time(fields["date_added"]),
    }


def _member(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "organization_id": new("sentry.organization", fields["organization"]),
        "user_id": new("sentry.user", fields["user_id"]),
        "inviter_id": new("sentry.user", fields["inviter_id"]),
        "email": fields["email"],
        "role": fields["role"],
        "flags": int(fields["flags"]),
        "token": fields["token"],
        "token_expires_at": time(fields["token_expires_at"]),
        "has_global_access": fields["has_global_access"],
        "invite_status": fields["invite_status"],
        "type": fields["type"],
        "user_email": fields.get("user_email"),
        "user_is_active": fields.get("user_is_active", True),
        "date_added": time(fields["date_added"]),
    }


def _member_team(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "organization_member_id": new("sentry.organizationmember", fields["organizationmember"]),
        "team_id": new("sentry.team", fields["team"]),
        "is_active": fields["is_active"],
        "role": fields["role"],
    }


def _project(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "organization_id": new("sentry.organization", fields["organization"]),
        "slug": fields["slug"],
        "name": fields["name"],
        "platform": fields["platform"],
        "status": fields["status"],
        "flags": int(fields["flags"]),
        "public": fields["public"],
        "first_event": time(fields["first_event"]),
        "forced_color": fields["forced_color"],
        "template_id": None,
        "date_added": time(fields["date_added"]),
    }


def _project_team(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {"project_id": new("sentry.project", fields["project"]), "team_id": new("sentry.team", fields["team"])}


def _project_key(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "project_id": new("sentry.project", fields["project"]),
        "label": fields["label"],
        "public_key": NEW if fields["public_key"] in before.public_keys else fields["public_key"],
        "secret_key": NEW if fields["secret_key"] in before.secret_keys else fields["secret_key"],
        "roles": int(fields["roles"]),
        "status": fields["status"],
        "rate_limit_count": fields["rate_limit_count"],
        "rate_limit_window": fields["rate_limit_window"],
        "data": fields["data"],
        "use_case": fields.get("use_case", "user"),
        "date_added": time(fields["date_added"]),
    }


_WRITTEN: dict[str, Any] = {
    "sentry.user": _user,
    "sentry.email": _email,
    "sentry.useremail": _user_email,
    "sentry.organization": _organization,
    "sentry.team": _team,
    "sentry.organizationmember": _member,
    "sentry.organizationmemberteam": _member_team,
    "sentry.project": _project,
    "sentry.projectteam": _project_team,
    "sentry.projectkey": _project_key,
}
