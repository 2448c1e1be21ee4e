"""Deploys and environments between their messages and their domain's values; a time that no calendar has is a broken
field.
"""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import deploy_service_pb2 as deploy_pb

from region_silo.deploys.domain import Deploy, DeployFields, Environment
from shared import names
from shared.errors import InvalidArgument


def fields_of(message: deploy_pb.Deploy) -> DeployFields:
    """The fields that a client may set. Raises InvalidArgument of `deploy.start_time` and `deploy.finish_time`."""
    return DeployFields(
        display_name=message.display_name,
        url=message.url,
        start_time=_time(message.start_time, "deploy.start_time") if message.HasField("start_time") else None,
        finish_time=_time(message.finish_time, "deploy.finish_time") if message.HasField("finish_time") else None,
    )


def deploy_message(deploy: Deploy) -> deploy_pb.Deploy:
    """The deploy as an answer."""
    message = deploy_pb.Deploy(
        name=names.deploy_name(deploy.organization_id, deploy.version, deploy.id),
        uid=str(deploy.id),
        environment=deploy.environment,
        display_name=deploy.display_name,
        url=deploy.url,
        projects=[names.project_name(deploy.organization_id, project) for project in deploy.project_ids],
        etag=deploy.etag,
    )
    message.create_time.FromDatetime(deploy.create_time)
    if deploy.start_time is not None:
        message.start_time.FromDatetime(deploy.start_time)
    if deploy.finish_time is not None:
        message.finish_time.FromDatetime(deploy.finish_time)
    if deploy.announce_time is not None:
        message.announce_time.FromDatetime(deploy.announce_time)
    return message


def environment_message(environment: Environment) -> deploy_pb.Environment:
    """The environment as an answer."""
    name = names.environment_name(environment.organization_id, environment.id)
    return deploy_pb.Environment(name=name, display_name=environment.name)


def _time(timestamp: Timestamp, field: str) -> datetime:
    """To the microsecond, as PostgreSQL keeps it."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidArgument.of(field, "must be a time between the years 1 and 9999") from exc
