"""OrganizationService on the wire."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc

from control_silo.changes.usecases import get_change
from control_silo.changes.waiting import ChangeWaiter
from control_silo.organizations import messages, usecases
from control_silo.organizations.domain import Mapping
from control_silo.provisioning.usecases import provision
from control_silo.slugs.redirects import note_use
from control_silo.slugs.renames import rename
from control_silo.slugs.swaps import swap
from shared.database import Database
from shared.names import organization_name, parse_organization
from shared.rpc.call import current_caller, mutation, require_unbound
from shared.rpc.methods import Budget, Door, Method, Whose

METHODS = (
    Method(
        "/siloway.control.v1.OrganizationService/GetOrganization",
        Door.PUBLIC,
        ("org:read",),
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method("/siloway.control.v1.OrganizationService/ListOrganizations", Door.PUBLIC, ("org:read",), whose=Whose.CALLER),
    Method(
        "/siloway.control.v1.OrganizationService/ProvisionOrganization",
        Door.PUBLIC,
        ("org:admin",),
        budget=Budget.PEERS,
        mutating=True,
    ),
    Method(
        "/siloway.control.v1.OrganizationService/RenameOrganization",
        Door.PUBLIC,
        ("org:admin",),
        budget=Budget.PEERS,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(
        "/siloway.control.v1.OrganizationService/SwapSlugs",
        Door.PUBLIC,
        ("org:admin",),
        budget=Budget.PEERS,
        mutating=True,
    ),
    Method(
        "/siloway.control.v1.OrganizationService/GetOrganizationChange",
        Door.PUBLIC,
        ("org:read", "org:admin"),
        whose=Whose.CALLER,
    ),
)


class OrganizationServicer(organization_rpc.OrganizationServiceServicer):
    """Serves the mapping in the database, and opens changes; calls that change wait for the regions' answers."""

    def __init__(self, database: Database, waiter: ChangeWaiter) -> None:
        self._database = database
        self._waiter = waiter

    def GetOrganization(
        self, request: organization_pb.GetOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.Organization:
        del context
        key = parse_organization(request.name, "name")
        mapping, redirect = self._database.read(lambda transaction: usecases.resolve(transaction, key))
        if redirect is not None:
            note_use(self._database, redirect)
        return _organization(mapping)

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

    def ProvisionOrganization(
        self, request: organization_pb.ProvisionOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
        require_unbound()
        new = messages.new_organization(request)
        asked = mutation(request, "provision", new)
        change = self._database.transact(lambda transaction: provision(transaction, asked, new))
        return messages.change(self._waiter.wait(change))

    def RenameOrganization(
        self, request: organization_pb.RenameOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
        wish = messages.rename(request)
        asked = mutation(request, "rename", wish)
        change = self._database.transact(lambda transaction: rename(transaction, asked, wish))
        return messages.change(self._waiter.wait(change))

    def SwapSlugs(
        self, request: organization_pb.SwapSlugsRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
        require_unbound()
        wishes = messages.exchanges(request)
        asked = mutation(request, "swap", wishes)
        change = self._database.transact(lambda transaction: swap(transaction, asked, wishes))
        return messages.change(self._waiter.wait(change))

    def GetOrganizationChange(
        self, request: organization_pb.GetOrganizationChangeRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
        principal = current_caller().principal
        request_id = request.name.removeprefix("organizationChanges/").lower()
        return messages.change(self._database.read(lambda transaction: get_change(transaction, principal, request_id)))


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
