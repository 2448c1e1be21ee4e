"""The regions' rows over the channels to their internal doors.

A region may have become anything: of what it answers only what was asked for is taken, within the bounds of a row.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import msgspec
from siloway.internal.v1 import region_comparison_service_pb2 as comparison_pb
from siloway.internal.v1 import region_comparison_service_pb2_grpc as comparison_rpc

from control_silo.callbacks.transport import RegionTransport
from shared.comparing.domain import KEY_MAX, LISTED_MAX, Digest, KeyRange, Kind, Listed, Look, Row
from shared.errors import DeadlineExceeded, InvalidArgument, PeerUnavailable
from shared.rpc.comparison import TO_WIRE

SHOWN_MAX = 16_384
"""Characters of a row as it is shown; the longest that a silo makes has a third of that."""

_TIMEOUT_S = 10.0
_VERSION_MAX = 2**62
_REGION = re.compile(r"[a-z][a-z0-9-]{0,47}")

_Answer = TypeVar("_Answer")


class RegionPeers:
    """What a comparison asks of regions; each call has ten seconds.

    Raises PeerUnavailable, InvalidArgument for an answer that is none, and refusals.
    """

    def __init__(self, transport: RegionTransport) -> None:
        self._transport = transport

    def digest_ranges(self, region: str, kind: Kind, ranges: Sequence[KeyRange]) -> list[Digest]:
        """One digest a range."""
        request = comparison_pb.DigestRangesRequest(
            kind=TO_WIRE[kind],
            ranges=[comparison_pb.KeyRange(after_key=each.after, last_key=each.last) for each in ranges],
        )
        answer = self._invoke(region, lambda stub: stub.DigestRanges, request)
        _check("digests", is_good=len(answer.digests) == len(ranges))
        return [Digest(each.row_count, each.digest) for each in answer.digests]

    def list_rows(self, region: str, kind: Kind, within: KeyRange) -> list[Listed]:
        """The first rows of a range."""
        wanted = comparison_pb.KeyRange(after_key=within.after, last_key=within.last)
        request = comparison_pb.ListRowsRequest(kind=TO_WIRE[kind], range=wanted)
        answer = self._invoke(region, lambda stub: stub.ListRows, request)
        keys = [row.key for row in answer.rows]
        _check("rows", is_good=len(keys) <= LISTED_MAX and keys == sorted(keys))
        _check("rows.key", is_good=not keys or (within.after < keys[0] and keys[-1] <= within.last))
        _check("rows.subject", is_good=all(_is_subject(kind, row.subject) for row in answer.rows))
        return [Listed(row.key, row.subject, row.digest) for row in answer.rows]

    def read_rows(self, region: str, kind: Kind, subjects: Sequence[str]) -> Look:
        """These subjects as they are now."""
        request = comparison_pb.ReadRowsRequest(kind=TO_WIRE[kind], subjects=subjects)
        answer = self._invoke(region, lambda stub: stub.ReadRows, request)
        _check_read(answer, frozenset(subjects))
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


def _check_read(answer: comparison_pb.ReadRowsResponse, asked: Collection[str]) -> None:
    _check("rows.subject", is_good=all(row.subject in asked for row in answer.rows))
    _check("waiting_subjects", is_good=all(subject in asked for subject in answer.waiting_subjects))
    _check("rows.version", is_good=all(0 <= row.version <= _VERSION_MAX for row in answer.rows))
    _check("rows.shown_json", is_good=all(_is_shown(row.shown_json) for row in answer.rows))


def _check(field: str, *, is_good: bool) -> None:
    if not is_good:
        raise InvalidArgument.of(field, "is not what was asked for")


def _is_subject(kind: Kind, subject: str) -> bool:
    if kind is Kind.REGION:
        return _REGION.fullmatch(subject) is not None
    return subject.isascii() and subject.isdigit() and len(subject) <= 19 and int(subject) <= KEY_MAX


def _is_shown(text: str) -> bool:
    """Whether it is a row for people, of which repairs read the slug, the name, and versions that can be raised."""
    if len(text) > SHOWN_MAX:
        return False
    try:
        shown = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    if not isinstance(shown, dict):
        return False
    versions = [shown.get("version"), shown.get("fence_version")]
    texts = [shown.get("slug"), shown.get("name")]
    return all(each is None or (isinstance(each, int) and 0 <= each <= _VERSION_MAX) for each in versions) and all(
        each is None or isinstance(each, str) for each in texts
    )
