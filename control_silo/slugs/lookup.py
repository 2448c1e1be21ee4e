"""Reading slug reservations. A caller that is bound to an organization sees only what that one holds."""

from control_silo.slugs import store
from control_silo.slugs.domain import Reservation
from shared.database import Transaction
from shared.errors import InvalidArgument, Resource, SlugNotFound
from shared.names import parse_organization
from shared.rpc import page_token
from shared.rpc.call import current_caller

_PREFIX = "slugReservations/"


def get_reservation(transaction: Transaction, name: str) -> Reservation:
    """The reservation that `slugReservations/<slug>` names, in any case. Raises InvalidArgument, SlugNotFound."""
    slug = name.removeprefix(_PREFIX)
    if slug == name or not slug or "/" in slug:
        raise InvalidArgument.of("name", "must read slugReservations/{slug}")
    found = store.find(transaction, slug.lower())
    bound_to = current_caller().organization_id
    if found is None or found.is_over(transaction.now) or (bound_to is not None and found.organization_id != bound_to):
        raise not_found(name)
    return found


def not_found(name: str) -> SlugNotFound:
    """The refusal for a reservation that is not there, or that the caller may not know or change."""
    return SlugNotFound(resource=Resource("siloway/SlugReservation", name))


def list_reservations(
    transaction: Transaction, *, page_size: int, token: str, organization: str
) -> tuple[list[Reservation], str]:
    """A page by slug and the next page's token, empty at the end; `organization` is its name, or empty for all.

    A caller that asks for another organization than its own, or for an id that cannot be, gets an empty list. Raises
    InvalidPageToken.
    """
    wanted = parse_organization(organization, "organization") if organization else None
    bound_to = current_caller().organization_id
    digest = page_token.query_digest("slugReservations", wanted, bound_to)
    after_slug = ""
    if token:
        (position,) = page_token.decode(token, digest, (str,))
        assert isinstance(position, str), "decode has checked the type"
        after_slug = position
    size = page_token.page_size(page_size)
    if isinstance(wanted, str) or (wanted is not None and bound_to not in (None, wanted)):
        return [], ""
    page = store.list_page(
        transaction, after_slug=after_slug, limit=size + 1, organization_id=wanted if wanted is not None else bound_to
    )
    if len(page) <= size:
        return page, ""
    return page[:size], page_token.encode((page[size - 1].slug,), digest)
