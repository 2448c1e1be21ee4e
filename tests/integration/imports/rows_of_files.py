"""Small export files to spoil."""

from typing import Any

Row = dict[str, Any]
TIME = "2023-06-22T22:59:55.521Z"


def user(pk: int, username: str | None = None, **fields: Any) -> Row:
    name = username or f"user{pk}@example.com"
    return _row(
        "sentry.user",
        pk,
        {"username": name, "name": f"User {pk}", "email": name, "password": "md5$a$b", "date_joined": TIME, **fields},
    )


def email(pk: int, address: str) -> Row:
    return _row("sentry.email", pk, {"email": address, "date_added": TIME})


def user_email(pk: int, of: int, address: str) -> Row:
    fields = {"user": of, "email": address, "validation_hash": "x" * 32, "date_hash_added": TIME, "is_verified": True}
    return _row("sentry.useremail", pk, fields)


def organization(pk: int, slug: str = "acme") -> Row:
    return _row("sentry.organization", pk, {"name": slug.title(), "slug": slug, "flags": "1", "date_added": TIME})


def member(pk: int, of: int, user_id: int | None, **fields: Any) -> Row:
    values = {"organization": of, "user_id": user_id, "email": None, "date_added": TIME, "inviter_id": None, **fields}
    return _row("sentry.organizationmember", pk, values)


def team(pk: int, of: int, slug: str) -> Row:
    return _row("sentry.team", pk, {"organization": of, "slug": slug, "name": slug, "date_added": TIME})


def member_team(pk: int, member_pk: int, team_pk: int) -> Row:
    return _row("sentry.organizationmemberteam", pk, {"organizationmember": member_pk, "team": team_pk})


def project(pk: int, of: int, slug: str, **fields: Any) -> Row:
    values = {"organization": of, "slug": slug, "name": slug, "date_added": TIME, **fields}
    return _row("sentry.project", pk, values)


def project_team(pk: int, project_pk: int, team_pk: int) -> Row:
    return _row("sentry.projectteam", pk, {"project": project_pk, "team": team_pk})


def project_key(pk: int, of: int, public: str | None, secret: str | None) -> Row:
    fields = {"project": of, "label": "Default", "public_key": public, "secret_key": secret, "data": {}}
    return _row("sentry.projectkey", pk, fields)


def row(model: str, pk: int, **fields: Any) -> Row:
    """A row of any model."""
    return _row(model, pk, fields)


def _row(model: str, pk: int, fields: dict[str, Any]) -> Row:
    return {"model": model, "pk": pk, "fields": fields}


def one_of_each() -> list[Row]:
    """An organization with a row of each model that has a table in these files."""
    return [
        user(1, "owner@example.com"),
        email(1, "owner@example.com"),
        user_email(1, 1, "owner@example.com"),
        organization(1),
        member(1, 1, 1),
        team(1, 1, "team"),
        member_team(1, 1, 1),
        project(1, 1, "project"),
        project_team(1, 1, 1),
        project_key(1, 1, "a" * 32, "b" * 32),
    ]
