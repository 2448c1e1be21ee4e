"""FileComparisonService on the wire: messages in and out, nothing decided here."""

from collections.abc import Iterator

import grpc
from siloway.region.v1 import file_comparison_service_pb2 as comparison_pb
from siloway.region.v1 import file_comparison_service_pb2_grpc as comparison_rpc

from region_silo.file_comparison.domain import FileName, Kind
from region_silo.file_comparison.usecases import FileComparisonUseCases
from shared.exports.comparison_lines import Compared, FindingLine, ModelLine, OrganizationLine, Progress, Told
from shared.rpc.methods import Budget, Door, Method, Whose

_FINDINGS_DEFAULT = 1000

METHODS: tuple[Method, ...] = (
    Method(
        "/siloway.region.v1.FileComparisonService/CompareFiles",
        Door.PUBLIC,
        tuple(sorted({scope for kind in Kind for scope in kind.scopes})),
        budget=Budget.STREAMS,
        maximum_s=3000.0,
        whose=Whose.CALLER,
    ),
)


class FileComparisonServicer(comparison_rpc.FileComparisonServiceServicer):
    """Compares the region's files."""

    def __init__(self, usecases: FileComparisonUseCases) -> None:
        self._usecases = usecases

    def CompareFiles(
        self, request: comparison_pb.CompareFilesRequest, context: grpc.ServicerContext
    ) -> Iterator[comparison_pb.CompareFilesResponse]:
        left, right = FileName.of(request.left), FileName.of(request.right)
        findings_max = request.max_findings or _FINDINGS_DEFAULT
        for line in self._usecases.compare(left, right, findings_max, context.is_active):
            yield _part(line)


def _part(line: Told) -> comparison_pb.CompareFilesResponse:
    match line:
        case FindingLine():
            return comparison_pb.CompareFilesResponse(finding=_finding(line))
        case ModelLine():
            model = comparison_pb.ComparedModel(
                model=line.model,
                left_row_count=line.left_rows,
                right_row_count=line.right_rows,
                left_digest=line.left_digest,
                right_digest=line.right_digest,
            )
            return comparison_pb.CompareFilesResponse(model=model)
        case OrganizationLine():
            organization = comparison_pb.ComparedOrganization(
                left_pk=str(line.left_pk),
                right_pk=str(line.right_pk),
                left_digest=line.left_digest,
                right_digest=line.right_digest,
            )
            return comparison_pb.CompareFilesResponse(organization=organization)
        case Progress():
            progress = comparison_pb.FileComparisonProgress(rows_read=line.rows_read)
            return comparison_pb.CompareFilesResponse(progress=progress)
        case Compared():
            result = comparison_pb.FileComparisonResult(
                equal=not line.findings,
                finding_count=line.findings,
                findings_cut=line.is_cut,
                rows_matched=line.matched,
            )
            return comparison_pb.CompareFilesResponse(result=result)


def _finding(line: FindingLine) -> comparison_pb.FileFinding:
    return comparison_pb.FileFinding(
        kind=line.kind,
        model=line.model,
        ordinal=line.ordinal or 0,
        left_pk=_pk(line.left_pk),
        right_pk=_pk(line.right_pk),
        reason=line.reason,
    )


def _pk(pk: int | None) -> str:
    return "" if pk is None else str(pk)
