"""Values that many messages hold, as they stand on the wire."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from shared.requests.domain import StoredError
from shared.rpc.status import DOMAIN


def timestamp(time: datetime | None) -> Timestamp | None:
    """A moment; None, which leaves a message's field unset, for none."""
    if time is None:
        return None
    wire = Timestamp()
    wire.FromDatetime(time)
    return wire


def stored_status(error: StoredError) -> status_pb2.Status:
    """A kept error as callers know it from a refused call."""
    status = status_pb2.Status(code=error.code, message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    return status
