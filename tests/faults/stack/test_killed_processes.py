"""Whatever is killed, and wherever: the same import goes on, and ends with the rows of a run that nobody disturbed.

The undisturbed runs take place in the region `de`, the others in `us`; their files differ by the organization's slug.
Imports that are asked for again, after kills everywhere, are `Imports`'.
"""

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.imports.domain import State
from siloway_client.client import new_request_id
from tests.faults.stack.imports import Imports, Kill
from tests.faults.stack.points import AFTER_A_BATCH, CONVERSATION, KILLS, MODELS, Stop
from tests.faults.stack.silos import FaultStack, write_organizations, write_rows
from tests.stack import wait_until

pytestmark = pytest.mark.faults

_SILOS = ("control", "us", "de")
_Rows = dict[str, list[str]]


@pytest.fixture(scope="module")
def calm_organizations(stack: FaultStack, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], _Rows]:
    """The rows of that many organizations, imported undisturbed."""
    folder = tmp_path_factory.mktemp("calm")

    @cache
    def rows(count: int) -> _Rows:
        slug = f"calm{count}"
        return _rows_of_calm_run(stack, write_organizations(folder, slug, count), slug)

    return rows


@pytest.fixture(scope="module")
def imports(stack: FaultStack, tmp_path_factory: pytest.TempPathFactory) -> Imports:
    return Imports(stack, tmp_path_factory.mktemp("imports"), others=MODELS)


@pytest.mark.parametrize("stop", CONVERSATION, ids=lambda stop: f"{stop.point.silo} {stop.point.name}")
def test_a_process_killed_in_the_slug_conversation_changes_nothing_of_its_end(
    stack: FaultStack, calm_organizations: Callable[[int], _Rows], tmp_path: Path, stop: Stop
) -> None:
    expected = calm_organizations(stop.organizations)
    slug = f"hit-{CONVERSATION.index(stop)}"
    with stack.dies_at(stop.point) as died:
        import_id = stack.upload("us", write_organizations(tmp_path, slug, stop.organizations))
        died()
        seen = stack.progress("us", import_id)
        assert seen.state in (State.RESERVING, State.FINISHING, State.SUCCEEDED)
        assert seen.organizations == seen.rows == stop.organizations
        assert stop.in_the_middle(seen), f"it was not in the middle: {seen}"
        if stop.point.verb == "work":
            stack.let_leases_run_out(stop.point.silo)
    stack.finish("us", import_id)
    assert stack.rows("us", import_id, slug) == expected


@pytest.mark.parametrize("kill", KILLS, ids=str)
def test_an_import_that_is_asked_for_again_after_a_kill_ends_like_an_undisturbed_one(
    imports: Imports, kill: Kill
) -> None:
    imports.disturb(kill)


def test_a_database_server_killed_under_an_import_is_waited_for(stack: FaultStack, tmp_path: Path) -> None:
    expected = _rows_of_calm_run(stack, write_rows(tmp_path, "calm-server", seed=2), "calm-server")
    programs = {silo: (stack.running.pids(silo, "serve"), stack.running.pids(silo, "work")) for silo in _SILOS}
    killed = stack.running.postgres_pid()
    with stack.waits_at(AFTER_A_BATCH) as reached:
        import_id = stack.upload("us", write_rows(tmp_path, "hit-server", seed=2))
        reached()
        seen = stack.progress("us", import_id)
        assert seen.state is State.WRITING
        assert seen.chunks >= AFTER_A_BATCH.times  # the other lane writes on
        assert 0 < seen.rows < seen.objects
        os.kill(killed, signal.SIGKILL)
    wait_until(lambda: "PostgreSQL was started again" in stack.running.notices, "PostgreSQL did not come back")
    # The runner could give nothing back meanwhile.
    stack.let_leases_run_out("us")
    stack.finish("us", import_id)
    assert stack.rows("us", import_id, "hit-server") == expected
    after = {silo: (stack.running.pids(silo, "serve"), stack.running.pids(silo, "work")) for silo in _SILOS}
    assert after == programs, "no program of a silo died of it"


def test_a_region_works_without_control_and_its_import_waits(stack: FaultStack, tmp_path: Path) -> None:
    expected = _rows_of_calm_run(stack, write_rows(tmp_path, "calm-alone", seed=3, objects=500), "calm-alone")
    before = stack.upload("us", write_rows(tmp_path, "home", seed=4, objects=100))
    stack.finish("us", before)
    with stack.running.restarts_held(), stack.running.region("us") as region:
        stack.running.kill("control", "serve")
        stack.running.kill("control", "work")
        wait_until(lambda: not stack.running.pids("control", "serve"), "control lives")
        import_id = stack.upload("us", write_rows(tmp_path, "hit-alone", seed=3, objects=500))
        parent = "organizations/home"
        project = project_pb.CreateProjectRequest(
            parent=parent, project=project_pb.Project(display_name="Alone"), request_id=new_request_id()
        )
        region.projects.CreateProject(project)
        release = release_pb.CreateReleaseRequest(
            parent=parent,
            release=release_pb.Release(version="shop@1"),
            projects=["alone"],
            request_id=new_request_id(),
        )
        made = region.releases.CreateRelease(release).release
        assert region.releases.GetRelease(release_pb.GetReleaseRequest(name=made.name)) == made
        failures = "SELECT peer_failures FROM data_import WHERE id = %s"
        wait_until(lambda: stack.running.value("us", failures, import_id) > 0, "the import does not wait")
        assert stack.progress("us", import_id).state in (State.QUEUED, State.WRITING)
        stack.let_leases_run_out("control")
    stack.finish("us", import_id)
    assert stack.rows("us", import_id, "hit-alone") == expected


def _rows_of_calm_run(stack: FaultStack, file: Path, slug: str) -> _Rows:
    import_id = stack.upload("de", file)
    stack.finish("de", import_id)
    return stack.rows("de", import_id, slug)
