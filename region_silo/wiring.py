"""Puts a region silo's programs together: servicers behind their doors, outbox and imports behind a transport."""

import threading
from datetime import timedelta

from siloway.internal.v1 import region_callback_service_pb2_grpc as callback_rpc
from siloway.region.v1 import import_service_pb2_grpc as import_rpc
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc
from siloway.region.v1 import release_service_pb2_grpc as release_rpc
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from region_silo.callbacks import servicer as callbacks
from region_silo.callbacks.registry import receiving_registry, sending_registry
from region_silo.callbacks.transport import ControlTransport
from region_silo.imports import servicer as imports
from region_silo.imports.cleaner import import_tasks
from region_silo.imports.control_peer import ControlSilo
from region_silo.imports.runner import ImportRunner
from region_silo.imports.usecases import ImportUseCases, clean_spool
from region_silo.members import servicer as members
from region_silo.members.teams import TeamLookup, TeamUseCases
from region_silo.members.usecases import MemberUseCases
from region_silo.organizations import servicer as organizations
from region_silo.organizations.lookup import OrganizationCache, OrganizationLookup, organization_cache
from region_silo.organizations.usecases import OrganizationUseCases
from region_silo.projects import servicer as projects
from region_silo.projects.lookup import ProjectLookup, project_cache
from region_silo.projects.usecases import ProjectUseCases
from region_silo.releases import servicer as releases
from region_silo.releases.commit_changes import CommitChanges
from region_silo.releases.usecases import ReleaseUseCases
from region_silo.routing.control_peer import OwnerQuestion
from region_silo.routing.owners import Owners
from region_silo.routing.usecases import check_number
from region_silo.settings import RegionSettings
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from region_silo.snowflakes import servicer as snowflakes
from region_silo.tokens.confirmation import Confirmation
from region_silo.tokens.store import knows_tokens
from region_silo.tokens.usecases import authenticator
from shared import program, silo
from shared.errors import ServiceError
from shared.importing.spool import Spool
from shared.model_cache_gate import CacheGate
from shared.quota import Quotas
from shared.rpc.admin import Check
from shared.rpc.channel import InternalChannel
from shared.rpc.identity import CONTROL
from shared.silo import INTERNAL_MESSAGE_BYTES_MAX, Parts, Servicer
from shared.wake import Listener

PUBLIC_METHODS = (
    *organizations.METHODS,
    *members.METHODS,
    *projects.METHODS,
    *releases.METHODS,
    *imports.METHODS,
    *snowflakes.METHODS,
)
INTERNAL_METHODS = callbacks.METHODS
SPOOL_KEEP = timedelta(hours=1)
"""How long the file of a broken or failed upload is kept; above the 3,000 s that an upload may take."""

_SPOOL_CLEAN_EVERY_S = 300.0


def serve(settings: RegionSettings) -> int:
    """Answer calls until told to stop. Returns the exit code."""
    parts = _open(settings)
    gate = CacheGate(parts.database, clock=parts.clock)
    cache = organization_cache(parts.database, parts.redis, gate, parts.identity.name)
    channel = _channel_to_control(parts, settings)
    owners = Owners(parts.database, OwnerQuestion(channel), region=parts.identity.name, clock=parts.clock)
    confirmation = Confirmation(parts.database, parts.clock, settings.token_confirmation_max_s)
    doors = [
        silo.public_door(
            parts,
            PUBLIC_METHODS,
            public_servicers(parts, settings, gate, cache, owners),
            authenticator(parts.database, parts.clock, parts.identity.name, confirmation.check),
            sends=sending_registry(),
        ),
        silo.internal_door(parts, INTERNAL_METHODS, internal_servicers(parts, cache)),
    ]
    checks: dict[str, Check] = {
        "tokens": lambda: parts.database.read(knows_tokens),
        "token_confirmation": confirmation.is_fresh,
    }
    try:
        return silo.serve(parts, doors, checks)
    finally:
        channel.close()


def work(settings: RegionSettings) -> int:
    """Write imports, deliver the outbox and clean until told to stop. Returns the exit code."""
    parts = _open(settings)
    gate = CacheGate(parts.database, clock=parts.clock)
    cache = organization_cache(parts.database, parts.redis, gate, parts.identity.name)
    spool = Spool(settings.spool_folder, settings.spool_bytes_max)
    channel = _channel_to_control(parts, settings)
    runner = ImportRunner(
        parts.database, spool, ControlSilo(channel), parts.ids, changing=lambda ids: cache.changing(*ids)
    )
    loops: dict[str, program.Loop] = {
        "imports": _import_loop(runner, settings.silo.database_url),
        "spool": _spool_loop(parts, spool),
    }
    try:
        return silo.work(
            parts,
            registry=sending_registry(),
            transport=ControlTransport(channel),
            loops=loops,
            cleaning=import_tasks(),
        )
    finally:
        channel.close()


def public_servicers(
    parts: Parts, settings: RegionSettings, gate: CacheGate, cache: OrganizationCache, owners: Owners
) -> list[Servicer]:
    """The servicers of the public door."""
    database, ids = parts.database, parts.ids
    organization_lookup = OrganizationLookup(cache, database, owners)
    project_lookup = ProjectLookup(database, project_cache(database, parts.redis, gate, parts.identity.name))
    team_lookup = TeamLookup(database)
    spool = Spool(settings.spool_folder, settings.spool_bytes_max)
    return [
        (
            organization_rpc.add_RegionOrganizationServiceServicer_to_server,
            members.RegionOrganizationServicer(
                OrganizationUseCases(database, organization_lookup),
                MemberUseCases(database, organization_lookup, team_lookup),
                TeamUseCases(database, ids, organization_lookup, project_lookup, team_lookup),
            ),
        ),
        (
            project_rpc.add_ProjectServiceServicer_to_server,
            projects.ProjectServicer(ProjectUseCases(database, ids, organization_lookup, project_lookup)),
        ),
        (
            release_rpc.add_ReleaseServiceServicer_to_server,
            releases.ReleaseServicer(
                ReleaseUseCases(database, ids, organization_lookup, project_lookup),
                CommitChanges(database, organization_lookup),
            ),
        ),
        (
            import_rpc.add_ImportServiceServicer_to_server,
            imports.ImportServicer(
                ImportUseCases(database, spool, ids, file_bytes_max=settings.upload_bytes_max, wake=parts.waker.wake),
                parts.clock,
            ),
        ),
        (
            snowflake_rpc.add_SnowflakeServiceServicer_to_server,
            snowflakes.SnowflakeServicer(
                ids, Quotas(parts.redis, clock=parts.clock, silo=parts.identity.name).spend_ids
            ),
        ),
    ]


def internal_servicers(parts: Parts, cache: OrganizationCache) -> list[Servicer]:
    """The servicers of the internal door."""
    registry = receiving_registry(wake=parts.waker.wake)
    return [
        (
            callback_rpc.add_RegionCallbackServiceServicer_to_server,
            callbacks.RegionCallbackServicer(
                parts.database, registry, take_ids=parts.ids.take, changing=lambda ids: cache.changing(*ids)
            ),
        ),
    ]


def _open(settings: RegionSettings) -> Parts:
    """The open parts. Raises as silo.open_parts, and RegionNumberTaken: no process gives out another region's ids."""
    parts = silo.open_parts(settings.silo, id_layout=settings.id_layout)
    name, number = parts.identity.name, parts.identity.number
    try:
        parts.database.read(lambda transaction: check_number(transaction, name=name, number=number))
    except ServiceError:
        parts.close()
        raise
    return parts


def _channel_to_control(parts: Parts, settings: RegionSettings) -> InternalChannel:
    return InternalChannel(
        settings.control_internal_address,
        peer=CONTROL,
        credentials=parts.credentials,
        message_bytes_max=INTERNAL_MESSAGE_BYTES_MAX,
    )


def _import_loop(runner: ImportRunner, database_url: str) -> program.Loop:
    def run(stop: threading.Event) -> None:
        listener = Listener(database_url, [IMPORTS_CHANNEL])
        try:
            runner.run(stop, listener.wait)
        finally:
            listener.close()

    return run


def _spool_loop(parts: Parts, spool: Spool) -> program.Loop:
    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            clean_spool(parts.database, spool, keep=SPOOL_KEEP)
            stop.wait(_SPOOL_CLEAN_EVERY_S)

    return run
