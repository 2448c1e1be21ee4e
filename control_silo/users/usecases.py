"""Making, reading, suspending users. Only an operator whose token is bound to no organization may; users may ask
where they belong themselves.

A suspension is noted on the user's tokens in the same transaction, so that no silo lets one of them in for ever, and
told to the regions where the user is a member, so that no membership counts meanwhile.
"""

from collections.abc import Callable
from functools import partial

from control_silo.memberships import store as membership_store
from control_silo.memberships.domain import MembershipKey, UserOrganization
from control_silo.tokens.usecases import suspend_tokens
from control_silo.users import domain, store
from control_silo.users.domain import NewUser, User, UserKey
from control_silo.users.keeping import user_not_found
from control_silo.users.replication import tell_regions
from shared import audit
from shared.database import Database, Transaction
from shared.errors import PermissionDenied, Resource, UsernameTaken
from shared.importing.minting import alphanumerics, password_hashes
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token
from shared.rpc.call import current_caller
from shared.snowflake.allocator import SnowflakeAllocator

OPERATE = "silo:operate"

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for."""


class UserUseCases:
    """The users of all silos."""

    def __init__(self, database: Database, ids: SnowflakeAllocator) -> None:
        self._database = database
        self._ids = ids

    def create_user(self, new: NewUser, identify: Identify) -> User:
        """The new user. Raises PermissionDenied, InvalidArgument, UsernameTaken, IdsExhausted, RequestIdReused."""
        domain.check(new)
        user_id = self._ids.take(1)[0]
        mutation = identify("CreateUser", new)
        return self._database.transact(partial(self._create, user_id=user_id, new=new, mutation=mutation))

    def get_user(self, user_id: int) -> User:
        """Raises PermissionDenied, UserNotFound."""
        return self._database.read(partial(_find, user_id=user_id))

    def list_users(self, *, page_size: int, token: str, username: str) -> tuple[list[User], str]:
        """A page by id and the token of the next one, empty at the end. Raises PermissionDenied, InvalidPageToken."""
        digest = page_token.query_digest("users", username.lower())
        size = page_token.page_size(page_size)
        after_id = page_token.decode_number(token, digest) or 0
        page = self._database.read(
            lambda transaction: store.list_page(transaction, after_id=after_id, limit=size + 1, username=username)
        )
        if len(page) <= size:
            return page, ""
        return page[:size], page_token.encode((page[size - 1].id,), digest)

    def set_suspended(self, user_id: int, identify: Identify, *, suspended: bool) -> User:
        """Suspend the user or take that back; a repeat changes nothing.

        Raises PermissionDenied, UserNotFound, RequestIdReused.
        """
        mutation = identify("SetSuspended", user_id, suspended)

        def work(transaction: Transaction) -> User:
            def change() -> UserKey:
                if store.set_suspended(transaction, user_id, suspended=suspended) is None:
                    raise user_not_found(user_id)
                suspend_tokens(transaction, user_id, suspended=suspended)
                tell_regions(transaction, user_id, membership_store.regions_of(transaction, user_id))
                audit.record(
                    transaction,
                    action="user.suspend" if suspended else "user.unsuspend",
                    target=f"users/{user_id}",
                    request_id=mutation.request_id,
                )
                return UserKey(user_id)

            once(transaction, mutation, UserKey, change, resource=_name)
            return _find(transaction, user_id)

        return self._database.transact(work)

    def list_organizations(self, user_id: int, *, page_size: int, token: str) -> tuple[list[UserOrganization], str]:
        """A page of the user's organizations by id and the token of the next one, empty at the end.

        For operators, and for a caller that acts as that user; a bound token sees its own organization only. Raises
        PermissionDenied, UserNotFound, InvalidPageToken.
        """
        caller = current_caller()
        if caller.user_id != user_id and (OPERATE not in caller.scopes or caller.organization_id is not None):
            raise PermissionDenied("Only an operator or the user may ask where a user belongs.")
        digest = page_token.query_digest("userOrganizations", user_id, caller.organization_id)
        size = page_token.page_size(page_size)
        after = MembershipKey(0, 0)
        if token:
            organization_id, member_id = page_token.decode(token, digest, (int, int))
            assert isinstance(organization_id, int), "decode has checked the types"
            assert isinstance(member_id, int), "decode has checked the types"
            after = MembershipKey(organization_id, member_id)

        def work(transaction: Transaction) -> list[UserOrganization]:
            _find(transaction, user_id)
            return membership_store.list_of_user(
                transaction, user_id, after=after, limit=size + 1, only_id=caller.organization_id
            )

        page = self._database.read(work)
        if len(page) <= size:
            return page, ""
        last = page[size - 1].key
        return page[:size], page_token.encode((last.organization_id, last.member_id), digest)

    def _create(self, transaction: Transaction, *, user_id: int, new: NewUser, mutation: Mutation) -> User:
        def write() -> UserKey:
            (password,), (validation_hash,) = password_hashes(1), alphanumerics(1)
            if not store.add(transaction, user_id, new, password=password, validation_hash=validation_hash):
                raise UsernameTaken(resource=Resource("siloway/User", f"username {new.username}"))
            if new.email:
                membership_store.hold(transaction)
                tell_regions(transaction, user_id, membership_store.regions_inviting(transaction, new.email))
            audit.record(
                transaction,
                action="user.create",
                target=f"users/{user_id}",
                request_id=mutation.request_id,
                detail={"username": new.username},
            )
            return UserKey(user_id)

        return _find(transaction, once(transaction, mutation, UserKey, write, resource=_name).user_id)


def _find(transaction: Transaction, user_id: int) -> User:
    found = store.find(transaction, user_id)
    if found is None:
        raise user_not_found(user_id)
    return found


def _name(key: UserKey) -> str:
    return f"users/{key.user_id}"
