"""OrganizationService on the wire."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc

from control_silo.organizations import usecases
from control_silo.organizations.domain import Mapping
from shared.database import Database
from shared.names import organization_name, parse_organization
from shared.rpc.methods import Door, Method

METHODS = (
    Method("/siloway.control.v1.OrganizationService/GetOrganization", Door.PUBLIC, ("org:read",)),
    Method("/siloway.control.v1.OrganizationService/ListOrganizations", Door.PUBLIC, ("org:read",)),
)


class OrganizationServicer(organization_rpc.OrganizationServiceServicer):
    """Serves the mapping in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def GetOrganization(
        self, request: organization_pb.GetOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.Organization:
        del context
        key = parse_organization(request.name, "name")
        return _organization(self._database.read(lambda transaction: usecases.get_organization(transaction, key)))

    def ListOrganizations(
        self, request: organization_pb.ListOrganizationsRequest, context: grpc.ServicerContext
    ) -> organization_pb.ListOrganizationsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: usecases.list_organizations(
                transaction, page_size=request.page_size, token=request.page_token, region=request.region
            )
        )
        return organization_pb.ListOrganizationsResponse(
            organizations=[_organization(mapping) for mapping in page], next_page_token=token
        )


def _organization(mapping: Mapping) -> organization_pb.Organization:
    create_time, update_time = Timestamp(), Timestamp()
    create_time.FromDatetime(mapping.created_at)
    update_time.FromDatetime(mapping.updated_at)
    return organization_pb.Organization(
        name=organization_name(mapping.organization_id),
        uid=str(mapping.organization_id),
        slug=mapping.slug or "",
        display_name=mapping.name,
        region=mapping.region,
        region_address=mapping.region_address,
        create_time=create_time,
        update_time=update_time,
    )
