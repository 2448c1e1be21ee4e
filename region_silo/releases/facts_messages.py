"""What a release's page and a list of releases are asked for, and answered with, on the wire."""

from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.releases import messages
from region_silo.releases.domain import Release, ReleaseState
from region_silo.releases.facts import AdoptionStage, ProjectFact, ReleaseFacts
from region_silo.releases.reading import FactsQuery, ReleaseQuery
from region_silo.releases.versions import broken_rules, compare, parse_version
from shared import names
from shared.errors import InvalidArgument

_STAGES = {
    AdoptionStage.LOW_ADOPTION: release_pb.AdoptionStage.STAGE_LOW_ADOPTION,
    AdoptionStage.ADOPTED: release_pb.AdoptionStage.STAGE_ADOPTED,
    AdoptionStage.REPLACED: release_pb.AdoptionStage.STAGE_REPLACED,
}
_COMPARISONS = {
    None: release_pb.ParseVersionResponse.COMPARISON_UNSPECIFIED,
    -1: release_pb.ParseVersionResponse.COMPARISON_LOWER,
    0: release_pb.ParseVersionResponse.COMPARISON_EQUAL,
    1: release_pb.ParseVersionResponse.COMPARISON_HIGHER,
}
_NOTHING_ASKED = FactsQuery()


def facts_query_of(request: release_pb.GetReleaseRequest) -> FactsQuery:
    """What a release's page is to show."""
    if not (request.sort or request.summary_stats_period or request.health_stats_period or request.view):
        return _NOTHING_ASKED
    return FactsQuery(
        project=request.project,
        environments=tuple(request.environments),
        state=messages.state_of(request.state) or ReleaseState.OPEN,
        text=request.query,
        sort=request.sort,
        adoption_stages=request.adoption_stages,
        summary_stats_period=request.summary_stats_period,
        health_stats_period=request.health_stats_period,
    )


def release_query_of(request: release_pb.ListReleasesRequest) -> ReleaseQuery:
    """Which releases a list shows. Raises InvalidArgument of `all_states`, `start_time`, `end_time`."""
    if request.all_states and request.state:
        raise InvalidArgument.of("all_states", "goes without a state")
    state = None if request.all_states else messages.state_of(request.state) or ReleaseState.OPEN
    return ReleaseQuery(
        state=state,
        projects=(*((request.project,) if request.project else ()), *request.projects),
        text=request.query,
        order=request.order_by,
        environments=tuple(request.environments),
        start=messages.time_of(request.start_time, "start_time") if request.HasField("start_time") else None,
        end=messages.time_of(request.end_time, "end_time") if request.HasField("end_time") else None,
    )


def full_message(release: Release, facts: ReleaseFacts) -> release_pb.Release:
    """The release with its page's facts as an answer."""
    message = messages.release_message(release)
    message.new_issue_count = facts.new_issue_count
    message.changed_file_count = facts.changed_file_count
    for fact in facts.projects:
        message.project_facts.add(
            name=names.project_name(release.organization_id, fact.project_id),
            slug=fact.slug,
            display_name=fact.name,
            platform=fact.platform,
            new_issue_count=fact.new_issue_count,
            has_health_data=fact.has_health_data,
        )
        if facts.with_stages:
            message.adoption_stages[fact.slug].CopyFrom(_stage(fact))
    for author in facts.authors:
        message.author_facts.add(
            user="" if author.user_id is None else f"{messages.USERS}/{author.user_id}",
            display_name=author.name,
            email=author.email,
        )
    if facts.neighbours is not None:
        near = facts.neighbours
        message.current_project_meta.CopyFrom(
            release_pb.ProjectMeta(
                previous_release_version=near.previous,
                next_release_version=near.next,
                first_release_version=near.first,
                last_release_version=near.last,
            )
        )
    return message


def parsed_message(version: str, other_version: str) -> release_pb.ParseVersionResponse:
    """A version taken apart, and where it stands beside another one."""
    info = parse_version(version)
    return release_pb.ParseVersionResponse(
        broken_rules=broken_rules(version),
        version_info=None if info is None else messages.version_info_message(info),
        comparison=_COMPARISONS[compare(version, other_version) if other_version else None],
    )


def _stage(fact: ProjectFact) -> release_pb.AdoptionStage:
    stage = release_pb.AdoptionStage(stage=_STAGES[fact.stage])
    if fact.adopt_time is not None:
        stage.adopt_time.FromDatetime(fact.adopt_time)
    if fact.unadopt_time is not None:
        stage.unadopt_time.FromDatetime(fact.unadopt_time)
    return stage
