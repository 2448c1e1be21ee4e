"""Sends an export file to a region, and goes on where a lost connection left off, for as long as it comes on.

The region keeps what came and tells how much that is; the same request id leads to it, also from another run.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import import_service_pb2_grpc as import_rpc

from siloway_client.refusal import Refusal, refusal_of

CHUNK_BYTES = 256 * 1024
SMALL_CHUNK_BYTES = 64 * 1024
"""What regions of before take at most."""
_PASSING_CODES = {"UNAVAILABLE", "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED"}
_PASSING_REASONS = {"UPLOAD_IN_PROGRESS", "UPLOAD_INCOMPLETE", "UPLOAD_OFFSET_WRONG"}
_FIRST_WAIT_S = 0.2
_WAIT_MAX_S = 5.0


@dataclass(frozen=True)
class Uploading:
    """One file on its way. It is given up when nothing more of it arrived for `patience_s`; each call ends after
    `call_s`, and another goes on.
    """

    stub: import_rpc.ImportServiceStub
    path: Path
    header: import_pb.UploadImportRequest.Header
    on_sent: Callable[[int], None]
    patience_s: float
    call_s: float
    is_plan: bool = False

    def run(self, *, was_begun: bool) -> import_pb.DataImport:
        """Send it, or what is missing of it when it `was_begun` before. Raises OSError, grpc.RpcError."""
        arrived, chunk_bytes = None if was_begun else 0, CHUNK_BYTES
        came_on_at, wait_s = time.monotonic(), _FIRST_WAIT_S
        while True:
            try:
                arrived = self._arrived() if arrived is None else arrived
                return self._send(arrived, chunk_bytes)
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                if chunk_bytes > SMALL_CHUNK_BYTES and _is_too_long(refusal):
                    arrived, chunk_bytes = None, SMALL_CHUNK_BYTES
                    continue
                if not _will_pass(refusal) or time.monotonic() - came_on_at > self.patience_s:
                    raise
            time.sleep(refusal.retry_after_s or wait_s)
            before, arrived = arrived, self._arrived_by_now(arrived)
            if (arrived or 0) > (before or 0):
                came_on_at, wait_s = time.monotonic(), _FIRST_WAIT_S
            wait_s = min(wait_s * 2, _WAIT_MAX_S)

    def _send(self, offset: int, chunk_bytes: int) -> import_pb.DataImport:
        header = import_pb.UploadImportRequest.Header()
        header.CopyFrom(self.header)
        header.offset = offset
        call = self.stub.PlanImport if self.is_plan else self.stub.UploadImport
        return call(_parts(self.path, header, chunk_bytes, self.on_sent), timeout=self.call_s)

    def _arrived_by_now(self, before: int | None) -> int | None:
        try:
            return self._arrived()
        except grpc.RpcError as error:
            if not _will_pass(refusal_of(error)):
                raise
            return before

    def _arrived(self) -> int:
        """How many bytes the region has; 0 when it has another file, which it then refuses or begins anew."""
        try:
            found = self.stub.GetUpload(import_pb.GetUploadRequest(request_id=self.header.request_id))
        except grpc.RpcError as error:
            if refusal_of(error).reason == "UPLOAD_NOT_FOUND":
                return 0
            raise
        is_same = (found.sha256, found.size_bytes) == (self.header.sha256, self.header.size_bytes)
        return found.offset_bytes if is_same and not found.complete else 0


def digest_of(path: Path) -> tuple[str, int]:
    """A file's SHA-256, hexadecimal, and its length in bytes."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1024 * 1024):
            digest.update(chunk)
            size += len(chunk)
    return digest.hexdigest(), size


def _will_pass(refusal: Refusal) -> bool:
    return refusal.code in _PASSING_CODES or refusal.reason in _PASSING_REASONS


def _is_too_long(refusal: Refusal) -> bool:
    """Whether a chunk had more bytes than this region takes."""
    return refusal.reason == "INVALID_FIELD" and [path for path, _ in refusal.violations] == ["chunk"]


def _parts(
    path: Path, header: import_pb.UploadImportRequest.Header, chunk_bytes: int, on_sent: Callable[[int], None]
) -> Iterator[import_pb.UploadImportRequest]:
    yield import_pb.UploadImportRequest(header=header)
    sent = header.offset
    with path.open("rb") as file:
        file.seek(sent)
        while chunk := file.read(chunk_bytes):
            yield import_pb.UploadImportRequest(chunk=chunk)
            sent += len(chunk)
            on_sent(sent)
    yield import_pb.UploadImportRequest(finish=True)
