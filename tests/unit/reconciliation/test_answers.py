"""What a region answers to a comparison is taken only as far as it was asked for, whatever the region has become."""

from collections.abc import Sequence
from typing import cast

import pytest
from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb

from control_silo.callbacks.transport import RegionTransport
from control_silo.reconciliation.region_peer import SHOWN_MAX, RegionPeers
from shared.comparing.domain import LISTED_MAX, KeyRange, Kind
from shared.errors import InvalidArgument

Listed = comparison_pb.ListRowsResponse.Row
Read = comparison_pb.ReadRowsResponse.Row


class _Region:
    """A transport to one region, and its channel: the answer is there, whatever is asked."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def channel(self, region: str) -> "_Channel":
        del region
        return _Channel(self._answer)


class _Channel:
    def __init__(self, answer: object) -> None:
        self._answer = answer
        self.channel = self

    def unary_unary(self, *given: object, **options: object) -> None:
        """What a stub makes of it is never called."""

    def invoke(self, method: object, request: object, *, timeout_s: float) -> object:
        del method, request, timeout_s
        return self._answer


def peers(answer: object) -> RegionPeers:
    return RegionPeers(cast(RegionTransport, _Region(answer)))


def listed(*rows: Listed, kind: Kind = Kind.TOKEN) -> Sequence[object]:
    answer = comparison_pb.ListRowsResponse(rows=rows)
    return peers(answer).list_rows("us", kind, KeyRange(10, 20))


def test_what_was_asked_for_is_taken() -> None:
    assert len(listed(Listed(key=11, subject="11"), Listed(key=20, subject="20"))) == 2
    assert len(listed(Listed(key=12, subject="us-east"), kind=Kind.REGION)) == 1
    answer = comparison_pb.ReadRowsResponse(
        rows=[Read(subject="7", version=1, shown_json='{"name": "x"}')], waiting_subjects=["8"]
    )
    look = peers(answer).read_rows("us", Kind.TOKEN, ["7", "8"])
    assert (set(look.rows), set(look.waiting)) == ({"7"}, {"8"})


@pytest.mark.parametrize(
    "rows",
    [
        [Listed(key=10, subject="10")],
        [Listed(key=21, subject="21")],
        [Listed(key=12, subject="12"), Listed(key=11, subject="11")],
        [Listed(key=12, subject="1; DROP")],
        [Listed(key=12, subject="us-east")],
        [Listed(key=12, subject=str(2**63))],
        [Listed(key=12, subject="12")] * (LISTED_MAX + 1),
    ],
)
def test_rows_out_of_the_range_or_its_order_or_without_a_fitting_name_are_refused(rows: list[Listed]) -> None:
    with pytest.raises(InvalidArgument):
        listed(*rows)


@pytest.mark.parametrize(
    "answer",
    [
        comparison_pb.ReadRowsResponse(rows=[Read(subject="9", version=1, shown_json="{}")]),
        comparison_pb.ReadRowsResponse(waiting_subjects=["9"]),
        comparison_pb.ReadRowsResponse(rows=[Read(subject="7", version=-1, shown_json="{}")]),
        comparison_pb.ReadRowsResponse(rows=[Read(subject="7", version=2**63 - 1, shown_json="{}")]),
        comparison_pb.ReadRowsResponse(rows=[Read(subject="7", version=1, shown_json="[]")]),
        comparison_pb.ReadRowsResponse(rows=[Read(subject="7", version=1, shown_json="{")]),
        comparison_pb.ReadRowsResponse(rows=[Read(subject="7", version=1, shown_json='{"slug": 7}')]),
        comparison_pb.ReadRowsResponse(
            rows=[Read(subject="7", version=1, shown_json=f'{{"name": "{"x" * SHOWN_MAX}"}}')]
        ),
        comparison_pb.ReadRowsResponse(
            rows=[Read(subject="7", version=1, shown_json=f'{{"fence_version": {2**63 - 1}}}')]
        ),
    ],
)
def test_rows_that_were_not_asked_for_or_are_too_large_or_no_rows_are_refused(
    answer: comparison_pb.ReadRowsResponse,
) -> None:
    with pytest.raises(InvalidArgument):
        peers(answer).read_rows("us", Kind.TOKEN, ["7", "8"])


def test_digests_are_as_many_as_ranges() -> None:
    with pytest.raises(InvalidArgument):
        peers(comparison_pb.DigestRangesResponse()).digest_ranges("us", Kind.TOKEN, [KeyRange(1, 2)])
