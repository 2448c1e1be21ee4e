"""RequestService on the wire: what became of a request, to its own principal only."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.common.v1 import request_service_pb2 as request_pb
from siloway.common.v1 import request_service_pb2_grpc as request_rpc

from shared import errors
from shared.database import Database
from shared.requests.domain import RequestRecord, RequestState
from shared.requests.usecases import find
from shared.rpc.call import current_caller
from shared.rpc.methods import Door, Method, Whose
from shared.rpc.wire import stored_status

METHODS = (Method("/siloway.common.v1.RequestService/GetRequest", Door.PUBLIC, whose=Whose.CALLER),)

_STATES = {
    RequestState.RUNNING: request_pb.Request.STATE_RUNNING,
    RequestState.SUCCEEDED: request_pb.Request.STATE_SUCCEEDED,
    RequestState.FAILED: request_pb.Request.STATE_FAILED,
}


class RequestServicer(request_rpc.RequestServiceServicer):
    """Serves the records of one silo's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def GetRequest(self, request: request_pb.GetRequestRequest, context: grpc.ServicerContext) -> request_pb.Request:
        del context
        principal = current_caller().principal
        request_id = request.name.removeprefix("requests/").lower()
        record = self._database.read(lambda transaction: find(transaction, principal, request_id))
        if record is None:
            raise errors.RequestNotFound(resource=errors.Resource("siloway/Request", request.name))
        return _request(record)


def _request(record: RequestRecord) -> request_pb.Request:
    create_time, update_time = Timestamp(), Timestamp()
    create_time.FromDatetime(record.created_at)
    update_time.FromDatetime(record.updated_at)
    return request_pb.Request(
        name=f"requests/{record.key.request_id}",
        method=record.method,
        state=_STATES[record.state],
        resource=record.resource,
        error=None if record.error is None else stored_status(record.error),
        create_time=create_time,
        update_time=update_time,
    )
