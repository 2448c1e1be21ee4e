"""RegionComparisonService on the wire."""

import grpc
from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb
from siloway.internal.v1 import region_comparison_service_pb2_grpc as comparison_rpc

from region_silo.comparison import usecases
from shared.comparing.domain import KeyRange
from shared.database import Database
from shared.rpc.comparison import KINDS
from shared.rpc.methods import PEER_CONTROL, Budget, Door, Method

_SERVICE = "/siloway.internal.v1.RegionComparisonService"

# Their own budget: however much is compared, deliveries find a free place.
METHODS = (
    Method(f"{_SERVICE}/DigestRanges", Door.INTERNAL, (PEER_CONTROL,), budget=Budget.PEERS, maximum_s=10.0),
    Method(f"{_SERVICE}/ListRows", Door.INTERNAL, (PEER_CONTROL,), budget=Budget.PEERS, maximum_s=10.0),
    Method(f"{_SERVICE}/ReadRows", Door.INTERNAL, (PEER_CONTROL,), budget=Budget.PEERS, maximum_s=10.0),
    Method(f"{_SERVICE}/ResendOrganizations", Door.INTERNAL, (PEER_CONTROL,), maximum_s=10.0, mutating=True),
)


class RegionComparisonServicer(comparison_rpc.RegionComparisonServiceServicer):
    """Serves the region's rows to control."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def DigestRanges(
        self, request: comparison_pb.DigestRangesRequest, context: grpc.ServicerContext
    ) -> comparison_pb.DigestRangesResponse:
        del context
        ranges = [KeyRange(each.after_key, each.last_key) for each in request.ranges]
        digests = self._database.read(lambda t: usecases.digest_ranges(t, KINDS[request.kind], ranges))
        told = [comparison_pb.DigestRangesResponse.Digest(row_count=d.rows, digest=d.digest) for d in digests]
        return comparison_pb.DigestRangesResponse(digests=told)

    def ListRows(
        self, request: comparison_pb.ListRowsRequest, context: grpc.ServicerContext
    ) -> comparison_pb.ListRowsResponse:
        del context
        within = KeyRange(request.range.after_key, request.range.last_key)
        rows = self._database.read(lambda transaction: usecases.list_rows(transaction, KINDS[request.kind], within))
        return comparison_pb.ListRowsResponse(
            rows=[comparison_pb.ListRowsResponse.Row(key=r.key, subject=r.subject, digest=r.digest) for r in rows]
        )

    def ReadRows(
        self, request: comparison_pb.ReadRowsRequest, context: grpc.ServicerContext
    ) -> comparison_pb.ReadRowsResponse:
        del context
        subjects = list(request.subjects)
        look = self._database.read(lambda transaction: usecases.read_rows(transaction, KINDS[request.kind], subjects))
        rows = [
            comparison_pb.ReadRowsResponse.Row(
                subject=subject, version=row.version, digest=row.digest, shown_json=row.shown, counted=row.counted
            )
            for subject, row in look.rows.items()
        ]
        return comparison_pb.ReadRowsResponse(rows=rows, waiting_subjects=sorted(look.waiting))

    def ResendOrganizations(
        self, request: comparison_pb.ResendOrganizationsRequest, context: grpc.ServicerContext
    ) -> comparison_pb.ResendOrganizationsResponse:
        del context
        versions = {item.organization_id: item.version for item in request.items}
        self._database.transact(lambda transaction: usecases.resend_organizations(transaction, versions))
        return comparison_pb.ResendOrganizationsResponse()
