"""Between the messages of OrganizationService and the types of the features behind it."""

from siloway.control.v1 import organization_service_pb2 as organization_pb

from control_silo.changes.domain import Change, ChangeKind
from control_silo.changes.usecases import change_name
from control_silo.deletions.usecases import Deletion
from control_silo.organizations.domain import IMPORTING, Mapping
from control_silo.provisioning.domain import NewOrganization
from control_silo.slugs.renames import REDIRECT_TTL_S, Rename
from control_silo.slugs.swaps import Exchange
from shared.deletion import DeletionStage
from shared.names import organization_name, parse_organization
from shared.requests import RequestState
from shared.rpc.wire import stored_status, timestamp

_KINDS = {
    ChangeKind.PROVISION: organization_pb.OrganizationChange.KIND_PROVISION,
    ChangeKind.RENAME: organization_pb.OrganizationChange.KIND_RENAME,
    ChangeKind.SWAP: organization_pb.OrganizationChange.KIND_SWAP,
}
_STATES = {
    RequestState.RUNNING: organization_pb.OrganizationChange.STATE_RUNNING,
    RequestState.SUCCEEDED: organization_pb.OrganizationChange.STATE_SUCCEEDED,
    RequestState.FAILED: organization_pb.OrganizationChange.STATE_FAILED,
}


def new_organization(request: organization_pb.ProvisionOrganizationRequest) -> NewOrganization:
    """The wish in a request whose shape was checked."""
    owner = request.WhichOneof("owner")
    return NewOrganization(
        region=request.region,
        slug=request.slug,
        name=request.display_name,
        owner_user_id=int(request.owner_user.removeprefix("users/")) if owner == "owner_user" else None,
        owner_email=request.owner_email if owner == "owner_email" else None,
        create_default_team=not request.HasField("create_default_team") or request.create_default_team,
        is_test=request.is_test,
    )


def rename(request: organization_pb.RenameOrganizationRequest) -> Rename:
    """The wish in a request whose shape was checked."""
    ttl_s = request.redirect_ttl.seconds if request.HasField("redirect_ttl") else REDIRECT_TTL_S
    return Rename(parse_organization(request.name, "name"), request.slug, request.exact, ttl_s)


def exchanges(request: organization_pb.SwapSlugsRequest) -> tuple[Exchange, ...]:
    """The wishes in a request whose shape was checked."""
    return tuple(
        Exchange(parse_organization(pair.organization, f"pairs[{place}].organization"), pair.slug)
        for place, pair in enumerate(request.pairs)
    )


def deletion(request: organization_pb.DeleteOrganizationRequest) -> Deletion:
    """The wish in a request whose shape was checked."""
    grace = request.grace.ToTimedelta() if request.HasField("grace") else None
    return Deletion(parse_organization(request.name, "name"), grace)


def organization(of: Mapping) -> organization_pb.Organization:
    """An organization on the wire."""
    return organization_pb.Organization(
        name=organization_name(of.organization_id),
        uid=str(of.organization_id),
        slug=of.slug or "",
        display_name=of.name,
        region=of.region,
        region_address=of.region_address,
        create_time=timestamp(of.created_at),
        update_time=timestamp(of.updated_at),
        state=_state(of),
        delete_time=timestamp(of.deleted_at),
        purge_time=timestamp(of.purge_at),
    )


def change(of: Change) -> organization_pb.OrganizationChange:
    """A change on the wire."""
    return organization_pb.OrganizationChange(
        name=change_name(of.key.request_id),
        kind=_KINDS[of.kind],
        state=_STATES[of.state],
        organization="" if of.organization_id is None else organization_name(of.organization_id),
        slug=of.slug,
        region=of.region,
        error=None if of.error is None else stored_status(of.error),
        create_time=timestamp(of.created_at),
        update_time=timestamp(of.updated_at),
    )


def _state(of: Mapping) -> organization_pb.Organization.State.ValueType:
    if of.deletion is DeletionStage.PENDING:
        return organization_pb.Organization.STATE_PENDING_DELETION
    if of.deletion is not DeletionStage.NONE:
        return organization_pb.Organization.STATE_DELETING
    if of.state == IMPORTING:
        return organization_pb.Organization.STATE_IMPORTING
    return organization_pb.Organization.STATE_ACTIVE
