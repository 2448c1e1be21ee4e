"""Runs the checks of every silo and compares control with the regions; repairs what can be repaired safely.

What must hold only when all is quiet is looked at twice, and counts when it is wrong both times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf.duration_pb2 import Duration
from siloway.common.v1 import doctor_service_pb2 as doctor_pb
from siloway.control.v1 import reconciliation_service_pb2 as reconciliation_pb
from siloway.control.v1 import recovery_service_pb2 as recovery_pb

from siloway_client.client import ControlClient, RegionClient, new_request_id
from siloway_client.doctor import comparing
from siloway_client.doctor.comparing import Difference
from siloway_client.refusal import refusal_of

KEYS_MAX = 500
FINDINGS_MAX = 10_000
"""Of one check in one silo; the check is run again once those are mended."""

OPEN_DIFFERENCE = "reconciliation"
DIFFERENCES_MAX = 100
"""Of one call that asks for their repair."""

SILO_OPEN = "silo_open"
"""The check that fails while a restored silo is closed."""

CONTROL = "control"
_ROWS = 1_000

COMPARED = {
    OPEN_DIFFERENCE: "The continuous comparison has found no other difference that is still open.",
    comparing.UNMAPPED: "Control knows every organization of the region (I3).",
    comparing.VANISHED: "The region has every organization that control maps to it (I3, I11).",
    comparing.SLUG: "Control and the region agree on an organization's slug (I3).",
    comparing.FENCE: "No region has seen a fence version that control has not given (I3).",
    comparing.DELETION: "Control and the region agree on whether an organization is to be deleted.",
    comparing.TOKEN_UNKNOWN: "Control knows every token of a region's replica (I11).",
    comparing.TOKEN_VERSION: "A region has the newest version of every token.",
    comparing.TOKEN_REVOKED: "A token that a region knows as revoked is revoked.",
}
"""What is compared between two silos, by the ids that findings have. A further comparison is a further line."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    silo: str
    check: str
    key: str
    says: str
    repairable: bool = False
    difference: Difference | None = None


@dataclass
class Result:
    """What was looked at (rows by silo and check), and what was found."""

    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def ways(self) -> list[tuple[Finding, str]]:
        """Each finding with the option that mends it, "-" when none does.

        What a closed silo has is not final, nor is a difference from a closed control: that is brought back first.
        """
        closed = {finding.silo for finding in self.findings if finding.check == SILO_OPEN}
        ways = []
        for finding in self.findings:
            if finding.silo in closed:
                way = f"--after-restore {finding.silo}"
            elif CONTROL in closed and finding.difference is not None:
                way = f"--after-restore {CONTROL}"
            else:
                way = "--repair" if finding.repairable else "-"
            ways.append((finding, way))
        return ways


class Checker:
    """The silos to look at; `settle` gives what is on its way the time to arrive."""

    def __init__(
        self, control: ControlClient | None, regions: Mapping[str, RegionClient], settle: Callable[[], None]
    ) -> None:
        self.control = control
        self.regions = regions
        self.settle = settle
        self._always: set[tuple[str, str]] = set()

    def run(self, *, age_min_s: int | None = None) -> Result:
        """Everything, quiet checks twice."""
        first = self._look(age_min_s)
        if not any(not self._is_always(finding) for finding in first.findings):
            return first
        self.settle()
        again = self._look(age_min_s)
        seen = {(finding.silo, finding.check, finding.key) for finding in first.findings}
        again.findings = [
            finding
            for finding in again.findings
            if self._is_always(finding) or (finding.silo, finding.check, finding.key) in seen
        ]
        return again

    def repair(self, findings: Iterable[Finding], *, age_min_s: int | None = None) -> int:
        """Repair what can be; returns how many were."""
        by_check: dict[tuple[str, str], list[Finding]] = {}
        for finding in findings:
            if finding.repairable:
                by_check.setdefault((finding.silo, finding.check), []).append(finding)
        count = 0
        for (silo, check), found in by_check.items():
            size = DIFFERENCES_MAX if check == OPEN_DIFFERENCE else KEYS_MAX
            for start in range(0, len(found), size):
                part = found[start : start + size]
                if check == OPEN_DIFFERENCE:
                    count += self._repair_differences([each.key for each in part])
                elif check in COMPARED:
                    repaired, _ = self.repair_organizations(
                        [
                            (recovery_pb.RepairOrganizationsRequest.ACTION_TELL, each.difference)
                            for each in part
                            if each.difference is not None
                        ]
                    )
                    count += repaired
                else:
                    request = doctor_pb.RepairFindingsRequest(
                        check=check,
                        keys=[each.key for each in part],
                        age_min=_age(age_min_s),
                        request_id=new_request_id(),
                    )
                    count += len(self._client(silo).doctor.RepairFindings(request).repaired_keys)
        return count

    def repair_organizations(
        self,
        wanted: Sequence[tuple["recovery_pb.RepairOrganizationsRequest.Action.ValueType", Difference]],
    ) -> tuple[int, dict[int, str]]:
        """Ask control for it, at most 500; how many were repaired, and why the others were left."""
        assert self.control is not None, "who repairs organizations has control"
        items = [
            recovery_pb.RepairOrganizationsRequest.Item(action=action, record=each.region or each.control)
            for action, each in wanted
        ]
        if not items:
            return 0, {}
        request = recovery_pb.RepairOrganizationsRequest(items=items, request_id=new_request_id())
        answer = self.control.recovery.RepairOrganizations(request)
        return len(answer.repaired_ids), {left.organization_id: left.reason for left in answer.left}

    def run_check(self, silo: str, check: str, *, age_min_s: int | None = None) -> tuple[int, list[Finding]]:
        """One check of one silo, page by page: rows looked at, and findings."""
        client, token, rows, found = self._client(silo), "", 0, list[Finding]()
        while True:
            request = doctor_pb.ListFindingsRequest(
                check=check, page_size=_ROWS, page_token=token, age_min=_age(age_min_s)
            )
            page = client.doctor.ListFindings(request)
            rows += page.row_count
            found += [Finding(silo, check, each.key, each.description) for each in page.findings]
            token = page.next_page_token
            if not token or len(found) >= FINDINGS_MAX:
                return rows, found[:FINDINGS_MAX]

    def _look(self, age_min_s: int | None) -> Result:
        result = Result()
        clients: dict[str, ControlClient | RegionClient] = dict(self.regions)
        if self.control is not None:
            clients[CONTROL] = self.control
        for silo, client in sorted(clients.items()):
            for check in client.doctor.ListChecks(doctor_pb.ListChecksRequest()).checks:
                rows, found = self.run_check(silo, check.id, age_min_s=age_min_s)
                result.rows[silo, check.id] = rows
                result.findings += [
                    Finding(each.silo, each.check, each.key, each.says, check.repairable) for each in found
                ]
                if check.when == doctor_pb.Check.WHEN_ALWAYS:
                    self._always.add((silo, check.id))
        if self.control is not None:
            for name, region in self.regions.items():
                self._compare(self.control, region, name, result)
                self._add_open(self.control, name, result)
        return result

    def _compare(self, control: ControlClient, region: RegionClient, name: str, result: Result) -> None:
        for compare in (comparing.compare_organizations, comparing.compare_tokens):
            for difference in compare(control, region, name):
                if sum(each.silo == name for each in result.findings) >= FINDINGS_MAX:
                    return
                repairable = difference.kind in (comparing.SLUG, comparing.DELETION) and bool(
                    difference.control is not None and difference.control.primary_slug
                )
                result.findings.append(
                    Finding(name, difference.kind, str(difference.id), difference.says, repairable, difference)
                )

    def _add_open(self, control: ControlClient, name: str, result: Result) -> None:
        """What the continuous comparison has found, and has not been found here: the directory, states and names."""
        known = {each.key for each in result.findings if each.silo == name and each.check in COMPARED}
        try:
            found = list(comparing.open_differences(control, name))
        except grpc.RpcError as error:
            if refusal_of(error).reason == "SILO_RESTORED":
                return  # control compares nothing before it is open
            raise
        for each in found:
            if each.subject not in known:
                says = comparing.words_of(each)
                result.findings.append(Finding(name, OPEN_DIFFERENCE, each.name, says, bool(each.repair)))

    def _repair_differences(self, names: Sequence[str]) -> int:
        """Ask for their repair, which control's `work` carries out within seconds."""
        assert self.control is not None, "differences are control's"
        request = reconciliation_pb.RepairDifferencesRequest(names=names, request_id=new_request_id())
        return len(self.control.reconciliation.RepairDifferences(request).differences)

    def _client(self, silo: str) -> ControlClient | RegionClient:
        if silo != CONTROL:
            return self.regions[silo]
        assert self.control is not None, "control's checks come from control"
        return self.control

    def _is_always(self, finding: Finding) -> bool:
        return (finding.silo, finding.check) in self._always


def _age(age_min_s: int | None) -> Duration | None:
    return None if age_min_s is None else Duration(seconds=age_min_s)
