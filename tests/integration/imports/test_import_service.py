"""ImportService through a real public door, and its importer through control's real internal door."""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.domain import Scope, State
from shared.errors import Internal, PeerUnavailable, UploadInProgress
from shared.importing.decisions import Counts, Decision
from shared.importing.handover import HandedBatch
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors, parts
from tests.integration.imports.stack import CALLER
from tests.refusals import refusal_of
from tests.unit.importing.rows_of import handed_row

pytestmark = pytest.mark.integration

_TERMS = Terms(ImportScope.ORGANIZATION)
_ROWS = [rows.organization(1), rows.user(1), rows.member(1, 1, 1), rows.team(1, 9, "orphan"), rows.team(2, 9, "too")]
_FILE = json.dumps(_ROWS).encode()


def test_the_wires_numbers_are_the_rows_numbers() -> None:
    for scope in Scope:
        assert import_pb.DataImport.Scope.Value(f"SCOPE_{scope.name}") == scope.value
    for state in State:
        assert import_pb.DataImport.State.Value(f"STATE_{state.name}") == state.value
    for decision in Decision:
        assert model_import_pb.ImportBatchResponse.Decision.Value(f"DECISION_{decision.name}") == decision.value


def test_a_file_goes_in_by_the_public_door_and_through_controls_internal_door(doors: Doors) -> None:
    sha256 = hashlib.sha256(_FILE).hexdigest()
    queued = doors.call("UploadImport", parts(_FILE, size_bytes=len(_FILE), sha256=sha256))
    assert queued.state == import_pb.DataImport.STATE_QUEUED
    assert (queued.sha256, queued.size_bytes, queued.object_count) == (sha256, len(_FILE), len(_ROWS))
    doors.stack.run(int(queued.name.removeprefix("imports/")), doors.runner())

    done = doors.call("GetImport", import_pb.GetImportRequest(name=queued.name))
    assert done.state == import_pb.DataImport.STATE_SUCCEEDED
    assert done.creator == CALLER.principal
    assert (done.done_count, done.finding_count) == (len(_ROWS), 2)
    assert done.objects_per_second > 0
    counts = {each.model: (each.total, each.inserted, each.skipped) for each in done.models}
    assert counts == {
        "sentry.organization": (1, 1, 0),
        "sentry.team": (2, 0, 2),
        "sentry.user": (1, 1, 0),
        "sentry.organizationmember": (1, 1, 0),
    }
    (made,) = done.organizations
    assert (made.base_slug, made.slug) == ("acme", "acme")
    member = doors.stack.all_in("region", "SELECT user_id FROM organization_member")[0]
    assert doors.stack.all_in("control", "SELECT id FROM user_account") == [{"id": member["user_id"]}]


def test_findings_and_imports_come_in_pages(doors: Doors) -> None:
    names = [doors.call("UploadImport", parts(_FILE + b" " * extra)).name for extra in range(3)]
    for name in names:
        doors.stack.run(int(name.removeprefix("imports/")), doors.runner())
    listed, token = [], ""
    while True:
        page = doors.call("ListImports", import_pb.ListImportsRequest(page_size=2, page_token=token))
        listed += [each.name for each in page.imports]
        token = page.next_page_token
        if not token:
            break
    assert listed == sorted(names, reverse=True)

    first = doors.call("ListImportFindings", import_pb.ListImportFindingsRequest(parent=names[0], page_size=1))
    following = import_pb.ListImportFindingsRequest(parent=names[0], page_size=1, page_token=first.next_page_token)
    second = doors.call("ListImportFindings", following)
    assert [
        (each.kind, each.model, each.pk, each.field, each.skipped) for each in (*first.findings, *second.findings)
    ] == [
        ("MISSING_REFERENCE", "sentry.team", "1", "organization", True),
        ("MISSING_REFERENCE", "sentry.team", "2", "organization", True),
    ]
    assert second.next_page_token == ""
    other = import_pb.ListImportFindingsRequest(parent=names[1], page_size=1, page_token=first.next_page_token)
    assert doors.refused("ListImportFindings", other).reason == "INVALID_PAGE_TOKEN"
    none = import_pb.ListImportFindingsRequest(parent=names[0], kind="REPEATED_PK")
    assert not doors.call("ListImportFindings", none).findings


def test_what_is_refused_names_the_reason(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_FILE)).name
    get = import_pb.GetImportRequest(name=name)
    assert doors.refused("GetImport", get, "stranger").reason == "IMPORT_NOT_FOUND"
    assert doors.refused("GetImport", get, "reader").reason == "SCOPE_MISSING"
    assert doors.refused("GetImport", import_pb.GetImportRequest(name="imports/x")).reason == "INVALID_FIELD"
    assert doors.refused("UploadImport", parts(_FILE, scope=1)).reason == "SCOPE_MISSING"
    assert doors.refused("UploadImport", iter(list(parts(_FILE))[:-1])).reason == "UPLOAD_INCOMPLETE"
    assert doors.refused("UploadImport", iter(list(parts(_FILE))[1:])).reason == "INVALID_FIELD"
    assert doors.refused("UploadImport", iter(())).reason == "INVALID_FIELD"
    assert doors.refused("UploadImport", parts(b"{}")).reason == "INVALID_UPLOAD"
    assert doors.refused("UploadImport", parts(_FILE, request_id="x")).reason == "INVALID_FIELD"
    two_headers = [*parts(_FILE)][:1] * 2
    assert doors.refused("UploadImport", iter(two_headers)).violations[0][0] == "header"


def test_options_go_in_by_the_public_door_are_shown_and_are_part_of_the_request(doors: Doors) -> None:
    request_id = str(uuid.uuid4())
    filtered = import_pb.ImportOptions(
        hide_organizations=True, organization_slugs=import_pb.ImportOptions.Filter(values=["b", "acme", "b"])
    )
    sha256 = hashlib.sha256(_FILE).hexdigest()
    queued = doors.call("UploadImport", parts(_FILE, request_id=request_id, sha256=sha256, options=filtered))
    assert list(queued.options.organization_slugs.values) == ["acme", "b"]
    assert not queued.options.HasField("usernames")
    doors.stack.run(int(queued.name.removeprefix("imports/")), doors.runner())
    shown = doors.call("GetImport", import_pb.GetImportRequest(name=queued.name))
    assert shown.options == queued.options
    (listed,) = doors.call("ListImports", import_pb.ListImportsRequest()).imports
    assert not listed.HasField("options")
    again = parts(_FILE, request_id=request_id, sha256=sha256, options=filtered)
    assert doors.call("UploadImport", again).name == queued.name
    everything = parts(_FILE, request_id=request_id, sha256=sha256)
    assert doors.refused("UploadImport", everything).reason == "REQUEST_ID_REUSED"


def test_options_that_are_too_much_or_of_no_use_are_refused(doors: Doors) -> None:
    doors.stack.do_import([rows.organization(1)])
    full = doors.refused("UploadImport", parts(_FILE, scope=4), "operator")
    assert (full.reason, full.fields) == ("SILO_HOLDS_ORGANIZATIONS", ["header.options.add_to_silo"])
    merging = parts(_FILE, options=import_pb.ImportOptions(merge_users=True))
    assert doors.refused("UploadImport", merging).reason == "SCOPE_MISSING"
    useless = parts(_FILE, options=import_pb.ImportOptions(add_to_silo=True))
    assert doors.refused("UploadImport", useless).fields == ["header.options.add_to_silo"]
    names = import_pb.ImportOptions.Filter(values=[str(number) for number in range(5001)])
    many = parts(_FILE, options=import_pb.ImportOptions(organization_slugs=names))
    assert doors.refused("UploadImport", many).reason == "INVALID_FIELD"


def test_a_failed_import_tells_why(doors: Doors) -> None:
    name = doors.call("UploadImport", parts(_FILE)).name
    doors.stack.scopes.clear()
    doors.stack.run(int(name.removeprefix("imports/")), doors.runner())
    failed = doors.call("GetImport", import_pb.GetImportRequest(name=name))
    assert failed.state == import_pb.DataImport.STATE_FAILED
    assert failed.error.code == grpc.StatusCode.PERMISSION_DENIED.value[0]


def test_a_control_that_is_not_there_is_a_peer_that_cannot_be_reached(doors: Doors) -> None:
    peer = doors.peer()
    doors.control.stop(0)
    batch = HandedBatch(1, "tokens/7", _TERMS, "sentry.user", [handed_row(1, b"{}")])
    with pytest.raises(PeerUnavailable):
        peer.import_batch(batch)


def test_a_region_cannot_hand_over_rows_of_anothers_import(doors: Doors) -> None:
    import_id = doors.stack.upload(_FILE).id
    batch = HandedBatch(import_id, "tokens/7", _TERMS, "sentry.user", [handed_row(1, json.dumps(_ROWS[1]).encode())])
    with pytest.raises(Exception, match="Internal error"):
        doors.peer("de").import_batch(batch)
    assert doors.stack.all_in("control", "SELECT id FROM user_account") == []


def test_control_answers_a_region_of_an_earlier_version_row_by_row(doors: Doors) -> None:
    import_id = doors.stack.upload(_FILE).id
    user = json.dumps(_ROWS[1]).encode()
    request: dict[str, Any] = {"import_id": import_id, "principal": "tokens/7", "scope": 2, "model": "sentry.user"}
    handed = [model_import_pb.ImportBatchRequest.Row(ordinal=1, object=user)]
    old = doors.hand_over(model_import_pb.ImportBatchRequest(**request, rows=handed))
    new = doors.hand_over(model_import_pb.ImportBatchRequest(**request, ordinals=[1], objects=[user]))
    (row,) = old.rows
    assert (row.ordinal, row.old_pk, row.decision) == (1, _ROWS[1]["pk"], 1)
    assert not old.HasField("columns")
    assert (list(new.rows), list(new.columns.new_pks)) == ([], [row.new_pk])
    wrong: list[dict[str, Any]] = [{"ordinals": [1]}, {"objects": [user]}, {}, {"ordinals": [0], "objects": [user]}]
    for each in wrong:
        with pytest.raises(Internal):
            doors.hand_over(model_import_pb.ImportBatchRequest(**request, **each))


def test_control_only_counts_rows_for_a_region_that_wants_no_more(doors: Doors) -> None:
    import_id = doors.stack.upload(_FILE).id
    given = [handed_row(place, json.dumps(each).encode()) for place, each in enumerate((_ROWS[1], _ROWS[1]), 1)]
    batch = HandedBatch(import_id, "tokens/7", _TERMS, "sentry.user", given, without_rows=True)
    for _ in range(2):
        answer = doors.peer().import_batch(batch)
        assert (list(answer.rows), answer.counts(2)) == ([], Counts(inserted=1, skipped=1))
        assert [each.kind for each in answer.findings] == ["REPEATED_PK"]
    request: dict[str, Any] = {"import_id": import_id, "principal": "tokens/7", "scope": 2, "model": "sentry.user"}
    objects = [row.data for row in given]
    told = doors.hand_over(
        model_import_pb.ImportBatchRequest(**request, ordinals=[1, 2], objects=objects, without_rows=True)
    )
    assert (told.HasField("columns"), told.counts.inserted) == (False, 1)


def test_names_that_control_gives_come_with_their_rows(doors: Doors) -> None:
    import_id = doors.stack.upload(_FILE).id
    taken = {**_ROWS[1], "pk": _ROWS[1]["pk"] + 1}
    given = [handed_row(place, json.dumps(each).encode()) for place, each in enumerate((_ROWS[1], taken), 1)]
    answer = doors.peer().import_batch(HandedBatch(import_id, "tokens/7", _TERMS, "sentry.user", given))
    names = doors.stack.all_in("control", "SELECT id, username FROM user_account ORDER BY id")
    assert [(row.new_pk, row.suffixed) for row in answer.rows] == [
        (names[0]["id"], None),
        (names[1]["id"], names[1]["username"]),
    ]


def test_what_came_of_an_upload_whose_client_goes_away_half_way_is_kept(doors: Doors) -> None:
    request_id = str(uuid.uuid4())
    begun, ended = threading.Event(), threading.Event()

    def half() -> Iterator[import_pb.UploadImportRequest]:
        yield from list(parts(_FILE[:40], request_id=request_id))[:2]
        begun.set()
        ended.wait(30)

    call = doors.stub.UploadImport.future(half(), timeout=30, metadata=(("authorization", "Bearer importer"),))
    assert begun.wait(10)
    asked = import_pb.GetUploadRequest(request_id=request_id)
    _wait_until(lambda: _reason_or_offset(doors, asked) == 40)
    call.cancel()
    ended.set()
    _wait_until(lambda: _is_free(doors))
    there = doors.call("GetUpload", asked)
    assert (there.offset_bytes, there.complete, there.HasField("expire_time")) == (40, False, True)
    assert doors.refused("GetUpload", asked, "stranger").reason == "UPLOAD_NOT_FOUND"
    rest = list(parts(_FILE, request_id=request_id, offset=40))
    rest[1:] = [import_pb.UploadImportRequest(chunk=_FILE[40:]), rest[-1]]
    queued = doors.call("UploadImport", iter(rest))
    assert (queued.sha256, queued.object_count) == (hashlib.sha256(_FILE).hexdigest(), len(_ROWS))
    assert doors.call("GetUpload", asked).complete


def _reason_or_offset(doors: Doors, asked: import_pb.GetUploadRequest) -> Any:
    try:
        return doors.call("GetUpload", asked).offset_bytes
    except grpc.RpcError as error:
        return refusal_of(error).reason


def _is_free(doors: Doors) -> bool:
    """Whether the server has noticed that the client went away: nobody claims the upload any more."""
    try:
        with doors.stack.spool.claim(doors.stack.spool.import_ids()[0]):
            return True
    except UploadInProgress:
        return False


def _wait_until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < ends_at, "it did not come to that"
        time.sleep(0.01)
