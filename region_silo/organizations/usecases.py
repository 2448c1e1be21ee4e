"""What a client may see of the organizations of this region."""

from region_silo.organizations import store
from region_silo.organizations.domain import Organization
from region_silo.organizations.lookup import OrganizationLookup
from shared.database import Database
from shared.names import Key
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller


class OrganizationUseCases:
    """Reads only: organizations are made and changed by imports and by control."""

    def __init__(self, database: Database, lookup: OrganizationLookup) -> None:
        self._database = database
        self._lookup = lookup

    def get_organization(self, key: Key) -> Organization:
        """Raises OrganizationNotFound."""
        return self._lookup.find(key)

    def list_organizations(
        self, page_size: int, page_token: str, *, show_deleted: bool = False
    ) -> tuple[list[Organization], str]:
        """A page by id and the token of the next one, empty at the end; a bound caller sees only its own,
        one that acts as a user those that the user is a member of.

        Raises InvalidPageToken, InvalidArgument of `page_size`.
        """
        caller = current_caller()
        bound_to, user_id = caller.organization_id, caller.user_id
        limit = tokens.page_size(page_size)
        query = tokens.query_digest("organizations", bound_to, user_id, show_deleted)
        after = int(tokens.decode(page_token, query, [int])[0]) if page_token else 0  # type: ignore[arg-type]
        rows = self._database.read(
            lambda transaction: store.after_id(
                transaction, after, limit + 1, bound_to, user_id, show_deleted=show_deleted
            )
        )
        page = rows[:limit]
        return page, tokens.encode((page[-1].id,), query) if len(rows) > limit else ""
