"""AnnouncementService on the wire."""

import grpc
from siloway.control.v1 import announcement_service_pb2 as announcement_pb
from siloway.control.v1 import announcement_service_pb2_grpc as announcement_rpc

from control_silo.announcements import usecases
from control_silo.announcements.domain import Announcement, Kind
from shared.database import Database
from shared.names import announcement_name, parse_organization
from shared.rpc.methods import Door, Method, Whose

METHODS = (
    Method(
        "/siloway.control.v1.AnnouncementService/ListAnnouncements",
        Door.PUBLIC,
        ("org:read",),
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
)

_Wire = announcement_pb.Announcement
_KINDS = {Kind.DEPLOY: _Wire.KIND_DEPLOY, Kind.STATUS_SYNC: _Wire.KIND_STATUS_SYNC}
_KINDS_BACK: dict[int, Kind] = {wire: kind for kind, wire in _KINDS.items()}


class AnnouncementServicer(announcement_rpc.AnnouncementServiceServicer):
    """Serves what regions have announced."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ListAnnouncements(
        self, request: announcement_pb.ListAnnouncementsRequest, context: grpc.ServicerContext
    ) -> announcement_pb.ListAnnouncementsResponse:
        del context
        parent = parse_organization(request.parent, "parent")
        page, token = self._database.read(
            lambda transaction: usecases.list_announcements(
                transaction,
                parent,
                page_size=request.page_size,
                token=request.page_token,
                after=request.after,
                kind=_KINDS_BACK.get(request.kind),
            )
        )
        return announcement_pb.ListAnnouncementsResponse(
            announcements=[_message(each) for each in page], next_page_token=token
        )


def _message(announcement: Announcement) -> announcement_pb.Announcement:
    message = _Wire(
        name=announcement_name(announcement.organization_id, announcement.number),
        number=announcement.number,
        kind=_KINDS[announcement.kind],
        region=announcement.region,
        key=announcement.key,
        payload_json=announcement.payload_json,
    )
    message.create_time.FromDatetime(announcement.received_at)
    return message
