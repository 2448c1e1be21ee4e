"""Typed stubs of one silo behind one channel, with the token on every call and a deadline where the caller gives none.

Only UNAVAILABLE is tried again by the channel itself; everything else is the caller's to decide. Mutations carry a
request id, so that the same call again is safe.
"""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from siloway.common.v1 import audit_service_pb2_grpc as audit_rpc
from siloway.common.v1 import doctor_service_pb2_grpc as doctor_rpc
from siloway.common.v1 import outbox_service_pb2_grpc as outbox_rpc
from siloway.common.v1 import request_service_pb2_grpc as request_rpc
from siloway.control.v1 import announcement_service_pb2_grpc as announcement_rpc
from siloway.control.v1 import organization_service_pb2_grpc as mapping_rpc
from siloway.control.v1 import reconciliation_service_pb2_grpc as reconciliation_rpc
from siloway.control.v1 import recovery_service_pb2_grpc as recovery_rpc
from siloway.control.v1 import region_service_pb2_grpc as region_rpc
from siloway.control.v1 import slug_reservation_service_pb2_grpc as slug_rpc
from siloway.control.v1 import token_service_pb2_grpc as token_rpc
from siloway.control.v1 import user_service_pb2_grpc as user_rpc
from siloway.region.v1 import deploy_service_pb2_grpc as deploy_rpc
from siloway.region.v1 import export_service_pb2_grpc as export_rpc
from siloway.region.v1 import file_comparison_service_pb2_grpc as file_comparison_rpc
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import import_service_pb2_grpc as import_rpc
from siloway.region.v1 import issue_service_pb2_grpc as issue_rpc
from siloway.region.v1 import project_service_pb2_grpc as project_rpc
from siloway.region.v1 import region_organization_service_pb2_grpc as organization_rpc
from siloway.region.v1 import release_service_pb2_grpc as release_rpc
from siloway.region.v1 import repository_service_pb2_grpc as repository_rpc
from siloway.region.v1 import snowflake_service_pb2_grpc as snowflake_rpc

from siloway_client.uploading import Uploading, digest_of

_RETRY = {
    "methodConfig": [
        # A stream of the client's is not sent again: what it would be sent from is spent.
        {
            "name": [
                {"service": "siloway.region.v1.ImportService", "method": "UploadImport"},
                {"service": "siloway.region.v1.ReleaseService", "method": "StreamCommits"},
            ]
        },
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ]
}


def new_request_id() -> str:
    """A UUID for one mutation. Keep it and send it again when the answer did not come."""
    return str(uuid.uuid4())


class _Silo:
    """A channel to one silo's public door. `ca_file`: PEM of the authority for TLS; None is plain text."""

    def __init__(self, address: str, token: str, *, ca_file: Path | None = None, timeout_s: float = 30.0) -> None:
        options = [("grpc.service_config", json.dumps(_RETRY)), ("grpc.keepalive_time_ms", 60_000)]
        if ca_file is None:
            bare = grpc.insecure_channel(address, options=options)
        else:
            bare = grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_file.read_bytes()), options=options)
        self._bare = bare
        self.address = address
        self.channel = grpc.intercept_channel(bare, _Attach(token, timeout_s))
        self.outbox = outbox_rpc.OutboxServiceStub(self.channel)
        self.audit = audit_rpc.AuditServiceStub(self.channel)
        self.doctor = doctor_rpc.DoctorServiceStub(self.channel)

    def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        self._bare.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ControlClient(_Silo):
    """Stubs of the control silo's public services."""

    def __init__(self, address: str, token: str, *, ca_file: Path | None = None, timeout_s: float = 30.0) -> None:
        super().__init__(address, token, ca_file=ca_file, timeout_s=timeout_s)
        self.organizations = mapping_rpc.OrganizationServiceStub(self.channel)
        self.slugs = slug_rpc.SlugReservationServiceStub(self.channel)
        self.regions = region_rpc.RegionServiceStub(self.channel)
        self.tokens = token_rpc.TokenServiceStub(self.channel)
        self.users = user_rpc.UserServiceStub(self.channel)
        self.recovery = recovery_rpc.RecoveryServiceStub(self.channel)
        self.reconciliation = reconciliation_rpc.ReconciliationServiceStub(self.channel)
        self.requests = request_rpc.RequestServiceStub(self.channel)
        self.announcements = announcement_rpc.AnnouncementServiceStub(self.channel)


class RegionClient(_Silo):
    """Stubs of a region silo's public services."""

    def __init__(self, address: str, token: str, *, ca_file: Path | None = None, timeout_s: float = 30.0) -> None:
        super().__init__(address, token, ca_file=ca_file, timeout_s=timeout_s)
        self.organizations = organization_rpc.RegionOrganizationServiceStub(self.channel)
        self.projects = project_rpc.ProjectServiceStub(self.channel)
        self.issues = issue_rpc.IssueServiceStub(self.channel)
        self.releases = release_rpc.ReleaseServiceStub(self.channel)
        self.repositories = repository_rpc.RepositoryServiceStub(self.channel)
        self.deploys = deploy_rpc.DeployServiceStub(self.channel)
        self.imports = import_rpc.ImportServiceStub(self.channel)
        self.exports = export_rpc.ExportServiceStub(self.channel)
        self.file_comparison = file_comparison_rpc.FileComparisonServiceStub(self.channel)
        self.snowflakes = snowflake_rpc.SnowflakeServiceStub(self.channel)
        self.requests = request_rpc.RequestServiceStub(self.channel)

    def upload_import(
        self,
        path: Path,
        scope: import_pb.DataImport.Scope.ValueType,
        *,
        request_id: str | None = None,
        options: import_pb.ImportOptions | None = None,
        is_plan: bool = False,
        on_sent: Callable[[int], None] = lambda _bytes: None,
        timeout_s: float = 600.0,
        patience_s: float = 60.0,
    ) -> import_pb.DataImport:
        """Upload an export file in chunks of 256 KiB (64 where the region takes no more); the queued import, or plan.

        The file is read twice, for its SHA-256 goes ahead of its bytes. `on_sent` gets the bytes sent so far. A lost
        connection is made again and the upload goes on, unless nothing more arrives for `patience_s`; so does one of
        an earlier run when its `request_id` is given. Raises OSError when the file cannot be read, grpc.RpcError when
        the region refuses.
        """
        digest, size = digest_of(path)
        header = import_pb.UploadImportRequest.Header(
            scope=scope,
            request_id=request_id or new_request_id(),
            size_bytes=size,
            sha256=digest,
            options=options,
        )
        uploading = Uploading(self.imports, path, header, on_sent, patience_s, timeout_s, is_plan)
        return uploading.run(was_begun=request_id is not None)


class _Attach(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Puts the token and a deadline on every call."""

    def __init__(self, token: str, timeout_s: float) -> None:
        self._metadata = ("authorization", f"Bearer {token}")
        self._timeout_s = timeout_s

    def _details(self, details: grpc.ClientCallDetails) -> grpc.ClientCallDetails:
        attached = _Details()
        attached.method = details.method
        attached.timeout = self._timeout_s if details.timeout is None else details.timeout
        attached.metadata = [*(details.metadata or ()), self._metadata]
        attached.credentials = details.credentials
        attached.wait_for_ready = details.wait_for_ready
        attached.compression = details.compression
        return attached

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._details(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._details(details), request)

    def intercept_stream_unary(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(self._details(details), requests)

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        return continuation(self._details(details), requests)


class _Details(grpc.ClientCallDetails):
    """A call's details that can be changed."""

    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None
    compression: Any
