"""What a token is in every silo: its secret's form, the hash that is stored, and the rules of a check.

A secret is shown once, when it is minted; rows, logs and messages carry its SHA-256 only. Control owns the rows;
regions check calls by their replicas with the same rules, so an answer never depends on the silo that gives it.
"""

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.clock import Clock
from shared.errors import AudienceMismatch, TokenExpired, TokenRevoked, Unauthenticated, UserSuspended
from shared.rpc.call import Caller

SCOPES = (
    "project:read",
    "project:write",
    "project:admin",
    "project:releases",
    "org:read",
    "org:admin",
    "org:ci",
    "import:write",
    "ids:generate",
    "silo:operate",
)
EVERYWHERE = "*"
"""The audience of a token that is for all silos, also for those that come later."""

SECRET_PREFIX = "siloway_"  # noqa: S105 - a marker, so that leaked secrets can be searched for
CACHE_TTL_S = 1.0
_SECRET = re.compile(r"siloway_[A-Za-z0-9_-]{43}")
_SECRET_BYTES = 32
_CACHED_MAX = 10_000


@dataclass(frozen=True)
class Token:
    """A token's row. `audience` holds silo names or "*"; `organization_id` is the only one that it may touch, or
    None; `user_id` the user that it acts for, or None. Quotas are per minute and silo, 0 is none.
    """

    id: int
    secret_hash: bytes
    name: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...]
    organization_id: int | None
    expires_at: datetime | None
    revoked_at: datetime | None
    version: int
    created_at: datetime
    user_id: int | None = None
    user_suspended: bool = False
    calls_per_minute: int = 0
    ids_per_minute: int = 0

    @property
    def principal(self) -> str:
        """Who calls with it, in the words of every silo: the user that it acts for, else the token itself."""
        return f"tokens/{self.id}" if self.user_id is None else f"users/{self.user_id}"


def new_secret() -> str:
    """`siloway_` and 43 characters of base64url: 256 random bits."""
    return SECRET_PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret. No salt and no stretching: the secret is random, not chosen by a person."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret(text: str) -> bool:
    """Whether the text has a secret's form; anything else is refused without a look into the database."""
    return _SECRET.fullmatch(text) is not None


def check(token: Token, *, silo: str, now: datetime) -> None:
    """Raise TokenRevoked, TokenExpired, UserSuspended or AudienceMismatch when the token is not good for a call to
    `silo` at `now`.
    """
    if token.revoked_at is not None:
        raise TokenRevoked
    if token.expires_at is not None and token.expires_at <= now:
        raise TokenExpired
    if token.user_suspended:
        raise UserSuspended
    if EVERYWHERE not in token.audience and silo not in token.audience:
        raise AudienceMismatch(metadata={"silo": silo})


class Authenticator:
    """Turns a secret into who calls. What it has found it believes for a second, for at most 10,000 tokens.

    A revocation counts at most a second after its row is written; expiry is looked at on every call. What was not
    found is not kept: a new token works at once, and a flood of wrong secrets cannot push out good ones. `confirm`
    raises while no token is to be believed.
    """

    def __init__(
        self,
        find: Callable[[bytes], Token | None],
        *,
        clock: Clock,
        silo: str,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        self._find = find
        self._confirm = confirm
        self._clock = clock
        self._silo = silo
        self._found: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, secret: str) -> Caller:
        """The caller. Raises Unauthenticated (unknown, expired, revoked, suspended), AudienceMismatch,
        StoreUnreachable, and what `confirm` raises.
        """
        if not is_secret(secret):
            raise Unauthenticated
        secret_hash = hash_secret(secret)
        known = self._known(secret_hash)
        if known is None:
            asked_at = self._clock.monotonic()
            token = self._find(secret_hash)
            # The index has compared hashes; this keeps the verdict from depending on how it compares.
            if token is None or not hmac.compare_digest(token.secret_hash, secret_hash):
                raise Unauthenticated
            known = _Known(asked_at, token, _caller_with(token))
            self._remember(secret_hash, known)
        check(known.token, silo=self._silo, now=self._clock.now())
        self._confirm()
        return known.caller

    def _known(self, secret_hash: bytes) -> "_Known | None":
        found = self._found.get(secret_hash)
        if found is None or self._clock.monotonic() - found.asked_at >= CACHE_TTL_S:
            return None
        return found

    def _remember(self, secret_hash: bytes, known: "_Known") -> None:
        with self._lock:
            self._found[secret_hash] = known
            self._found.move_to_end(secret_hash)
            while len(self._found) > _CACHED_MAX:
                self._found.popitem(last=False)


class _Known(NamedTuple):
    """A token as it was read, and who calls with it."""

    asked_at: float
    token: Token
    caller: Caller


def _caller_with(token: Token) -> Caller:
    return Caller(
        token.principal,
        scopes=frozenset(token.scopes),
        organization_id=token.organization_id,
        token_id=token.id,
        user_id=token.user_id,
        calls_per_minute=token.calls_per_minute,
        ids_per_minute=token.ids_per_minute,
    )
