"""The life of an import through a real public door: watched, paused, resumed, cancelled, stopped and retried."""

import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.watching import Watching, WatchSettings
from shared import barrier, errors
from shared.rpc.call import acting
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors, parts
from tests.integration.imports.stack import CALLER, METHOD, ImportStack
from tests.refusals import refusal_of

pytestmark = pytest.mark.integration

State = import_pb.DataImport.State
_ROWS = [rows.organization(1), *(rows.team(pk, 1, f"team-{pk}") for pk in range(1, 7))]
_FILE = json.dumps(_ROWS).encode()
_BAD = json.dumps([rows.organization(1), {**_ROWS[1], "fields": {"organization": 1}}]).encode()


def _watch(doors: Doors, name: str, timeout: float = 20.0, token: str = "importer") -> Iterator[Any]:
    request = import_pb.WatchImportRequest(name=name)
    call: Iterator[Any] = doors.stub.WatchImport(
        request, timeout=timeout, metadata=(("authorization", f"Bearer {token}"),)
    )
    return call


def _id(name: str) -> int:
    return int(name.removeprefix("imports/"))


def _ask(doors: Doors, method: str, name: str, **values: Any) -> Any:
    request = getattr(import_pb, f"{method}Request")(name=name, request_id=str(uuid.uuid4()), **values)
    return doors.call(method, request)


def test_an_import_is_paused_resumed_and_cancelled_by_its_name(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_FILE)).name
    assert _ask(doors, "PauseImport", name).state == State.STATE_PAUSED
    assert _ask(doors, "ResumeImport", name).state == State.STATE_QUEUED
    wanted: list[Any] = []
    runner = doors.stack.runner(rows_max=2)
    with barrier.registered("import.after_batch", lambda _: wanted.append(_ask(doors, "CancelImport", name))):
        runner.run_once()
    assert (wanted[0].state, wanted[0].requested_state) == (State.STATE_WRITING, State.STATE_CANCELLED)
    cancelled = doors.call("GetImport", import_pb.GetImportRequest(name=name))
    assert (cancelled.state, cancelled.requested_state) == (State.STATE_CANCELLED, 0)
    refused = doors.refused("PauseImport", import_pb.PauseImportRequest(name=name, request_id=str(uuid.uuid4())))
    assert refused.reason == "IMPORT_STATE"
    for method in ("PauseImport", "ResumeImport", "CancelImport", "RetryImport"):
        request = getattr(import_pb, f"{method}Request")(name=name, request_id=str(uuid.uuid4()))
        assert doors.refused(method, request, "stranger").reason == "IMPORT_NOT_FOUND"
        assert doors.refused(method, request, "reader").reason == "SCOPE_MISSING"


def test_errors_stop_an_import_and_it_is_retried_with_leave_to_go_on(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_BAD)).name
    doors.stack.run(_id(name), doors.stack.runner())
    stopped = doors.call("GetImport", import_pb.GetImportRequest(name=name))
    assert (stopped.state, stopped.error_count, stopped.continue_on_error) == (State.STATE_STOPPED, 1, False)
    findings = doors.call("ListImportFindings", import_pb.ListImportFindingsRequest(parent=name)).findings
    assert {each.severity for each in findings} == {import_pb.ImportFinding.SEVERITY_ERROR}
    retried = _ask(doors, "RetryImport", name, continue_on_error=True)
    assert (retried.state, retried.continue_on_error, retried.retry_count) == (State.STATE_QUEUED, True, 1)
    assert not retried.HasField("error")
    doors.stack.run(_id(name), doors.stack.runner())
    done = doors.call("GetImport", import_pb.GetImportRequest(name=name))
    assert (done.state, done.error_count, done.finding_count) == (State.STATE_SUCCEEDED, 1, 1)


def test_leave_to_go_on_behind_errors_is_given_with_the_upload(doors: Doors) -> None:
    options = import_pb.ImportOptions(continue_on_error=True)
    request_id = str(uuid.uuid4())
    name = doors.call("UploadImport", parts(_BAD, request_id=request_id, options=options)).name
    doors.stack.run(_id(name), doors.stack.runner())
    assert doors.call("GetImport", import_pb.GetImportRequest(name=name)).state == State.STATE_SUCCEEDED
    without = parts(_BAD, request_id=request_id)
    assert doors.refused("UploadImport", without).reason == "REQUEST_ID_REUSED"


def test_a_watcher_sees_an_import_move_and_its_stream_ends_with_the_last_state(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_FILE)).name
    watched = _watch(doors, name)
    first = next(watched)
    assert (first.state, first.HasField("seconds_left")) == (State.STATE_QUEUED, False)
    moved = threading.Event()
    seen = [first]

    def follow() -> None:
        for each in watched:
            seen.append(each)
            moved.set()

    following = threading.Thread(target=follow)
    following.start()

    def until_seen(times: int) -> None:
        if times == 2:
            doors.stack.clock.advance(1)
            moved.clear()
            assert moved.wait(20), "nobody was told in the middle"

    with barrier.registered("import.after_batch", until_seen):
        doors.stack.run(_id(name), doors.stack.runner(rows_max=2))
    following.join(20)
    assert not following.is_alive()
    middle = next(each for each in seen if each.state == State.STATE_WRITING and each.done_count)
    assert 0 < middle.done_count < middle.object_count
    assert middle.recent_objects_per_second > 0
    assert middle.seconds_left == pytest.approx(
        (middle.object_count - middle.done_count) / middle.recent_objects_per_second
    )
    assert seen[-1].state == State.STATE_SUCCEEDED
    assert seen[-1].organizations[0].slug == "acme"
    assert [each.state for each in _watch(doors, name)] == [State.STATE_SUCCEEDED]


def test_a_watcher_of_what_is_not_its_own_is_refused_and_one_with_little_time_is_told_so(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_FILE)).name
    for timeout, token, reason in ((20.0, "stranger", "IMPORT_NOT_FOUND"), (1.2, "importer", "DEADLINE_EXCEEDED")):
        with pytest.raises(grpc.RpcError) as caught:
            list(_watch(doors, name, timeout, token))
        assert refusal_of(caught.value).reason == reason


def _watching(stack: ImportStack, **settings: Any) -> Watching:
    return Watching(stack.usecases.get, WatchSettings(look_every_s=0.01, **settings))


def test_a_silent_import_is_told_of_now_and_then(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    with acting(CALLER, method=METHOD):
        beating = _watching(stack, heartbeat_s=0.02).watch(import_id, lambda: True)
        told = [next(beating).data_import for _ in range(3)]
        assert told[0] == told[1] == told[2]
        stack.runner().run_once()
        wishes = iter([True] * 20)
        quiet = _watching(stack, heartbeat_s=60.0).watch(import_id, lambda: next(wishes, False))
        assert next(quiet).data_import.state.name == "RESERVING"
        for _ in range(3):
            stack.clock.advance(1)
            stack.runner().run_once()
        assert list(quiet) == [], "that somebody looked after the slugs is no news"


def test_only_so_many_watch_at_one_time_and_a_place_is_free_again_when_one_leaves(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    watching = _watching(stack, watchers_max=1)
    with acting(CALLER, method=METHOD):
        first = watching.watch(import_id, lambda: True)
        next(first)
        with pytest.raises(errors.ResourceExhausted):
            next(watching.watch(import_id, lambda: True))
        first.close()  # type: ignore[attr-defined]  # a generator
        assert next(watching.watch(import_id, lambda: True)).data_import.id == import_id
