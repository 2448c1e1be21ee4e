"""Findings of imports, as many as are wanted, page by page."""

from collections.abc import Iterator

from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.client import RegionClient


def findings_of(
    client: RegionClient, name: str, kind: str = "", rows_max: int | None = None
) -> Iterator[import_pb.ImportFinding]:
    """Findings of an import, page by page, at most `rows_max`. Raises grpc.RpcError."""
    told, token = 0, ""
    while rows_max is None or told < rows_max:
        size = 1000 if rows_max is None else min(1000, rows_max - told)
        request = import_pb.ListImportFindingsRequest(parent=name, page_size=size, page_token=token, kind=kind)
        answer = client.imports.ListImportFindings(request)
        yield from answer.findings
        told, token = told + len(answer.findings), answer.next_page_token
        if not token:
            return
