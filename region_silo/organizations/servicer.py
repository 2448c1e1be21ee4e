"""The reads of organizations in RegionOrganizationService: messages in and out, nothing decided here.

The rest of the service, members and teams, is region_silo/members/servicer.py.
"""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import region_organization_service_pb2 as organization_pb
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc

from region_silo.organizations.domain import Organization, OrganizationState
from region_silo.organizations.usecases import OrganizationUseCases
from shared import names
from shared.deletion import DeletionStage
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.RegionOrganizationService"

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/GetOrganization", Door.PUBLIC, ("org:read",), whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListOrganizations", Door.PUBLIC, ("org:read",), whose=Whose.CALLER),
)

_STATES = {
    OrganizationState.IMPORTING: organization_pb.Organization.STATE_IMPORTING,
    OrganizationState.ACTIVE: organization_pb.Organization.STATE_ACTIVE,
}


class OrganizationReads(organization_rpc.RegionOrganizationServiceServicer):
    """Shows the region's own rows of organizations."""

    def __init__(self, usecases: OrganizationUseCases) -> None:
        self._usecases = usecases

    def GetOrganization(
        self, request: organization_pb.GetOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.Organization:
        del context
        return _message(self._usecases.get_organization(names.parse_organization(request.name, "name")))

    def ListOrganizations(
        self, request: organization_pb.ListOrganizationsRequest, context: grpc.ServicerContext
    ) -> organization_pb.ListOrganizationsResponse:
        del context
        page, next_page_token = self._usecases.list_organizations(
            request.page_size, request.page_token, show_deleted=request.show_deleted
        )
        return organization_pb.ListOrganizationsResponse(
            organizations=[_message(row) for row in page], next_page_token=next_page_token
        )


def _message(row: Organization) -> organization_pb.Organization:
    create_time, purge_time = Timestamp(), Timestamp()
    create_time.FromDatetime(row.date_added)
    if row.purge_at is not None:
        purge_time.FromDatetime(row.purge_at)
    is_pending = row.deletion is DeletionStage.PENDING
    return organization_pb.Organization(
        name=names.organization_name(row.id),
        uid=str(row.id),
        slug=row.slug or "",
        display_name=row.name,
        state=organization_pb.Organization.STATE_PENDING_DELETION if is_pending else _STATES[row.state],
        create_time=create_time,
        purge_time=None if row.purge_at is None else purge_time,
    )
