"""What a message carries, on the wire: one field of `effect` for each category, filled and read here.

A deletion carries its field empty, so that the receiver knows what is gone.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.internal.v1 import delivery_pb2 as delivery_pb

from shared import delivery as shapes
from shared import errors
from shared.deletion import DeletionStage
from shared.outbox.domain import SKIP, Message

_STAGES = {
    DeletionStage.NONE: delivery_pb.OrganizationDeletion.STAGE_NONE,
    DeletionStage.PENDING: delivery_pb.OrganizationDeletion.STAGE_PENDING,
    DeletionStage.DELETING: delivery_pb.OrganizationDeletion.STAGE_DELETING,
}
_STAGES_BACK = {wire: stage for stage, wire in _STAGES.items()}


def _fill_skip(wire: delivery_pb.Message, message: Message) -> None:
    wire.skip.reason = str(message.payload.get("reason", ""))


def _fill_token(wire: delivery_pb.Message, message: Message) -> None:
    wire.token.SetInParent()
    if message.deleted:
        return
    token = shapes.decode(message.payload, shapes.TokenState)
    wire.token.secret_hash = token.secret_hash
    wire.token.display_name = token.name
    wire.token.audience.extend(token.audience)
    wire.token.scopes.extend(token.scopes)
    wire.token.organization_id = token.organization_id or 0
    wire.token.user_id = token.user_id or 0
    wire.token.user_suspended = token.user_suspended
    wire.token.calls_per_minute = token.calls_per_minute
    wire.token.ids_per_minute = token.ids_per_minute
    wire.token.create_time.FromDatetime(token.created_at)
    if token.expires_at is not None:
        wire.token.expire_time.FromDatetime(token.expires_at)
    if token.revoked_at is not None:
        wire.token.revoke_time.FromDatetime(token.revoked_at)


def _read_token(wire: delivery_pb.Message) -> shapes.TokenState:
    token = wire.token
    return shapes.TokenState(
        secret_hash=token.secret_hash,
        name=token.display_name,
        audience=tuple(token.audience),
        scopes=tuple(token.scopes),
        organization_id=token.organization_id or None,
        expires_at=_time(token.expire_time) if token.HasField("expire_time") else None,
        revoked_at=_time(token.revoke_time) if token.HasField("revoke_time") else None,
        created_at=_time(token.create_time),
        user_id=token.user_id or None,
        user_suspended=token.user_suspended,
        calls_per_minute=token.calls_per_minute,
        ids_per_minute=token.ids_per_minute,
    )


def _fill_confirmation(wire: delivery_pb.Message, message: Message) -> None:
    wire.confirmation.SetInParent()
    if not message.deleted:
        confirmed = shapes.decode(message.payload, shapes.Confirmation)
        wire.confirmation.confirm_time.FromDatetime(confirmed.confirmed_at)


def _read_confirmation(wire: delivery_pb.Message) -> shapes.Confirmation:
    return shapes.Confirmation(_time(wire.confirmation.confirm_time))


def _fill_apply_slugs(wire: delivery_pb.Message, message: Message) -> None:
    payload = shapes.decode(message.payload, shapes.ApplySlugs)
    wire.apply_slugs.change_set = payload.change_set
    wire.apply_slugs.pairs.extend(_pairs_to_wire(payload.pairs))


def _read_apply_slugs(wire: delivery_pb.Message) -> shapes.ApplySlugs:
    return shapes.ApplySlugs(wire.apply_slugs.change_set, _pairs_from_wire(wire.apply_slugs.pairs))


def _fill_cancel(wire: delivery_pb.Message, message: Message) -> None:
    payload = shapes.decode(message.payload, shapes.Cancel)
    wire.cancel.change_set = payload.change_set
    wire.cancel.pairs.extend(_pairs_to_wire(payload.pairs))


def _read_cancel(wire: delivery_pb.Message) -> shapes.Cancel:
    return shapes.Cancel(wire.cancel.change_set, _pairs_from_wire(wire.cancel.pairs))


def _pairs_to_wire(pairs: Iterable[shapes.SlugPair]) -> Iterable[delivery_pb.ApplySlugs.Pair]:
    return (
        delivery_pb.ApplySlugs.Pair(
            organization_id=pair.organization_id, slug=pair.slug, fence_version=pair.fence_version
        )
        for pair in pairs
    )


def _pairs_from_wire(pairs: Iterable[delivery_pb.ApplySlugs.Pair]) -> tuple[shapes.SlugPair, ...]:
    return tuple(shapes.SlugPair(pair.organization_id, pair.slug, pair.fence_version) for pair in pairs)


def _fill_slugs_applied(wire: delivery_pb.Message, message: Message) -> None:
    payload = shapes.decode(message.payload, shapes.SlugsApplied)
    wire.slugs_applied.change_set = payload.change_set
    wire.slugs_applied.results.extend(
        delivery_pb.SlugsApplied.Result(
            organization_id=result.organization_id,
            slug=result.slug,
            fence_version=result.fence_version,
            applied=not result.refusal,
            refusal=result.refusal,
        )
        for result in payload.results
    )


def _read_slugs_applied(wire: delivery_pb.Message) -> shapes.SlugsApplied:
    return shapes.SlugsApplied(
        wire.slugs_applied.change_set,
        tuple(
            shapes.SlugResult(result.organization_id, result.slug, result.fence_version, _refusal(result))
            for result in wire.slugs_applied.results
        ),
    )


def _fill_organization(wire: delivery_pb.Message, message: Message) -> None:
    wire.organization.SetInParent()
    if message.deleted:
        return
    organization = shapes.decode(message.payload, shapes.OrganizationState)
    wire.organization.display_name = organization.name
    wire.organization.slug = organization.slug
    wire.organization.state = organization.state


def _read_organization(wire: delivery_pb.Message) -> shapes.OrganizationState:
    organization = wire.organization
    return shapes.OrganizationState(organization.display_name, organization.slug, organization.state)


def _fill_deletion(wire: delivery_pb.Message, message: Message) -> None:
    wire.organization_deletion.SetInParent()
    if message.deleted:
        return
    deletion = shapes.decode(message.payload, shapes.OrganizationDeletion)
    wire.organization_deletion.stage = _STAGES[deletion.stage]
    if deletion.purge_at is not None:
        wire.organization_deletion.purge_time.FromDatetime(deletion.purge_at)


def _read_deletion(wire: delivery_pb.Message) -> shapes.OrganizationDeletion:
    deletion = wire.organization_deletion
    stage = _STAGES_BACK.get(deletion.stage)
    if stage is None:
        raise errors.InvalidArgument.of("shards.messages.organization_deletion.stage", "is unknown")
    return shapes.OrganizationDeletion(stage, _time(deletion.purge_time) if deletion.HasField("purge_time") else None)


def _fill_region(wire: delivery_pb.Message, message: Message) -> None:
    wire.region.SetInParent()
    if message.deleted:
        return
    entry = shapes.decode(message.payload, shapes.RegionEntry)
    wire.region.number = entry.number
    wire.region.public_address = entry.public_address


def _read_region(wire: delivery_pb.Message) -> shapes.RegionEntry:
    return shapes.RegionEntry(wire.region.number, wire.region.public_address)


def _fill_create_organization(wire: delivery_pb.Message, message: Message) -> None:
    asked = shapes.decode(message.payload, shapes.CreateOrganization)
    wire.create_organization.change_set = asked.change_set
    wire.create_organization.slug = asked.slug
    wire.create_organization.fence_version = asked.fence_version
    wire.create_organization.display_name = asked.name
    wire.create_organization.owner_user_id = asked.owner_user_id
    wire.create_organization.owner_email = asked.owner_email
    wire.create_organization.create_default_team = asked.create_default_team
    wire.create_organization.is_test = asked.is_test


def _read_create_organization(wire: delivery_pb.Message) -> shapes.CreateOrganization:
    asked = wire.create_organization
    return shapes.CreateOrganization(
        change_set=asked.change_set,
        slug=asked.slug,
        fence_version=asked.fence_version,
        name=asked.display_name,
        owner_user_id=asked.owner_user_id,
        owner_email=asked.owner_email,
        create_default_team=asked.create_default_team,
        is_test=asked.is_test,
    )


def _fill_organization_created(wire: delivery_pb.Message, message: Message) -> None:
    created = shapes.decode(message.payload, shapes.OrganizationCreated)
    wire.organization_created.change_set = created.change_set
    wire.organization_created.organization_id = created.organization_id
    wire.organization_created.version = created.version
    wire.organization_created.refusal = created.refusal


def _read_organization_created(wire: delivery_pb.Message) -> shapes.OrganizationCreated:
    created = wire.organization_created
    if created.refusal not in ("", shapes.CLASH, shapes.CANCELLED):
        raise errors.InvalidArgument.of("shards.messages.organization_created.refusal", "is no known one")
    return shapes.OrganizationCreated(created.change_set, created.organization_id, created.version, created.refusal)


def _fill_membership(wire: delivery_pb.Message, message: Message) -> None:
    wire.membership.SetInParent()
    if not message.deleted:
        member = shapes.decode(message.payload, shapes.MembershipState)
        wire.membership.user_id = member.user_id
        wire.membership.email = member.email
        wire.membership.role = member.role


def _read_membership(wire: delivery_pb.Message) -> shapes.MembershipState:
    return shapes.MembershipState(wire.membership.user_id, wire.membership.email, wire.membership.role)


def _fill_user(wire: delivery_pb.Message, message: Message) -> None:
    wire.user.SetInParent()
    if not message.deleted:
        user = shapes.decode(message.payload, shapes.UserState)
        wire.user.active = user.is_active
        wire.user.addresses.extend(user.addresses)


def _read_user(wire: delivery_pb.Message) -> shapes.UserState:
    return shapes.UserState(wire.user.active, tuple(wire.user.addresses))


def _fill_change_stalled(wire: delivery_pb.Message, message: Message) -> None:
    stalled = shapes.decode(message.payload, shapes.ChangeStalled)
    wire.change_stalled.change_set = stalled.change_set
    wire.change_stalled.shard = stalled.shard
    wire.change_stalled.sequence = stalled.sequence
    wire.change_stalled.reason = stalled.reason
    wire.change_stalled.error = stalled.error


def _read_change_stalled(wire: delivery_pb.Message) -> shapes.ChangeStalled:
    told = wire.change_stalled
    return shapes.ChangeStalled(told.change_set, told.shard, told.sequence, told.reason, told.error)


def _fill_deploy_announced(wire: delivery_pb.Message, message: Message) -> None:
    told = shapes.decode(message.payload, shapes.DeployAnnounced)
    deploy = wire.deploy_announced
    deploy.organization_id = told.organization_id
    deploy.deploy_id = told.deploy_id
    deploy.version = told.version
    deploy.environment = told.environment
    deploy.display_name = told.name
    deploy.url = told.url
    deploy.project_ids.extend(told.project_ids)
    deploy.project_count = told.project_count
    if told.started_at is not None:
        deploy.start_time.FromDatetime(told.started_at)
    deploy.finish_time.FromDatetime(told.finished_at)
    deploy.announce_time.FromDatetime(told.announced_at)


def _read_deploy_announced(wire: delivery_pb.Message) -> shapes.DeployAnnounced:
    deploy = wire.deploy_announced
    return shapes.DeployAnnounced(
        organization_id=deploy.organization_id,
        deploy_id=deploy.deploy_id,
        version=deploy.version,
        environment=deploy.environment,
        name=deploy.display_name,
        url=deploy.url,
        started_at=_time(deploy.start_time) if deploy.HasField("start_time") else None,
        finished_at=_time(deploy.finish_time),
        announced_at=_time(deploy.announce_time),
        project_ids=tuple(deploy.project_ids),
        project_count=deploy.project_count,
    )


def _fill_status_syncs(wire: delivery_pb.Message, message: Message) -> None:
    told = shapes.decode(message.payload, shapes.StatusSyncs)
    wire.status_sync.SetInParent()
    wire.status_sync.syncs.extend(
        delivery_pb.StatusSyncs.StatusSync(
            organization_id=sync.organization_id,
            issue_id=sync.issue_id,
            integration=sync.tracker_integration,
            key=sync.tracker_key,
            resolved=sync.resolved,
            version=sync.resolved_version,
            id=sync.sync_id,
        )
        for sync in told.syncs
    )


def _read_status_syncs(wire: delivery_pb.Message) -> shapes.StatusSyncs:
    return shapes.StatusSyncs(
        tuple(
            shapes.StatusSync(
                sync.organization_id, sync.issue_id, sync.integration, sync.key, sync.resolved, sync.version, sync.id
            )
            for sync in wire.status_sync.syncs
        )
    )


def _refusal(result: delivery_pb.SlugsApplied.Result) -> str:
    if result.applied:
        return ""
    if result.refusal not in (shapes.MISSING, shapes.CLASH, shapes.CANCELLED):
        raise errors.InvalidArgument.of("shards.messages.slugs_applied.results.refusal", "is no known one")
    return result.refusal


def _time(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


FILL: dict[str, Callable[[delivery_pb.Message, Message], None]] = {
    shapes.TOKEN.name: _fill_token,
    shapes.CONFIRMATION.name: _fill_confirmation,
    shapes.APPLY_SLUGS.name: _fill_apply_slugs,
    shapes.SLUGS_APPLIED.name: _fill_slugs_applied,
    shapes.ORGANIZATION.name: _fill_organization,
    shapes.ORGANIZATION_DELETION.name: _fill_deletion,
    shapes.REGION.name: _fill_region,
    shapes.CREATE_ORGANIZATION.name: _fill_create_organization,
    shapes.ORGANIZATION_CREATED.name: _fill_organization_created,
    shapes.MEMBERSHIP.name: _fill_membership,
    shapes.USER.name: _fill_user,
    shapes.CANCEL.name: _fill_cancel,
    shapes.CHANGE_STALLED.name: _fill_change_stalled,
    shapes.DEPLOY_ANNOUNCED.name: _fill_deploy_announced,
    shapes.STATUS_SYNC.name: _fill_status_syncs,
    SKIP: _fill_skip,
}
READ: dict[str, Callable[[delivery_pb.Message], shapes.Payload]] = {
    shapes.TOKEN.name: _read_token,
    shapes.CONFIRMATION.name: _read_confirmation,
    shapes.APPLY_SLUGS.name: _read_apply_slugs,
    shapes.SLUGS_APPLIED.name: _read_slugs_applied,
    shapes.ORGANIZATION.name: _read_organization,
    shapes.ORGANIZATION_DELETION.name: _read_deletion,
    shapes.REGION.name: _read_region,
    shapes.CREATE_ORGANIZATION.name: _read_create_organization,
    shapes.ORGANIZATION_CREATED.name: _read_organization_created,
    shapes.MEMBERSHIP.name: _read_membership,
    shapes.USER.name: _read_user,
    shapes.CANCEL.name: _read_cancel,
    shapes.CHANGE_STALLED.name: _read_change_stalled,
    shapes.DEPLOY_ANNOUNCED.name: _read_deploy_announced,
    shapes.STATUS_SYNC.name: _read_status_syncs,
}
