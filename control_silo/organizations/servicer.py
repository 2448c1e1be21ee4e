"""OrganizationService on the wire."""

import grpc
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc

from control_silo.changes.usecases import get_change
from control_silo.changes.waiting import ChangeWaiter
from control_silo.deletions import usecases as deletions
from control_silo.deletions.domain import Deletions
from control_silo.organizations import messages, usecases
from control_silo.provisioning.usecases import provision
from control_silo.slugs.redirects import note_use
from control_silo.slugs.renames import rename
from control_silo.slugs.swaps import swap
from shared.database import Database
from shared.names import parse_organization
from shared.rpc.call import current_caller, mutation
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
        "/siloway.control.v1.OrganizationService/DeleteOrganization",
        Door.PUBLIC,
        ("org:admin",),
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(
        "/siloway.control.v1.OrganizationService/UndeleteOrganization",
        Door.PUBLIC,
        ("org:admin",),
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("name",),
    ),
    Method(
        "/siloway.control.v1.OrganizationService/GetOrganizationChange",
        Door.PUBLIC,
        ("org:read", "org:admin"),
        whose=Whose.CALLER,
    ),
)

_DELETIONS = Deletions()


class OrganizationServicer(organization_rpc.OrganizationServiceServicer):
    """Serves the mapping in the database, and opens changes; calls that change wait for the regions' answers."""

    def __init__(self, database: Database, waiter: ChangeWaiter, settings: Deletions = _DELETIONS) -> None:
        self._deletions = settings
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
        return messages.organization(mapping)

    def ListOrganizations(
        self, request: organization_pb.ListOrganizationsRequest, context: grpc.ServicerContext
    ) -> organization_pb.ListOrganizationsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: usecases.list_organizations(
                transaction,
                page_size=request.page_size,
                token=request.page_token,
                region=request.region,
                show_deleted=request.show_deleted,
            )
        )
        return organization_pb.ListOrganizationsResponse(
            organizations=[messages.organization(mapping) for mapping in page], next_page_token=token
        )

    def ProvisionOrganization(
        self, request: organization_pb.ProvisionOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
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
        wishes = messages.exchanges(request)
        asked = mutation(request, "swap", wishes)
        change = self._database.transact(lambda transaction: swap(transaction, asked, wishes))
        return messages.change(self._waiter.wait(change))

    def DeleteOrganization(
        self, request: organization_pb.DeleteOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.Organization:
        del context
        wish, settings = messages.deletion(request), self._deletions
        asked = mutation(request, "delete", wish)
        if request.validate_only:
            return messages.organization(self._database.read(lambda t: deletions.preview(t, wish, settings)))
        return messages.organization(self._database.transact(lambda t: deletions.delete(t, asked, wish, settings)))

    def UndeleteOrganization(
        self, request: organization_pb.UndeleteOrganizationRequest, context: grpc.ServicerContext
    ) -> organization_pb.Organization:
        del context
        key = parse_organization(request.name, "name")
        asked = mutation(request, "undelete", key)
        return messages.organization(self._database.transact(lambda t: deletions.undelete(t, asked, key)))

    def GetOrganizationChange(
        self, request: organization_pb.GetOrganizationChangeRequest, context: grpc.ServicerContext
    ) -> organization_pb.OrganizationChange:
        del context
        principal = current_caller().principal
        request_id = request.name.removeprefix("organizationChanges/").lower()
        return messages.change(self._database.read(lambda transaction: get_change(transaction, principal, request_id)))
