"""The kinds of a comparison as they are on the wire between silos."""

from collections.abc import Mapping

from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb

from shared.comparing.domain import Kind

TO_WIRE: Mapping[Kind, comparison_pb.ComparedKind.ValueType] = {
    Kind.TOKEN: comparison_pb.COMPARED_KIND_TOKEN,
    Kind.REGION: comparison_pb.COMPARED_KIND_REGION,
    Kind.ORGANIZATION: comparison_pb.COMPARED_KIND_ORGANIZATION,
    Kind.SLUG: comparison_pb.COMPARED_KIND_SLUG,
}
KINDS: Mapping[comparison_pb.ComparedKind.ValueType, Kind] = {told: kind for kind, told in TO_WIRE.items()}
