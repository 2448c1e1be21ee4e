"""The regions' rows over the channels to their internal doors."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb
from siloway.internal.v1 import region_comparison_service_pb2_grpc as comparison_rpc

from control_silo.callbacks.transport import RegionTransport
from shared.comparing.domain import Digest, KeyRange, Kind, Listed, Look, Row
from shared.errors import DeadlineExceeded, PeerUnavailable
from shared.rpc.comparison import TO_WIRE

_TIMEOUT_S = 10.0

_Answer = TypeVar("_Answer")


class RegionPeers:
    """What a comparison asks of regions; each call has ten seconds. Raises PeerUnavailable and refusals."""

    def __init__(self, transport: RegionTransport) -> None:
        self._transport = transport

    def digest_ranges(self, region: str, kind: Kind, ranges: Sequence[KeyRange]) -> list[Digest]:
        """One digest a range."""
        request = comparison_pb.DigestRangesRequest(
            kind=TO_WIRE[kind],
            ranges=[comparison_pb.KeyRange(after_key=each.after, last_key=each.last) for each in ranges],
        )
        answer = self._invoke(region, lambda stub: stub.DigestRanges, request)
        return [Digest(each.row_count, each.digest) for each in answer.digests]

    def list_rows(self, region: str, kind: Kind, within: KeyRange) -> list[Listed]:
        """The first rows of a range."""
        wanted = comparison_pb.KeyRange(after_key=within.after, last_key=within.last)
        request = comparison_pb.ListRowsRequest(kind=TO_WIRE[kind], range=wanted)
        answer = self._invoke(region, lambda stub: stub.ListRows, request)
        return [Listed(row.key, row.subject, row.digest) for row in answer.rows]

    def read_rows(self, region: str, kind: Kind, subjects: Sequence[str]) -> Look:
        """These subjects as they are now."""
        request = comparison_pb.ReadRowsRequest(kind=TO_WIRE[kind], subjects=subjects)
        answer = self._invoke(region, lambda stub: stub.ReadRows, request)
        rows = {row.subject: Row(row.version, row.digest, row.shown_json, row.counted) for row in answer.rows}
        return Look(rows, frozenset(answer.waiting_subjects))

    def resend_organizations(self, region: str, versions: Mapping[int, int]) -> None:
        """Let the region tell of these organizations again."""
        items = [
            comparison_pb.ResendOrganizationsRequest.Item(organization_id=organization_id, version=version)
            for organization_id, version in sorted(versions.items())
        ]
        request = comparison_pb.ResendOrganizationsRequest(items=items)
        self._invoke(region, lambda stub: stub.ResendOrganizations, request)

    def _invoke(
        self,
        region: str,
        method: Callable[[comparison_rpc.RegionComparisonServiceStub], Callable[..., _Answer]],
        request: object,
    ) -> _Answer:
        channel = self._transport.channel(region)
        stub = comparison_rpc.RegionComparisonServiceStub(channel.channel)
        try:
            return channel.invoke(method(stub), request, timeout_s=_TIMEOUT_S)
        except DeadlineExceeded as error:
            raise PeerUnavailable(metadata={"region": region}) from error
