"""RequestService through a real channel: each principal sees its own records."""

import uuid
from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2
from siloway.common.v1 import request_service_pb2 as request_pb
from siloway.common.v1 import request_service_pb2_grpc as request_rpc

from shared import errors
from shared.database import Database
from shared.requests import Mutation, StoredError, fingerprint, finish, once, start
from shared.requests.servicer import METHODS, RequestServicer
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from tests.clock import FakeClock
from tests.refusals import refusal_of

pytestmark = pytest.mark.integration


@pytest.fixture
def database(control_database_url: str, clock: FakeClock) -> Iterator[Database]:
    opened = Database.open(control_database_url, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def stub(database: Database) -> Iterator[request_rpc.RequestServiceStub]:
    server = build_server(
        address="127.0.0.1:0",
        table=MethodTable.of(*METHODS),
        door=Door.PUBLIC,
        servicers=[(request_rpc.add_RequestServiceServicer_to_server, RequestServicer(database))],
        authenticate=lambda secret: Caller(f"tokens/{secret}"),
        allow_plaintext=True,
    )
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield request_rpc.RequestServiceStub(channel)
    server.stop(1)


def get(stub: request_rpc.RequestServiceStub, request_id: str, token: str = "1") -> request_pb.Request:
    request = request_pb.GetRequestRequest(name=f"requests/{request_id}")
    return stub.GetRequest(request, metadata=(("authorization", f"Bearer {token}"),), timeout=10)


def a_mutation() -> Mutation:
    return Mutation("tokens/1", str(uuid.uuid4()), "/siloway.Test/Create", fingerprint("x"))


def test_a_done_request_tells_its_method_resource_and_times(
    database: Database, stub: request_rpc.RequestServiceStub, clock: FakeClock
) -> None:
    mutation = a_mutation()
    database.transact(lambda t: once(t, mutation, str, lambda: "answer", resource=lambda answer: "things/1"))
    found = get(stub, mutation.request_id.upper())
    assert found.name == f"requests/{mutation.request_id}"
    assert (found.method, found.resource) == (mutation.method, "things/1")
    assert found.state == request_pb.Request.STATE_SUCCEEDED
    assert found.create_time.ToDatetime(clock.now().tzinfo) == clock.now()
    assert not found.HasField("error")


def test_a_failed_request_tells_why(database: Database, stub: request_rpc.RequestServiceStub) -> None:
    mutation = a_mutation()
    database.transact(lambda t: start(t, mutation, "imports/1"))
    assert get(stub, mutation.request_id).state == request_pb.Request.STATE_RUNNING
    error = StoredError.of(errors.SpoolMissing(metadata={"path": "x"}))
    database.transact(lambda t: finish(t, mutation.key, error=error))
    found = get(stub, mutation.request_id)
    assert found.state == request_pb.Request.STATE_FAILED
    info = error_details_pb2.ErrorInfo()
    assert found.error.details[0].Unpack(info)
    assert (found.error.code, info.reason, dict(info.metadata)) == (9, "SPOOL_MISSING", {"path": "x"})


def test_another_principal_and_an_unknown_id_get_the_same_refusal(
    database: Database, stub: request_rpc.RequestServiceStub
) -> None:
    mutation = a_mutation()
    database.transact(lambda t: once(t, mutation, str, lambda: "answer"))
    for request_id, token in ((mutation.request_id, "2"), (str(uuid.uuid4()), "1")):
        with pytest.raises(grpc.RpcError) as refusal:
            get(stub, request_id, token)
        assert refusal_of(refusal.value).reason == "REQUEST_NOT_FOUND"
