"""Puts a region silo's `serve` together: servicers behind their doors. `working` does it for `work`."""

from collections.abc import Callable
from datetime import timedelta

from siloway.internal.v1 import region_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import region_comparison_service_pb2_grpc as comparison_rpc
from siloway.region.v1 import deploy_service_pb2_grpc as deploy_rpc
from siloway.region.v1 import export_service_pb2_grpc as export_rpc
from siloway.region.v1 import file_comparison_service_pb2_grpc as file_comparison_rpc
from siloway.region.v1 import import_service_pb2_grpc as import_rpc
from siloway.region.v1 import issue_service_pb2_grpc as issue_rpc
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc
from siloway.region.v1 import release_service_pb2_grpc as release_rpc
from siloway.region.v1 import repository_service_pb2_grpc as repository_rpc
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from region_silo.callbacks import servicer as callbacks
from region_silo.callbacks.registry import receiving_registry, sending_registry
from region_silo.comparison import servicer as comparison
from region_silo.deploys import servicer as deploys
from region_silo.deploys.usecases import DeployUseCases
from region_silo.doctor.part import RegionPart
from region_silo.exports import servicer as exports
from region_silo.exports.control_peer import ControlRows
from region_silo.exports.usecases import ExportUseCases
from region_silo.fetches.servicer import RefFeatures
from region_silo.file_comparison import servicer as file_comparison
from region_silo.file_comparison.usecases import FileComparisonUseCases
from region_silo.imports import servicer as imports
from region_silo.imports.usecases import ImportUseCases
from region_silo.issues import servicer as issues
from region_silo.issues.usecases import IssueUseCases
from region_silo.members import servicer as members
from region_silo.members.teams import TeamLookup, TeamUseCases
from region_silo.members.usecases import MemberUseCases
from region_silo.opening import channel_to_control, open_region
from region_silo.organizations import servicer as organizations
from region_silo.organizations.lookup import OrganizationCache, OrganizationLookup, organization_cache
from region_silo.organizations.usecases import OrganizationUseCases
from region_silo.projects import servicer as projects
from region_silo.projects.lookup import ProjectLookup, project_cache
from region_silo.projects.usecases import ProjectUseCases
from region_silo.releases import servicer as releases
from region_silo.releases.commit_changes import CommitChanges
from region_silo.releases.usecases import ReleaseUseCases
from region_silo.repositories import servicer as repositories
from region_silo.repositories.pull_requests import PullRequestUseCases
from region_silo.repositories.usecases import RepositoryUseCases
from region_silo.routing.control_peer import OwnerQuestion
from region_silo.routing.owners import Owners
from region_silo.settings import RegionSettings
from region_silo.snowflakes import servicer as snowflakes
from region_silo.tokens.confirmation import Confirmation
from region_silo.tokens.store import knows_tokens
from region_silo.tokens.usecases import authenticator
from region_silo.verification.usecases import VerificationUseCases
from shared import silo
from shared.exporting.files import ExportFiles
from shared.importing.spool import Spool
from shared.model_cache_gate import CacheGate
from shared.parts import Parts
from shared.quota import Quotas
from shared.rpc.admin import Check
from shared.rpc.channel import InternalChannel
from shared.silo import Servicer

PUBLIC_METHODS = (
    *organizations.METHODS,
    *members.METHODS,
    *projects.METHODS,
    *releases.METHODS,
    *repositories.METHODS,
    *deploys.METHODS,
    *issues.METHODS,
    *imports.METHODS,
    *exports.METHODS,
    *file_comparison.METHODS,
    *snowflakes.METHODS,
)
INTERNAL_METHODS = (*callbacks.METHODS, *comparison.METHODS)


def serve(settings: RegionSettings) -> int:
    """Answer calls until told to stop. Returns the exit code."""
    parts = open_region(settings)
    gate = CacheGate(parts.database, clock=parts.clock)
    cache = organization_cache(parts.database, parts.redis, gate, parts.identity.name)
    channel = channel_to_control(parts, settings)
    owners = Owners(parts.database, OwnerQuestion(channel), region=parts.identity.name, clock=parts.clock)
    confirmation = Confirmation(parts.database, parts.clock, settings.token_confirmation_max_s)
    doors = [
        silo.public_door(
            parts,
            PUBLIC_METHODS,
            public_servicers(parts, settings, gate, cache, owners, channel=channel),
            authenticator(parts.database, parts.clock, parts.identity.name, _confirm(parts, confirmation)),
            sends=sending_registry(),
            doctor=RegionPart(),
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


def public_servicers(
    parts: Parts,
    settings: RegionSettings,
    gate: CacheGate,
    cache: OrganizationCache,
    owners: Owners,
    *,
    channel: InternalChannel,
) -> list[Servicer]:
    """The servicers of the public door."""
    database, ids = parts.database, parts.ids
    organization_lookup = OrganizationLookup(cache, database, owners)
    project_lookup = ProjectLookup(database, project_cache(database, parts.redis, gate, parts.identity.name))
    team_lookup = TeamLookup(database)
    return [
        *file_servicers(parts, settings, organization_lookup, channel),
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
                RefFeatures.of(database, ids, organization_lookup),
            ),
        ),
        (
            repository_rpc.add_RepositoryServiceServicer_to_server,
            repositories.RepositoryServicer(
                RepositoryUseCases(database, organization_lookup), PullRequestUseCases(database, organization_lookup)
            ),
        ),
        (
            deploy_rpc.add_DeployServiceServicer_to_server,
            deploys.DeployServicer(DeployUseCases(database, ids, organization_lookup, project_lookup)),
        ),
        (
            issue_rpc.add_IssueServiceServicer_to_server,
            issues.IssueServicer(IssueUseCases(database, ids, organization_lookup, project_lookup)),
        ),
        (
            snowflake_rpc.add_SnowflakeServiceServicer_to_server,
            snowflakes.SnowflakeServicer(
                ids, Quotas(parts.redis, clock=parts.clock, silo=parts.identity.name).spend_ids
            ),
        ),
    ]


def file_servicers(
    parts: Parts, settings: RegionSettings, organizations: OrganizationLookup, channel: InternalChannel
) -> list[Servicer]:
    """The servicers that take and give files."""
    database, ids = parts.database, parts.ids
    spool = Spool(settings.spool_folder, settings.spool_bytes_max)
    files = ExportFiles(settings.spool_folder, spool)
    return [
        (
            import_rpc.add_ImportServiceServicer_to_server,
            imports.ImportServicer(
                ImportUseCases(
                    database,
                    spool,
                    ids,
                    file_bytes_max=settings.upload_bytes_max,
                    wake=parts.waker.wake,
                    keep=timedelta(hours=settings.spool_keep_hours),
                ),
                parts.clock,
                VerificationUseCases(database, spool, ControlRows(channel)),
            ),
        ),
        (
            export_rpc.add_ExportServiceServicer_to_server,
            exports.ExportServicer(ExportUseCases(database, files, ids.take, organizations.find, parts.waker.wake)),
        ),
        (
            file_comparison_rpc.add_FileComparisonServiceServicer_to_server,
            file_comparison.FileComparisonServicer(FileComparisonUseCases(database, spool, files)),
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
        (
            comparison_rpc.add_RegionComparisonServiceServicer_to_server,
            comparison.RegionComparisonServicer(parts.database),
        ),
    ]


def _confirm(parts: Parts, confirmation: Confirmation) -> Callable[[], None]:
    """A closed silo's last confirmation is as old as its backup, and only doctor is answered."""
    return lambda: None if parts.restoration.is_closed() else confirmation.check()
