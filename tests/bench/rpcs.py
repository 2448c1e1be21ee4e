"""A read and a write of a release by 16 callers, over an echo of the same size by the same callers."""

from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client.client import new_request_id
from tests.bench.echo import METHOD, echo_server
from tests.bench.environment import Environment
from tests.bench.load import REQUEST_ID, calls_per_second
from tests.bench.measuring import Figure, in_turn

CALLERS = 16
_SERVICE = "/siloway.region.v1.ReleaseService"
_RELEASED = Timestamp(seconds=1_750_000_000)


def run(environment: Environment) -> dict[str, Figure]:
    """read_rpc_vs_echo and write_rpc_vs_echo, in calls a second."""
    organization = environment.organization()
    releases = _prepare(environment, organization)
    reads = [release_pb.GetReleaseRequest(name=name).SerializeToString() for name in releases]
    writes = [
        release_pb.UpdateReleaseRequest(
            # Another URL each time, so that there is something to write, and its activity.
            release=release_pb.Release(
                name=name, ref="main", url=f"https://example.com/{REQUEST_ID}", release_time=_RELEASED
            ),
            request_id=REQUEST_ID,
        ).SerializeToString()
        for name in releases
    ]
    with echo_server() as echo:
        return {
            "read_rpc_vs_echo": _figure(environment, echo, f"{_SERVICE}/GetRelease", reads),
            "write_rpc_vs_echo": _figure(environment, echo, f"{_SERVICE}/UpdateRelease", writes),
        }


def _figure(environment: Environment, echo: str, method: str, requests: list[bytes]) -> Figure:
    seconds = environment.scaled(6.0, 2.0)

    def rate(address: str, called: str, token: str) -> float:
        return calls_per_second(address, called, requests, callers=CALLERS, seconds=seconds, token=token)

    return in_turn(
        lambda: rate(echo, METHOD, ""),
        lambda: rate(environment.region_address, method, environment.token),
        rounds=environment.rounds,
        unit="calls/s",
        note=f"{CALLERS} callers in 2 processes; the callers cost the same on both sides",
    )


def _prepare(environment: Environment, organization: str) -> list[str]:
    """A release for each caller, with two projects, commits and heads; their names."""
    client = environment.region
    for slug in ("web", "api"):
        client.projects.CreateProject(
            project_pb.CreateProjectRequest(
                parent=organization,
                project=project_pb.Project(display_name=slug, slug=slug),
                request_id=new_request_id(),
            )
        )
    names = []
    for number in range(CALLERS):
        created = client.releases.CreateRelease(
            release_pb.CreateReleaseRequest(
                parent=organization,
                release=release_pb.Release(version=f"app@1.2.{number}"),
                projects=["web", "api"],
                request_id=new_request_id(),
            )
        )
        commits = [
            release_pb.CommitSpec(
                id=f"{number:08d}{index:032d}", message=f"message {index}", author_email="a@example.com"
            )
            for index in range(20)
        ]
        client.releases.UpdateRelease(
            release_pb.UpdateReleaseRequest(
                release=release_pb.Release(name=created.release.name),
                commits=release_pb.CommitSet(commits=commits),
                request_id=new_request_id(),
            )
        )
        names.append(created.release.name)
    return names
