"""A client whose connection breaks while it uploads makes it again by itself, and sends what is missing."""

import hashlib
import io
import threading
import time
import uuid
from pathlib import Path

import grpc
import pytest
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.client import RegionClient
from siloway_client.export_file import write_export
from siloway_client.uploading import Uploading
from tests.integration.imports.doors import Doors
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults

_CHUNK_BYTES = 64 * 1024
_SCOPE = import_pb.DataImport.SCOPE_ORGANIZATION


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file has many of them."""
    monkeypatch.setattr("siloway_client.uploading.CHUNK_BYTES", _CHUNK_BYTES)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of some 40 chunks."""
    file = io.BytesIO()
    write_export(file, objects=6000, seed=3, organization_slug="acme")
    path = tmp_path_factory.mktemp("export") / "export.json"
    path.write_bytes(file.getvalue())
    assert path.stat().st_size > 20 * _CHUNK_BYTES
    return path


class _Offsets:
    """Where each call of a client began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[int] = []
        send = Uploading._send

        def noted(uploading: Uploading, offset: int, chunk_bytes: int) -> import_pb.DataImport:
            self.seen.append(offset)
            return send(uploading, offset, chunk_bytes)

        monkeypatch.setattr(Uploading, "_send", noted)


@pytest.fixture
def offsets(monkeypatch: pytest.MonkeyPatch) -> _Offsets:
    return _Offsets(monkeypatch)


def test_an_upload_survives_lost_connections_and_sends_what_is_missing(
    doors: Doors, export: Path, offsets: _Offsets
) -> None:
    cuts = [5 * _CHUNK_BYTES, 15 * _CHUNK_BYTES]
    with TcpProxy(doors.public.port) as line, RegionClient(line.address, "importer") as client:

        def cut(sent: int) -> None:
            if cuts and sent >= cuts[0]:
                cuts.pop(0)
                _wait_until_arrived(doors, sent - 2 * _CHUNK_BYTES)
                line.drop_connections()

        queued = client.upload_import(export, _SCOPE, on_sent=cut)
    assert queued.sha256 == hashlib.sha256(export.read_bytes()).hexdigest()
    assert queued.object_count == 6000
    assert len(offsets.seen) >= 3
    assert offsets.seen[0] == 0
    assert offsets.seen[-1] > 0, "it began anew"
    assert doors.stack.all_in("region", "SELECT count(*) AS n FROM data_import") == [{"n": 1}]


def test_a_region_that_takes_only_smaller_chunks_gets_them(
    doors: Doors, export: Path, offsets: _Offsets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siloway_client.uploading.CHUNK_BYTES", 300 * 1024)  # no region takes as much
    sent: list[int] = []
    with RegionClient(f"127.0.0.1:{doors.public.port}", "importer") as client:
        queued = client.upload_import(export, _SCOPE, on_sent=sent.append)
    assert queued.sha256 == hashlib.sha256(export.read_bytes()).hexdigest()
    assert offsets.seen == [0, 0]
    size = export.stat().st_size
    assert sent[sent.index(_CHUNK_BYTES) :] == [*range(_CHUNK_BYTES, size, _CHUNK_BYTES), size]
    assert doors.stack.all_in("region", "SELECT count(*) AS n FROM data_import") == [{"n": 1}]


def test_another_run_with_the_same_request_id_sends_what_the_first_did_not(
    doors: Doors, export: Path, offsets: _Offsets
) -> None:
    request_id = str(uuid.uuid4())
    half = export.stat().st_size // 2

    with TcpProxy(doors.public.port) as line, RegionClient(line.address, "importer") as client:

        def cut(sent: int) -> None:
            if sent >= half:
                _wait_until_arrived(doors, half - 2 * _CHUNK_BYTES)
                line.cut()

        with pytest.raises(grpc.RpcError):
            client.upload_import(export, _SCOPE, request_id=request_id, on_sent=cut, patience_s=0.0)
    there = import_pb.GetUploadRequest(request_id=request_id)
    with RegionClient(f"127.0.0.1:{doors.public.port}", "importer") as client:
        arrived = client.imports.GetUpload(there).offset_bytes
        assert 0 < arrived <= half + _CHUNK_BYTES
        queued = client.upload_import(export, _SCOPE, request_id=request_id)
        assert offsets.seen[-1] > 0
        assert client.upload_import(export, _SCOPE, request_id=request_id).name == queued.name
    assert queued.object_count == 6000


def test_another_run_waits_for_a_region_that_is_away_when_it_asks_what_came(
    doors: Doors, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, lost = Uploading._arrived, list[str]()
    with TcpProxy(doors.public.port) as line, RegionClient(line.address, "importer") as client:

        def away_once(uploading: Uploading) -> int:
            if lost:
                line.mend()
            try:
                return ask(uploading)
            except grpc.RpcError as error:
                lost.append(error.code().name)
                raise

        monkeypatch.setattr(Uploading, "_arrived", away_once)
        line.cut()
        queued = client.upload_import(export, _SCOPE, request_id=str(uuid.uuid4()))
    assert queued.object_count == 6000
    assert lost[0] == "UNAVAILABLE"


def test_two_clients_with_one_request_id_end_with_one_import(doors: Doors, export: Path) -> None:
    request_id = str(uuid.uuid4())
    names: list[str] = []

    def upload() -> None:
        with RegionClient(f"127.0.0.1:{doors.public.port}", "importer") as client:
            names.append(client.upload_import(export, _SCOPE, request_id=request_id).name)

    clients = [threading.Thread(target=upload) for _ in range(2)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(60)
    assert len(names) == 2
    assert len(set(names)) == 1


def _wait_until_arrived(doors: Doors, length: int) -> None:
    """What a client has sent may still be on its way."""
    spool, ends_at = doors.stack.spool, time.monotonic() + 20
    while not any(spool.part_length(each) >= length for each in spool.import_ids()):
        assert time.monotonic() < ends_at, "it did not arrive"
        time.sleep(0.005)
