"""What control and a region know of the same organizations and tokens, read side by side in the order of their ids.

Both lists are read page by page, so memory stays the same however long they are. What is on its way on either side is
no difference.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from siloway.common.v1 import doctor_service_pb2 as doctor_pb
from siloway.control.v1 import reconciliation_service_pb2 as reconciliation_pb

from siloway_client.client import ControlClient, RegionClient

UNMAPPED = "organization_unmapped"
VANISHED = "organization_vanished"
SLUG = "organization_slug"
FENCE = "organization_fence"
DELETION = "organization_deletion"
TOKEN_UNKNOWN = "token_unknown"  # noqa: S105  # a finding's kind
TOKEN_VERSION = "token_version"  # noqa: S105  # as above
TOKEN_REVOKED = "token_revoked"  # noqa: S105  # as above

_PAGE = 500
T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """What two silos know differently. The records are of an organization, None for tokens and where there is none."""

    kind: str
    id: int
    says: str
    control: doctor_pb.OrganizationRecord | None = None
    region: doctor_pb.OrganizationRecord | None = None


def organization_records(client: ControlClient | RegionClient, region: str) -> Iterator[doctor_pb.OrganizationRecord]:
    """What one silo knows of a region's organizations, by id."""
    token = ""
    while True:
        request = doctor_pb.ListOrganizationRecordsRequest(region=region, page_size=_PAGE, page_token=token)
        page = client.doctor.ListOrganizationRecords(request)
        yield from page.records
        token = page.next_page_token
        if not token:
            return


def token_records(client: ControlClient | RegionClient, region: str) -> Iterator[doctor_pb.TokenRecord]:
    """What one silo knows of the tokens that a region is told of, by id."""
    token = ""
    while True:
        request = doctor_pb.ListTokenRecordsRequest(region=region, page_size=_PAGE, page_token=token)
        page = client.doctor.ListTokenRecords(request)
        yield from page.records
        token = page.next_page_token
        if not token:
            return


def open_differences(control: ControlClient, region: str) -> Iterator[reconciliation_pb.Difference]:
    """What control's continuous comparison with a region has found for sure and not seen equal since."""
    token = ""
    while True:
        request = reconciliation_pb.ListDifferencesRequest(
            region=f"regions/{region}", page_size=_PAGE, page_token=token
        )
        page = control.reconciliation.ListDifferences(request)
        yield from page.differences
        token = page.next_page_token
        if not token:
            return


def words_of(difference: reconciliation_pb.Difference) -> str:
    """What such a difference says, in one line."""
    kind = reconciliation_pb.ReconciliationKind.Name(difference.kind).removeprefix("RECONCILIATION_KIND_").lower()
    has = f"control has {difference.control_json or 'nothing'}, the region has {difference.region_json or 'nothing'}"
    return f"{kind} {difference.subject}: {has}"


def compare_organizations(control: ControlClient, region: RegionClient, name: str) -> Iterator[Difference]:
    """Where control's mappings and the region's organizations differ, by id."""
    pairs = _joined(
        organization_records(control, name), organization_records(region, name), lambda record: record.organization_id
    )
    for organization_id, known, there in pairs:
        if (known is not None and known.in_flight) or (there is not None and there.in_flight):
            continue
        kind, says = _organization(known, there)
        if kind:
            yield Difference(kind, organization_id, says, known, there)


def compare_tokens(control: ControlClient, region: RegionClient, name: str) -> Iterator[Difference]:
    """Where control's tokens and the region's replicas differ, by id."""
    pairs = _joined(token_records(control, name), token_records(region, name), lambda record: record.token_id)
    for token_id, known, there in pairs:
        if known is not None and known.in_flight:
            continue
        kind, says = _token(known, there)
        if kind:
            yield Difference(kind, token_id, says)


def _organization(
    known: doctor_pb.OrganizationRecord | None, there: doctor_pb.OrganizationRecord | None
) -> tuple[str, str]:
    if known is None:
        assert there is not None, "one of the two is there"
        return UNMAPPED, f"the region has {there.slug or 'it without a slug'}, control does not know it"
    if there is None:
        return VANISHED, f"control has {known.slug or 'it without a slug'}, the region does not have it"
    if there.slug != known.primary_slug:
        return SLUG, f"control has {known.primary_slug or 'none'}, the region has {there.slug or 'none'}"
    if there.fence_version > known.fence_version:
        return FENCE, f"the region has applied fence {there.fence_version}, control has given {known.fence_version}"
    if there.purge_time != known.purge_time:
        return DELETION, f"control deletes it {_when(known)}, the region {_when(there)}"
    return "", ""


def _when(record: doctor_pb.OrganizationRecord) -> str:
    return f"at {record.purge_time.ToJsonString()}" if record.HasField("purge_time") else "not at all"


def _token(known: doctor_pb.TokenRecord | None, there: doctor_pb.TokenRecord | None) -> tuple[str, str]:
    if known is None:
        return TOKEN_UNKNOWN, "the region has it, control does not know it for that region"
    if there is None:
        return TOKEN_VERSION, f"the region was not told of version {known.version}"
    if there.revoked and not known.revoked:
        return TOKEN_REVOKED, "revoked in the region, good in control"
    if there.version != known.version:
        return TOKEN_VERSION, f"the region has version {there.version}, control {known.version}"
    return "", ""


def _joined(
    left: Iterator[T], right: Iterator[T], id_of: Callable[[T], int]
) -> Iterator[tuple[int, T | None, T | None]]:
    """The two sides by id, None where one has nothing."""
    here, there = next(left, None), next(right, None)
    while here is not None or there is not None:
        if there is None or (here is not None and id_of(here) < id_of(there)):
            assert here is not None, "one of the two is there"
            yield id_of(here), here, None
            here = next(left, None)
        elif here is None or id_of(there) < id_of(here):
            yield id_of(there), None, there
            there = next(right, None)
        else:
            yield id_of(here), here, there
            here, there = next(left, None), next(right, None)
