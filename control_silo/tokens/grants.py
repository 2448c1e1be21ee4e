"""What a caller may do with tokens: an operator anything, a token of one organization only what concerns that one.

A secret leaves the process in one answer only; request records keep the token's id.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from control_silo.organizations import store as organization_store
from control_silo.organizations.usecases import check_kept, not_found, resolve
from control_silo.tokens import domain, store
from control_silo.tokens.domain import NewToken, TokenKey
from control_silo.tokens.usecases import mint, revoke_token
from shared.database import Database, Transaction
from shared.errors import PermissionDenied, Resource, ScopeMissing, TokenNotFound
from shared.names import Key
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token
from shared.rpc.call import Caller, current_caller
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import Token

OPERATE = "silo:operate"
ADMIN = "org:admin"

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""

_FIELDS = {
    "name": "token.display_name",
    "scopes": "token.scopes",
    "audience": "token.audience",
    "organization": "token.organization",
    "expires_at": "token.expire_time",
}


@dataclass(frozen=True)
class CreatedToken:
    """A new token; `secret` is None when an earlier answer to the same request had it."""

    token: Token
    secret: str | None


class TokenUseCases:
    """Control's tokens, as far as the current caller may touch them."""

    def __init__(self, database: Database, ids: SnowflakeAllocator) -> None:
        self._database = database
        self._ids = ids

    def create_token(self, organization: Key | None, new: NewToken, identify: Identify) -> CreatedToken:
        """Make a token for `organization` (its id or slug; None: for any).

        Raises ScopeMissing, GrantExceeded, OrganizationNotFound, OrganizationPendingDeletion, OrganizationDeleting,
        UserNotFound, InvalidArgument, IdsExhausted, ClockBehind, RequestIdReused.
        """
        caller = _granting_caller()
        if organization is not None:
            mapping, _ = self._database.read(lambda transaction: resolve(transaction, organization))
            new = replace(new, organization_id=mapping.organization_id)
        mutation = identify("CreateToken", new)
        token_id = self._ids.take(1)[0]
        return self._database.transact(partial(_create, caller=caller, token_id=token_id, new=new, mutation=mutation))

    def get_token(self, token_id: int) -> Token:
        """Raises ScopeMissing, TokenNotFound, also for a token of another organization than the caller's."""
        caller = _granting_caller()
        return self._database.read(lambda transaction: _find(transaction, token_id, caller))

    def list_tokens(
        self, *, page_size: int, token: str, organization: Key | None, user_id: int | None, show_revoked: bool
    ) -> tuple[list[Token], str]:
        """A page by id and the token of the next one, empty at the end.

        Raises ScopeMissing, OrganizationNotFound, InvalidPageToken, InvalidArgument of `page_size`.
        """
        caller = _granting_caller()
        organization_id = caller.organization_id
        if organization is not None:
            mapping, _ = self._database.read(lambda transaction: resolve(transaction, organization))
            organization_id = mapping.organization_id
        digest = page_token.query_digest("tokens", organization_id, user_id, show_revoked)
        size = page_token.page_size(page_size)
        after_id = page_token.decode_number(token, digest) or 0
        page = self._database.read(
            lambda transaction: store.list_page(
                transaction,
                after_id=after_id,
                limit=size + 1,
                organization_id=organization_id,
                user_id=user_id,
                show_revoked=show_revoked,
            )
        )
        if len(page) <= size:
            return page, ""
        return page[:size], page_token.encode((page[size - 1].id,), digest)

    def revoke_token(self, token_id: int, identify: Identify) -> Token:
        """End a token for good; a repeat changes nothing. Raises ScopeMissing, TokenNotFound, RequestIdReused."""
        caller = _granting_caller()
        mutation = identify("RevokeToken", token_id)

        def work(transaction: Transaction) -> Token:
            def revoke() -> TokenKey:
                _find(transaction, token_id, caller)
                revoke_token(transaction, token_id, request_id=mutation.request_id)
                return TokenKey(token_id)

            once(transaction, mutation, TokenKey, revoke, resource=_name)
            return _find(transaction, token_id, caller)

        return self._database.transact(work)


def _create(
    transaction: Transaction, *, caller: Caller, token_id: int, new: NewToken, mutation: Mutation
) -> CreatedToken:
    secrets: list[str] = []

    def write() -> TokenKey:
        if new.organization_id is not None:
            _keep_organization(transaction, new.organization_id)
        if caller.organization_id is not None:
            domain.check_grant(_own(transaction, caller), new)
        token, secret = mint(transaction, token_id, new, _FIELDS, request_id=mutation.request_id)
        secrets.append(secret)
        return TokenKey(token.id)

    key = once(transaction, mutation, TokenKey, write, resource=_name)
    found = store.find_by_id(transaction, key.token_id)
    if found is None:
        raise _not_found(key.token_id)
    return CreatedToken(found, secrets[0] if secrets else None)


def _keep_organization(transaction: Transaction, organization_id: int) -> None:
    """Until the end it cannot be deleted: no token appears behind those that a purge takes."""
    mapping = organization_store.keep(transaction, organization_id)
    if mapping is None:
        raise not_found(organization_id)
    check_kept(mapping)


def _granting_caller() -> Caller:
    """The caller, who operates silos or is bound to an organization. Raises ScopeMissing."""
    caller = current_caller()
    if caller.organization_id is None and OPERATE not in caller.scopes:
        raise ScopeMissing(
            f"This needs the scope {OPERATE}, or {ADMIN} and a token of one organization.", metadata={"scope": OPERATE}
        )
    return caller


def _own(transaction: Transaction, caller: Caller) -> Token:
    own = store.find_by_id(transaction, caller.token_id) if caller.token_id is not None else None
    if own is None:
        raise PermissionDenied("Only a token can make a token.")
    return own


def _find(transaction: Transaction, token_id: int, caller: Caller) -> Token:
    found = store.find_by_id(transaction, token_id)
    if found is None or caller.organization_id not in (None, found.organization_id):
        raise _not_found(token_id)
    return found


def _not_found(token_id: int) -> TokenNotFound:
    return TokenNotFound(resource=Resource("siloway/Token", f"tokens/{token_id}"))


def _name(key: TokenKey) -> str:
    return f"tokens/{key.token_id}"
