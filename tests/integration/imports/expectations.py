"""What an import must have written into the tables that the silos act on, computed from the file alone.

Nothing here shares code with the importer: conversions and rules are written down a second time, field by field.
"""

import ast
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tests.integration.imports.deciding import Before, Row

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
    "sentry.environment": "environment",
    "sentry.environmentproject": "environment_project",
    "sentry.repository": "repository",
    "sentry.counter": "project_counter",
}
MODELS = (*CONTROL_TABLES, *REGION_TABLES)


def written(model: str, fields: Row, new: Mapping[tuple[str, int], int], before: Before, import_id: int) -> Row:
    """The row's columns after the import; `new` is the ledger: (model, old pk) -> new pk."""
    made: Row = _WRITTEN[model](
        fields, lambda target, pk: None if pk is None else new.get((target, pk)), before, import_id
    )
    return made


def time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _user(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    made = _new_user(fields)
    if before.scope == "Global":
        made |= {name: fields[name] for name in ("is_staff", "is_superuser", "is_managed")}
        if not fields.get("is_unclaimed", False):
            made |= {name: fields[name] for name in ("password", "is_password_expired")}
            made |= {"is_unclaimed": False, "last_password_change": time(fields["last_password_change"])}
    return made


def _new_user(fields: Row) -> Row:
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
    made = {"user_id": new("sentry.user", fields["user"]), "email": fields["email"]}
    if before.scope == "Global":
        names = ("is_verified", "validation_hash")
        return {**made, **{name: fields[name] for name in names}, "date_hash_added": time(fields["date_hash_added"])}
    return {
        **made,
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
        "template_id": new("sentry.projecttemplate", fields.get("template")),
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


def _environment(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "organization_id": new("sentry.organization", fields["organization_id"]),
        "name": fields["name"],
        "date_added": time(fields["date_added"]),
    }


def _environment_project(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {
        "project_id": new("sentry.project", fields["project"]),
        "environment_id": new("sentry.environment", fields["environment"]),
        "is_hidden": fields["is_hidden"],
    }


def _repository(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    languages = fields.get("languages")
    return {
        "organization_id": new("sentry.organization", fields["organization_id"]),
        "integration_id": new("sentry.integration", fields["integration_id"]),
        **{name: fields[name] for name in ("name", "url", "provider", "external_id", "config", "status")},
        "languages": ast.literal_eval(languages) if isinstance(languages, str) else languages,
        "date_added": time(fields["date_added"]),
    }


def _counter(fields: Row, new: Any, before: Before, import_id: int) -> Row:
    return {"project_id": new("sentry.project", fields["project"]), "value": fields["value"]}


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
    "sentry.environment": _environment,
    "sentry.environmentproject": _environment_project,
    "sentry.repository": _repository,
    "sentry.counter": _counter,
}
