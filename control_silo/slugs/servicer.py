"""SlugReservationService on the wire."""

import grpc
from siloway.control.v1 import slug_reservation_service_pb2 as slug_pb
from siloway.control.v1 import slug_reservation_service_pb2_grpc as slug_rpc

from control_silo.slugs import lookup
from control_silo.slugs.checking import check_slug
from control_silo.slugs.domain import Reservation, ReservationState, ReservationType
from control_silo.slugs.redirects import release_redirect
from control_silo.slugs.rules import Availability
from shared.database import Database
from shared.names import organization_name
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose
from shared.rpc.wire import timestamp

METHODS = (
    Method(
        "/siloway.control.v1.SlugReservationService/GetSlugReservation",
        Door.PUBLIC,
        ("org:read",),
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(
        "/siloway.control.v1.SlugReservationService/ListSlugReservations",
        Door.PUBLIC,
        ("org:read",),
        whose=Whose.CALLER,
        names=("organization",),
    ),
    Method(
        "/siloway.control.v1.SlugReservationService/CheckSlug",
        Door.PUBLIC,
        ("org:read", "org:admin"),
        whose=Whose.EVERYBODY,
    ),
    Method(
        "/siloway.control.v1.SlugReservationService/ReleaseRedirect",
        Door.PUBLIC,
        ("org:admin",),
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
)
_TYPES = {
    ReservationType.PRIMARY: slug_pb.SlugReservation.TYPE_PRIMARY,
    ReservationType.VANITY_ALIAS: slug_pb.SlugReservation.TYPE_VANITY_ALIAS,
    ReservationType.TEMPORARY_RENAME_ALIAS: slug_pb.SlugReservation.TYPE_TEMPORARY_RENAME_ALIAS,
    ReservationType.REDIRECT: slug_pb.SlugReservation.TYPE_REDIRECT,
}
_STATES = {
    ReservationState.HELD: slug_pb.SlugReservation.STATE_HELD,
    ReservationState.ACTIVE: slug_pb.SlugReservation.STATE_ACTIVE,
    ReservationState.QUARANTINED: slug_pb.SlugReservation.STATE_QUARANTINED,
}

_AVAILABILITIES = {
    Availability.FREE: slug_pb.CheckSlugResponse.AVAILABILITY_FREE,
    Availability.TAKEN: slug_pb.CheckSlugResponse.AVAILABILITY_TAKEN,
    Availability.HELD: slug_pb.CheckSlugResponse.AVAILABILITY_HELD,
    Availability.RESERVED_WORD: slug_pb.CheckSlugResponse.AVAILABILITY_RESERVED_WORD,
    Availability.INVALID: slug_pb.CheckSlugResponse.AVAILABILITY_INVALID,
}


class SlugReservationServicer(slug_rpc.SlugReservationServiceServicer):
    """Serves the reservations in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def GetSlugReservation(
        self, request: slug_pb.GetSlugReservationRequest, context: grpc.ServicerContext
    ) -> slug_pb.SlugReservation:
        del context
        return _reservation(self._database.read(lambda transaction: lookup.get_reservation(transaction, request.name)))

    def ListSlugReservations(
        self, request: slug_pb.ListSlugReservationsRequest, context: grpc.ServicerContext
    ) -> slug_pb.ListSlugReservationsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: lookup.list_reservations(
                transaction, page_size=request.page_size, token=request.page_token, organization=request.organization
            )
        )
        return slug_pb.ListSlugReservationsResponse(
            slug_reservations=[_reservation(reservation) for reservation in page], next_page_token=token
        )

    def CheckSlug(self, request: slug_pb.CheckSlugRequest, context: grpc.ServicerContext) -> slug_pb.CheckSlugResponse:
        del context
        checked = self._database.read(lambda transaction: check_slug(transaction, request.slug))
        return slug_pb.CheckSlugResponse(
            slug=checked.slug,
            availability=_AVAILABILITIES[checked.availability],
            reason=checked.reason,
            suggestions=checked.suggestions,
        )

    def ReleaseRedirect(
        self, request: slug_pb.ReleaseRedirectRequest, context: grpc.ServicerContext
    ) -> slug_pb.ReleaseRedirectResponse:
        del context
        asked = mutation(request)
        self._database.transact(lambda transaction: release_redirect(transaction, asked, request.name))
        return slug_pb.ReleaseRedirectResponse()


def _reservation(reservation: Reservation) -> slug_pb.SlugReservation:
    holder = reservation.organization_id
    return slug_pb.SlugReservation(
        name=f"slugReservations/{reservation.slug}",
        slug=reservation.slug,
        organization="" if holder is None else organization_name(holder),
        region=reservation.region,
        type=_TYPES[reservation.type],
        state=_STATES[reservation.state],
        create_time=timestamp(reservation.created_at),
        update_time=timestamp(reservation.updated_at),
        expire_time=timestamp(reservation.expires_at),
        use_count=reservation.use_count,
        last_use_time=timestamp(reservation.last_used_at),
    )
