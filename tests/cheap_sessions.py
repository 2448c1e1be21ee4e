"""Sessions that cost little: a test has several, and each usually costs more than what it is asked.

A session's start takes PostgreSQL 7 ms, and the proof of its password takes the client 3 ms more. So all databases are
made and dropped in one session, and the password of a server that lives for one run is proved in one round.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from shared.embedded.databases import DatabaseServer

_Session = psycopg.Connection[tuple[object, ...]]


class DatabasesOfOneSession(DatabaseServer):
    """Makes and drops all databases in one session, which begins with the first and is `close`d at the end."""

    def __init__(self, admin_url: str) -> None:
        super().__init__(admin_url)
        self._session: _Session | None = None

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    @contextmanager
    def _connect(self) -> Iterator[_Session]:  # type: ignore[override]
        if self._session is None or self._session.closed:
            self._session = super()._connect()
        yield self._session


def prove_password_in_one_round(admin_url: str) -> None:
    """The same password as before, kept so that SCRAM (RFC 5802) derives its key in one round in place of 4,096."""
    url = urlsplit(admin_url)
    assert url.username is not None
    assert url.password is not None
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", url.password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    verifier = f"SCRAM-SHA-256$1:{_text(salt)}${_text(stored)}:{_text(server)}"
    with psycopg.connect(admin_url, autocommit=True) as session:
        session.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(url.username), sql.Literal(verifier))
        )


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
