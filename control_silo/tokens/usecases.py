"""Minting and revoking tokens, their replication to the regions of their audience, and control's own check of calls.

Every change of a row is told to each region of its audience in the same transaction, so no replica stays behind for
ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from control_silo.regions import store as region_store
from control_silo.tokens import domain, store
from control_silo.tokens.domain import NewToken
from control_silo.users.keeping import keep_user
from shared import audit, delivery
from shared.clock import Clock
from shared.database import Database, Transaction
from shared.errors import Resource, TokenNotFound
from shared.outbox import enqueue, tombstones
from shared.outbox.domain import SubjectState
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import Authenticator, Token, hash_secret, new_secret


def mint_token(database: Database, allocator: SnowflakeAllocator, new: NewToken) -> tuple[Token, str]:
    """A new token and its secret, which is shown here and never again. Raises InvalidArgument, IdsExhausted,
    ClockBehind.
    """
    token_id = allocator.take(1)[0]
    return database.transact(lambda transaction: mint(transaction, token_id, new))


def mint(
    transaction: Transaction,
    token_id: int,
    new: NewToken,
    fields: Mapping[str, str] | None = None,
    *,
    request_id: str | None = None,
) -> tuple[Token, str]:
    """Within a transaction: check and write the token, send it to its regions.

    `fields` are the names that the caller knows the fields by, `request_id` is the mutation's for the audit. A token of
    a suspended user counts once the suspension is taken back. Raises InvalidArgument, UserNotFound.
    """
    suspended = new.user_id is not None and keep_user(transaction, new.user_id).suspended
    region_store.keep(transaction)
    regions = [region.name for region in region_store.read_all(transaction)]
    domain.check(new, regions=regions, now=transaction.now, fields=fields)
    return write_new(transaction, token_id, new, user_suspended=suspended, request_id=request_id)


def write_new(
    transaction: Transaction,
    token_id: int,
    new: NewToken,
    *,
    user_suspended: bool = False,
    request_id: str | None = None,
) -> tuple[Token, str]:
    """Write a token that was checked; its scopes and audience are kept once each, sorted."""
    secret = new_secret()
    token = replace(_row(transaction, token_id, new, secret), user_suspended=user_suspended)
    store.add(transaction, token)
    replicate(transaction, token)
    _audit(transaction, "token.create", token, request_id)
    return token, secret


def revoke_token(transaction: Transaction, token_id: int, *, request_id: str | None = None) -> Token:
    """End a token for good; a repeat changes nothing. Raises TokenNotFound."""
    token = store.revoke(transaction, token_id)
    if token is not None:
        replicate(transaction, token)
        _audit(transaction, "token.revoke", token, request_id)
        return token
    token = store.find_by_id(transaction, token_id)
    if token is None:
        raise TokenNotFound(resource=Resource("siloway/Token", f"tokens/{token_id}"))
    return token


def replicate(transaction: Transaction, token: Token) -> None:
    """Send the token's row, as it will be read then, to every region of its audience."""
    region_store.keep(transaction)
    regions = [region.name for region in region_store.read_all(transaction)]
    for region in domain.regions_of(token.audience, regions):
        _send(transaction, token.id, region)


def bury_token(
    transaction: Transaction, token_id: int, audience: Sequence[str], version: int, regions: Sequence[str]
) -> None:
    """Tell every region of its audience, out of those of the directory, that the token's row is gone."""
    for region in domain.regions_of(audience, regions):
        _bury(transaction, token_id, region, version + 1)


def resend_token(transaction: Transaction, token_id: int) -> bool:
    """Send a token to all regions of its audience under a new version, for one may have lost what it was sent before.

    False when there is no such token.
    """
    token = store.raise_version(transaction, token_id)
    if token is not None:
        replicate(transaction, token)
    return token is not None


def remove_replica(transaction: Transaction, token_id: int, region: str, *, version: int) -> bool:
    """Let a region delete its copy, which has that version, of a token that control does not have. False for one that
    control has.
    """
    if store.find_by_id(transaction, token_id) is not None:
        return False
    _bury(transaction, token_id, region, version + 1)
    return True


def send_tokens_to_region(transaction: Transaction, region: str) -> None:
    """Send all tokens of its audience to a region that is new in the directory."""
    for token_id in store.ids_for_audience(transaction, region):
        _send(transaction, token_id, region)


def scopes_of(transaction: Transaction, principal: str, at: datetime) -> frozenset[str]:
    """What a principal might do at that time: "tokens/<id>" by its token, "users/<id>" by all that act for the user.

    Nothing once the tokens are gone or revoked, or the user is suspended.
    """
    return frozenset(scope for token in tokens_of(transaction, principal, at) for scope in token.scopes)


def tokens_of(transaction: Transaction, principal: str, at: datetime) -> list[Token]:
    """The tokens by which a principal might do something at that time, as `scopes_of` says."""
    kind, _, key = principal.partition("/")
    if not key.isdigit():
        return []
    tokens: list[Token] = []
    if kind == "tokens":
        tokens = store.read_many(transaction, [int(key)])
    elif kind == "users":
        tokens = store.find_unrevoked_by_user(transaction, int(key))
    return [token for token in tokens if _counts(token, at)]


class TokenSource:
    """Reads the rows that the outbox's token messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The state of each token by its id as text; a deleted one answers from its tombstone."""
        states = dict(tombstones.read(transaction, delivery.TOKEN, subjects))
        for token in store.read_many(transaction, [int(subject) for subject in subjects]):
            states[str(token.id)] = (token.version, False, delivery.encode(delivery.TokenState.of(token)))
        return states


def authenticator(database: Database, clock: Clock) -> Authenticator:
    """Checks calls to control by its own rows."""

    def find(secret_hash: bytes) -> Token | None:
        return database.ask(lambda transaction: store.find_by_hash(transaction, secret_hash))

    return Authenticator(find, clock=clock, silo=domain.CONTROL)


def suspend_tokens(transaction: Transaction, user_id: int, *, suspended: bool) -> None:
    """Let the tokens that act for a user be refused, or count again, in every silo of their audience."""
    for token in store.set_user_suspended(transaction, user_id, suspended=suspended):
        replicate(transaction, token)


def _counts(token: Token, at: datetime) -> bool:
    is_over = token.expires_at is not None and token.expires_at <= at
    return token.revoked_at is None and not token.user_suspended and not is_over


def _audit(transaction: Transaction, action: str, token: Token, request_id: str | None) -> None:
    audit.record(
        transaction,
        action=action,
        target=token.principal,
        organization_id=token.organization_id,
        request_id=request_id,
        detail={"name": token.name, "scopes": list(token.scopes), "audience": list(token.audience)},
    )


def _bury(transaction: Transaction, token_id: int, region: str, version: int) -> None:
    tombstones.bury(
        transaction,
        target=region,
        aggregate=f"tokens/{token_id}",
        category=delivery.TOKEN,
        subject=str(token_id),
        version=version,
    )


def _send(transaction: Transaction, token_id: int, region: str) -> None:
    enqueue(
        transaction,
        target=region,
        aggregate=f"tokens/{token_id}",
        category=delivery.TOKEN,
        subject=str(token_id),
    )


def _row(transaction: Transaction, token_id: int, new: NewToken, secret: str) -> Token:
    return Token(
        id=token_id,
        secret_hash=hash_secret(secret),
        name=new.name,
        audience=tuple(sorted(set(new.audience))),
        scopes=tuple(sorted(set(new.scopes))),
        organization_id=new.organization_id,
        expires_at=new.expires_at,
        revoked_at=None,
        version=1,
        created_at=transaction.now,
        user_id=new.user_id,
        calls_per_minute=new.calls_per_minute,
        ids_per_minute=new.ids_per_minute,
    )
