"""The floor of an import: parse the file as it streams, give every row a new pk, remap references, COPY. Nothing else.

No validation, no look-up of what is there, no ledger, no resume: pks go through dictionaries, and a model's rows go by
one binary COPY into tables that are made like ours, with all their indexes but no foreign keys, each in its silo's
database.
"""

import itertools
import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

_CHUNK_CHARACTERS = 65_536


_TYPED: Mapping[str, Callable[[Any], Any]] = {"timestamptz": datetime.fromisoformat, "int8": int}
_Row = dict[str, Any]
_Maps = Mapping[str, dict[int, int]]
_Source = Callable[[dict[str, Any], _Maps], Any]


def _new(model: str, field: str) -> _Source:
    def source(fields: dict[str, Any], maps: _Maps) -> Any:
        old = fields[field]
        return None if old is None else maps[model][old]

    return source


def _only(model: str) -> _Source:
    """The one row of a model: the files of the measurement have one organization."""
    return lambda _, maps: next(iter(maps[model].values()))


_ORGANIZATION = _only("sentry.organization")
_PLANS: Mapping[str, tuple[bool, str, str, Mapping[str, _Source]]] = {
    "sentry.organization": (
        False,
        "organization",
        "name status default_role is_test flags date_added",
        {"base_slug": lambda fields, _: fields["slug"], "state": lambda _, __: 0},
    ),
    "sentry.team": (
        False,
        "team",
        "slug name status idp_provisioned date_added",
        {"organization_id": _ORGANIZATION},
    ),
    "sentry.user": (
        True,
        "user_account",
        (
            "username name email password is_staff is_superuser is_active is_managed is_sentry_app is_unclaimed"
            " is_password_expired last_password_change flags session_nonce avatar_type avatar_url date_joined"
            " last_login last_active"
        ),
        {"is_suspended": lambda _, __: False},
    ),
    "sentry.project": (
        False,
        "project",
        "slug name platform status flags public first_event forced_color date_added",
        {"organization_id": _ORGANIZATION},
    ),
    "sentry.organizationmember": (
        False,
        "organization_member",
        (
            "email role flags token token_expires_at has_global_access invite_status type user_email user_is_active"
            " date_added"
        ),
        {
            "organization_id": _ORGANIZATION,
            "user_id": _new("sentry.user", "user_id"),
            "inviter_id": _new("sentry.user", "inviter_id"),
        },
    ),
    "sentry.email": (True, "email_address", "email date_added", {}),
    "sentry.useremail": (
        True,
        "user_email",
        "email is_verified validation_hash date_hash_added",
        {"user_id": _new("sentry.user", "user")},
    ),
    "sentry.projectteam": (
        False,
        "project_team",
        "",
        {
            "organization_id": _ORGANIZATION,
            "project_id": _new("sentry.project", "project"),
            "team_id": _new("sentry.team", "team"),
        },
    ),
    "sentry.projectkey": (
        False,
        "project_key",
        "label public_key secret_key roles status rate_limit_count rate_limit_window use_case date_added",
        {
            "organization_id": _ORGANIZATION,
            "project_id": _new("sentry.project", "project"),
            "data": lambda fields, _: Jsonb(fields["data"]),
        },
    ),
    "sentry.organizationmemberteam": (
        False,
        "organization_member_team",
        "is_active role",
        {
            "organization_id": _ORGANIZATION,
            "organization_member_id": _new("sentry.organizationmember", "organizationmember"),
            "team_id": _new("sentry.team", "team"),
        },
    ),
}
"""By model: whether it is control's, the table, the fields that are columns as they are, and the other columns."""


class ImportFloor:
    """The tables of the floor in both silos, and the copying of one file at a time."""

    def __init__(self, control: "psycopg.Connection[Any]", region: "psycopg.Connection[Any]") -> None:
        self._silos = (region, control)

    def make_tables(self) -> None:
        """Make them empty."""
        self.drop_tables()
        for is_control, table, _, _ in _PLANS.values():
            made_like = f"CREATE TABLE floor_{table} (LIKE {table} INCLUDING ALL EXCLUDING IDENTITY)"
            self._silos[is_control].execute(made_like.encode())
        self._commit()

    def drop_tables(self) -> None:
        """Remove what was made."""
        for is_control, table, _, _ in _PLANS.values():
            self._silos[is_control].execute(f"DROP TABLE IF EXISTS floor_{table}".encode())
        self._commit()

    def copy(self, path: Path) -> int:
        """Copy the file, in one transaction of each silo; returns how many objects it had."""
        maps: dict[str, dict[int, int]] = {model: {} for model in _PLANS}
        pks = itertools.count(1)
        objects = 0
        for model, rows in itertools.groupby(_rows(path), key=operator.itemgetter("model")):
            is_control, table, plain, others = _PLANS[model]
            names, sources, own = plain.split(), tuple(others.values()), maps[model]
            types = self._types(self._silos[is_control], table, [*names, *others])
            typed = [(name, _TYPED.get(of_type)) for name, of_type in zip(names, types, strict=False)]
            statement = f"COPY floor_{table} (id, {', '.join([*names, *others])}) FROM STDIN (FORMAT binary)"
            with self._silos[is_control].cursor() as cursor, cursor.copy(statement.encode()) as copy:
                copy.set_types(["int8", *types])
                for row in rows:
                    fields = row["fields"]
                    own[row["pk"]] = pk = next(pks)
                    values = [
                        fields[name] if make is None or fields[name] is None else make(fields[name])
                        for name, make in typed
                    ]
                    copy.write_row((pk, *values, *[source(fields, maps) for source in sources]))
                    objects += 1
        self._commit()
        return objects

    def _types(self, connection: "psycopg.Connection[Any]", table: str, columns: list[str]) -> list[str]:
        query = "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s"
        types = dict(connection.execute(query, (table,)).fetchall())
        return [types[column] for column in columns]

    def _commit(self) -> None:
        for connection in self._silos:
            connection.commit()


@contextmanager
def import_floor(control_url: str, region_url: str) -> Iterator[ImportFloor]:
    """The floor beside the tables of both silos; nothing of it stays."""
    with ExitStack() as stack:
        control, region = (stack.enter_context(psycopg.connect(url)) for url in (control_url, region_url))
        floor = ImportFloor(control, region)
        floor.make_tables()
        try:
            yield floor
        finally:
            control.rollback()
            region.rollback()
            floor.drop_tables()


def _rows(path: Path) -> Iterator[_Row]:
    """The objects of the file's array, by the standard library's decoder on a buffer of one chunk and a rest."""
    decode, skip = json.JSONDecoder().raw_decode, re.compile(r"[\s,]*").match
    with path.open(encoding="utf-8") as file:
        assert file.read(1) == "[", "the file is no array"
        rest = ""
        while chunk := file.read(_CHUNK_CHARACTERS):
            text, position = rest + chunk, 0
            while True:
                between = skip(text, position)
                assert between is not None, "it matches nothing too"
                position = between.end()
                try:
                    row, position = decode(text, position)
                except json.JSONDecodeError:
                    break
                yield row
            rest = text[position:]
    assert rest.strip() == "]", "the array does not end"
