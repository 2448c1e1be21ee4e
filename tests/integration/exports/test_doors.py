"""ExportService through a real public door, and the rows of control through its real internal door."""

import hashlib
import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
from siloway.internal.v1 import model_export_service_pb2 as model_export_pb
from siloway.region.v1 import export_service_pb2 as export_pb

from region_silo.exports.domain import Scope, State
from region_silo.exports.usecases import CHUNK_BYTES
from shared.errors import Internal
from shared.exporting.handover import RowsWanted
from shared.importing.registry import ImportScope
from tests.integration.exports.doors import Doors
from tests.integration.exports.stack import values
from tests.integration.exports.test_permissions import organization_of
from tests.integration.exports.test_rules import two_organizations
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import REGION


def _create(doors: Doors, token: str = "operator", **wish: Any) -> export_pb.DataExport:
    request = export_pb.CreateExportRequest(**{"scope": 2, "request_id": str(uuid.uuid4()), **wish})
    made: export_pb.DataExport = doors.call("CreateExport", request, token)
    return made


def _download(doors: Doors, name: str, offset: int = 0) -> tuple[export_pb.DownloadExportResponse.Header, list[bytes]]:
    first, *parts = doors.call("DownloadExport", export_pb.DownloadExportRequest(name=name, offset=offset))
    return first.header, [part.chunk for part in parts]


def test_the_wires_numbers_are_the_rows_numbers() -> None:
    for scope in Scope:
        assert export_pb.DataExport.Scope.Value(f"SCOPE_{scope.name}") == scope.value
        internal = model_export_pb.ExportRowsRequest.Scope.Value(f"SCOPE_{scope.name}")
        assert internal == scope.value
    for state in State:
        assert export_pb.DataExport.State.Value(f"STATE_{state.name}") == state.value


def test_an_export_is_asked_for_built_and_taken(doors: Doors) -> None:
    doors.stack.import_all(two_organizations())
    made = _create(doors, organization_slugs=export_pb.DataExport.Filter(values=["acme"]))
    assert (made.state, made.creator, list(made.organization_slugs.values)) == (1, "tokens/8", ["acme"])
    assert not made.HasField("usernames")
    with_file = export_pb.GetExportRequest(name=made.name)
    assert doors.refused("DownloadExport", export_pb.DownloadExportRequest(name=made.name)).reason == "EXPORT_NOT_READY"
    assert doors.runner().run_once()
    found = doors.call("GetExport", with_file)
    header, chunks = _download(doors, made.name)
    data = b"".join(chunks)
    assert found.state == export_pb.DataExport.STATE_SUCCEEDED
    assert (header.size_bytes, header.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert (found.size_bytes, found.sha256) == (header.size_bytes, header.sha256)
    objects = json.loads(data)
    assert values(objects, "sentry.user", "username") == ["ada"]
    assert {each.model: each.rows for each in found.models}["sentry.user"] == 1
    assert found.object_count == len(objects)
    assert found.expire_time.seconds > found.end_time.seconds > 0
    (listed,) = doors.call("ListExports", export_pb.ListExportsRequest()).exports
    assert (listed.name, list(listed.models)) == (made.name, [])


def test_a_download_begins_at_any_offset(doors: Doors) -> None:
    stack = doors.stack
    stack.import_all([rows.organization(1), *(rows.team(pk, 1, f"team{pk}") for pk in range(1, 1_000))])
    name = _create(doors).name
    assert doors.runner().run_once()
    header, chunks = _download(doors, name)
    data, size = b"".join(chunks), header.size_bytes
    assert size > 2 * CHUNK_BYTES, "the file has several chunks"
    for offset in (1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, size // 2, size - 1, size):
        again, chunks = _download(doors, name, offset)
        assert again == header
        assert b"".join(chunks) == data[offset:]
        assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)
    behind = export_pb.DownloadExportRequest(name=name, offset=size + 1)
    assert doors.refused("DownloadExport", behind).reason == "INVALID_FIELD"


def test_exports_are_listed_page_by_page(doors: Doors) -> None:
    names = [_create(doors).name for _ in range(3)]
    page = doors.call("ListExports", export_pb.ListExportsRequest(page_size=2))
    rest = doors.call("ListExports", export_pb.ListExportsRequest(page_size=2, page_token=page.next_page_token))
    assert [each.name for each in (*page.exports, *rest.exports)] == names[::-1]
    assert rest.next_page_token == ""


def test_a_bound_token_sees_what_is_its_organizations(doors: Doors) -> None:
    doors.stack.import_all(two_organizations())
    acme, umbrella = (organization_of(doors.stack, slug) for slug in ("acme", "umbrella"))
    doors.callers["acme"] = doors.stack.bound(acme)
    doors.callers["umbrella"] = replace(doors.stack.bound(umbrella), principal="tokens/10")
    made = _create(doors, "acme")
    assert made.organization == f"organizations/{acme}"
    doors.stack.rights["tokens/9"] = [replace(doors.stack.rights["tokens/9"][0], organization_id=acme)]
    assert doors.runner().run_once()
    for request in (
        export_pb.GetExportRequest(name=made.name),
        export_pb.DownloadExportRequest(name=made.name),
        export_pb.CancelExportRequest(name=made.name, request_id=str(uuid.uuid4())),
        export_pb.DeleteExportRequest(name=made.name, request_id=str(uuid.uuid4())),
    ):
        method = type(request).__name__.removesuffix("Request")
        assert doors.refused(method, request, "umbrella").reason == "EXPORT_NOT_FOUND"
        doors.call(method, request, "acme")


def test_cancelling_and_deleting_are_told(doors: Doors) -> None:
    name = _create(doors).name
    request_id = str(uuid.uuid4())
    cancelled = doors.call("CancelExport", export_pb.CancelExportRequest(name=name, request_id=request_id))
    assert cancelled.state == export_pb.DataExport.STATE_CANCELLED
    doors.call("DeleteExport", export_pb.DeleteExportRequest(name=name, request_id=str(uuid.uuid4())))
    assert doors.refused("GetExport", export_pb.GetExportRequest(name=name)).reason == "EXPORT_NOT_FOUND"


def test_a_row_that_is_longer_than_a_message_goes_in_pieces(doors: Doors) -> None:
    stack = doors.stack
    stack.import_all([rows.user(1, "ada"), rows.user(2, "bob")])
    pks = [row["id"] for row in stack.imports.all_in("control", "SELECT id FROM user_account ORDER BY id")]
    long = {"list": list(range(600_000)), "text": "ä" * 400_000}
    refs = {"organization_id": None, "project_id": None}
    stack.keep("control", "sentry.useroption", {"user": pks[0], **refs}, {"key": "long", "value": long})
    stack.keep("control", "sentry.useroption", {"user": pks[1], **refs}, {"key": "short", "value": 1})
    export_id = stack.create().id
    assert doors.runner().run_once()
    assert values(json.loads(stack.download(export_id)), "sentry.useroption", "value") == [long, 1]


def test_control_tells_a_region_that_asks_for_what_is_not_its_own(doors: Doors) -> None:
    export_id = doors.stack.imports.ids[REGION].take(1)[0]
    wanted = RowsWanted(export_id, "tokens/8", ImportScope.USER)
    assert list(doors.peer().rows(wanted)) == []
    with pytest.raises(Internal) as caught:
        list(doors.peer("de").rows(wanted))
    assert caught.value.metadata["peer_reason"] == "PEER_REFUSED"
