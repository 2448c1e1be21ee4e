"""Writes export files of any size in the real format, for demonstrations, tests and measurements.

The same arguments always give the same bytes. Only the standard library is used, and rows are written as they are made,
so that a large file costs no memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, BinaryIO

OBJECTS_MIN = 20

_EPOCH = datetime(2023, 6, 22, 22, 59, 55, tzinfo=UTC)
_GIVEN = ("ada", "bela", "cem", "dora", "emil", "fatma", "goro", "hana", "ivan", "jo", "kofi", "lena", "mei", "nils")
_FAMILY = (
    "adler",
    "brandt",
    "costa",
    "dvorak",
    "eriksen",
    "fischer",
    "garcia",
    "haas",
    "ito",
    "jensen",
    "kaya",
    "lind",
)
_NOUNS = ("api", "web", "worker", "mobile", "billing", "search", "mail", "auth", "edge", "report", "sync", "cron")
_PLATFORMS = ("python", "javascript", "go", "java", None)
_TEXT_MAX = 50


@dataclass(frozen=True)
class ExportFacts:
    """What a written file holds: rows by model in the file's order, its length and its SHA-256 (hexadecimal)."""

    objects: int
    rows: Mapping[str, int]
    size_bytes: int
    sha256: str
    organization_slug: str


@dataclass(frozen=True)
class _Size:
    """How many of each: five rows a member (user, address twice, membership, team), three a project."""

    teams: int
    projects: int
    members: int
    keys: int

    @classmethod
    def of(cls, objects: int) -> "_Size":
        teams = max(1, objects // 200)
        projects = max(1, objects // 20)
        rest = objects - 1 - teams - projects * 3
        members = rest // 5
        # What does not make a whole member becomes further keys.
        return cls(teams, projects, members, projects + rest % 5)


def write_export(
    to: Path | BinaryIO, *, objects: int, seed: int, organization_slug: str, first_pk: int = 1
) -> ExportFacts:
    """Write one organization with users, addresses, teams, projects and keys: exactly `objects` rows.

    `first_pk` is the least pk of every model. Raises ValueError below OBJECTS_MIN objects, or for a slug that is too
    long.
    """
    if objects < OBJECTS_MIN:
        raise ValueError(f"an export file has at least {OBJECTS_MIN} objects")
    if not 0 < len(organization_slug) <= _TEXT_MAX:
        raise ValueError(f"an organization's slug has 1 to {_TEXT_MAX} characters")
    if isinstance(to, Path):
        with to.open("wb") as file:
            return _write(file, objects, seed, organization_slug, first_pk)
    return _write(to, objects, seed, organization_slug, first_pk)


def _write(file: BinaryIO, objects: int, seed: int, organization_slug: str, first_pk: int) -> ExportFacts:
    digest = hashlib.sha256()
    rows: Counter[str] = Counter()
    size_bytes = 0

    def put(data: bytes) -> None:
        nonlocal size_bytes
        digest.update(data)
        size_bytes += file.write(data)

    separator = b"[\n"
    for row in _Export(_Size.of(objects), Random(seed), organization_slug, first_pk).rows():  # noqa: S311
        rows[row["model"]] += 1
        put(separator + json.dumps(row, indent=2).encode())
        separator = b",\n"
    put(b"\n]\n")
    assert rows.total() == objects, "the sizes do not sum up"
    return ExportFacts(objects, dict(rows), size_bytes, digest.hexdigest(), organization_slug)


class _Export:
    """The rows of one file, in the order in which an export has its models."""

    def __init__(self, size: _Size, random: Random, slug: str, first_pk: int) -> None:
        self._size = size
        self._random = random
        self._slug = slug
        self._first_pk = first_pk

    def rows(self) -> Iterator[dict[str, Any]]:
        size = self._size
        yield self._row("sentry.organization", 0, self._organization())
        for number in range(size.teams):
            yield self._row("sentry.team", number, self._team(number))
        for number in range(size.members):
            yield self._row("sentry.user", number, self._user(number))
        for number in range(size.projects):
            yield self._row("sentry.project", number, self._project(number))
        for number in range(size.members):
            yield self._row("sentry.organizationmember", number, self._member(number))
        for number in range(size.members):
            address = {"email": self._address(number), "date_added": self._time(number)}
            yield self._row("sentry.email", number, address)
        for number in range(size.members):
            yield self._row("sentry.useremail", number, self._user_email(number))
        for number in range(size.projects):
            fields = {"project": self._pk(number), "team": self._pk(number % size.teams)}
            yield self._row("sentry.projectteam", number, fields)
        for number in range(size.keys):
            yield self._row("sentry.projectkey", number, self._project_key(number))
        for number in range(size.members):
            yield self._row("sentry.organizationmemberteam", number, self._member_team(number))

    def _row(self, model: str, number: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {"model": model, "pk": self._pk(number), "fields": fields}

    def _pk(self, number: int) -> int:
        return self._first_pk + number

    def _time(self, number: int) -> str:
        moment = _EPOCH + timedelta(seconds=number * 61, milliseconds=self._random.randrange(1000))
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

    def _hex(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def _person(self, number: int) -> str:
        given = _GIVEN[number % len(_GIVEN)]
        family = _FAMILY[number // len(_GIVEN) % len(_FAMILY)]
        return f"{given}.{family}.{number}"

    def _address(self, number: int) -> str:
        return f"{self._person(number)}@{self._slug}.example.com"

    def _organization(self) -> dict[str, Any]:
        return {
            "name": self._slug.replace("-", " ").title(),
            "slug": self._slug,
            "status": 0,
            "date_added": self._time(0),
            "default_role": "member",
            "is_test": False,
            "flags": "1",
        }

    def _team(self, number: int) -> dict[str, Any]:
        name = f"{_NOUNS[number % len(_NOUNS)]} team {number}"
        return {
            "organization": self._pk(0),
            "slug": name.replace(" ", "-"),
            "name": name,
            "status": 0,
            "idp_provisioned": False,
            "date_added": self._time(number),
        }

    def _user(self, number: int) -> dict[str, Any]:
        given, family, _ = self._person(number).split(".")
        return {
            "password": f"pbkdf2_sha256$600000${self._hex()[:22]}${self._hex()}",
            "last_login": None,
            "username": self._address(number),
            "name": f"{given} {family}".title(),
            "email": self._address(number),
            "is_staff": number == 0,
            "is_active": number % 50 != 49,
            "is_superuser": number == 0,
            "is_managed": False,
            "is_sentry_app": None,
            "is_password_expired": False,
            "is_unclaimed": False,
            "last_password_change": self._time(number),
            "flags": "0",
            "session_nonce": None,
            "date_joined": self._time(number),
            "last_active": self._time(number),
            "avatar_type": 0,
            "avatar_url": None,
        }

    def _project(self, number: int) -> dict[str, Any]:
        name = f"{_NOUNS[number % len(_NOUNS)]} {number}"
        return {
            "slug": name.replace(" ", "-"),
            "name": name.title(),
            "forced_color": None,
            "organization": self._pk(0),
            "public": False,
            "date_added": self._time(number),
            "status": 0,
            "first_event": None,
            "flags": "10",
            "platform": self._random.choice(_PLATFORMS),
            "template": None,
        }

    def _member(self, number: int) -> dict[str, Any]:
        # One member in forty is an invitation that nobody has taken yet.
        invited = number % 40 == 39
        return {
            "organization": self._pk(0),
            "user_id": None if invited else self._pk(number),
            "email": f"invited.{self._address(number)}" if invited else None,
            "role": "owner" if number == 0 else "member",
            "flags": "0",
            "token": self._hex() * 2 if invited else None,
            "date_added": self._time(number),
            "token_expires_at": self._time(number + 10_000) if invited else None,
            "has_global_access": True,
            "inviter_id": self._pk(0) if invited else None,
            "invite_status": 0,
            "type": 50,
            "user_is_active": True,
            "user_email": None if invited else self._address(number),
        }

    def _user_email(self, number: int) -> dict[str, Any]:
        return {
            "user": self._pk(number),
            "email": self._address(number),
            "validation_hash": self._hex(),
            "date_hash_added": self._time(number),
            "is_verified": number % 3 != 0,
        }

    def _project_key(self, number: int) -> dict[str, Any]:
        return {
            "project": self._pk(number % self._size.projects),
            "label": "Default" if number < self._size.projects else f"Further {number}",
            "public_key": self._hex(),
            "secret_key": self._hex(),
            "roles": "1",
            "status": 0,
            "date_added": self._time(number),
            "rate_limit_count": None,
            "rate_limit_window": None,
            "data": {"dynamicSdkLoaderOptions": {"hasPerformance": True, "hasReplay": True}},
            "use_case": "user",
        }

    def _member_team(self, number: int) -> dict[str, Any]:
        return {
            "team": self._pk(number % self._size.teams),
            "organizationmember": self._pk(number),
            "is_active": True,
            "role": None,
        }
