"""Plan files: one JSON object a line, the plan first, then a row of the file each, with what would be done with it.

A file may be edited in one way: a row whose decision is changed to "skip" is taken out. Any other edit is refused,
before anything is asked of the region. What was written stands as a digest on the first line, without the decisions.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.client import RegionClient

SKIP = "skip"
_PAGE = 1000
_SKIPS_A_PART = 1000
_Decision = import_pb.PlanDecision.Decision


class PlanFileWrong(Exception):
    """The plan file cannot be used; the text says which line is wrong."""


@dataclass(frozen=True)
class PlanFile:
    """A plan file that was read: the plan's name, its region, and the pks by model of the rows that were taken out."""

    plan: str
    region: str
    taken_out: dict[str, list[int]]


def decisions_of(client: RegionClient, name: str) -> Iterator[import_pb.PlanDecision]:
    """All decisions of a plan, page by page. Raises grpc.RpcError."""
    token = ""
    while True:
        request = import_pb.ListPlanDecisionsRequest(parent=name, page_size=_PAGE, page_token=token)
        answer = client.imports.ListPlanDecisions(request)
        yield from answer.decisions
        token = answer.next_page_token
        if not token:
            return


def write_plan(path: Path, plan: import_pb.DataImport, region: str, decided: Iterable[import_pb.PlanDecision]) -> int:
    """Write the plan file, whole or not at all; returns how many rows it tells of. Raises OSError, grpc.RpcError."""
    made, digest, rows = path.with_name(f"{path.name}.new"), hashlib.sha256(), 0
    body = path.with_name(f"{path.name}.rows")
    try:
        with body.open("w", encoding="utf-8") as file:
            for each in decided:
                row = _row(each)
                digest.update(_stable(row))
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows += 1
        head = {
            "plan": plan.name,
            "region": region,
            "expire_time": plan.expire_time.ToJsonString(),
            "rows": rows,
            "sha256": digest.hexdigest(),
        }
        with made.open("w", encoding="utf-8") as file, body.open(encoding="utf-8") as told:
            file.write(json.dumps(head) + "\n")
            file.writelines(told)
        made.replace(path)
    finally:
        body.unlink(missing_ok=True)
        made.unlink(missing_ok=True)
    return rows


def read_plan(path: Path) -> PlanFile:
    """Read a plan file back. Raises OSError, PlanFileWrong."""
    digest, rows = hashlib.sha256(), 0
    taken_out: dict[str, list[int]] = {}
    with path.open(encoding="utf-8", errors="replace") as file:  # what is no text has another digest
        head = _head(path, file.readline())
        for number, line in enumerate(file, 2):
            row = _object(line, number)
            planned = row.get("planned")
            digest.update(_stable(row))
            rows += 1
            if row.get("decision") == planned:
                continue
            if row.get("decision") != SKIP:
                raise PlanFileWrong(f"line {number}: a decision can only be changed to {SKIP!r}")
            taken_out.setdefault(str(row.get("model")), []).append(_pk(row, number))
    if (rows, digest.hexdigest()) != (head.get("rows"), head.get("sha256")):
        raise PlanFileWrong(f"{path}: something other than decisions was changed, or lines are missing")
    return PlanFile(str(head["plan"]), str(head["region"]), taken_out)


def application(plan: PlanFile, request_id: str) -> Iterator[import_pb.ApplyImportRequest]:
    """The parts of the request to apply it."""
    yield import_pb.ApplyImportRequest(
        header=import_pb.ApplyImportRequest.Header(name=plan.plan, request_id=request_id)
    )
    for model, pks in sorted(plan.taken_out.items()):
        for start in range(0, len(pks), _SKIPS_A_PART):
            part = import_pb.ApplyImportRequest.Skips(model=model, pks=pks[start : start + _SKIPS_A_PART])
            yield import_pb.ApplyImportRequest(skips=part)


def _row(each: import_pb.PlanDecision) -> dict[str, Any]:
    decision = _Decision.Name(each.decision).removeprefix("DECISION_").lower()
    row: dict[str, Any] = {"model": each.model, "pk": each.pk, "ordinal": each.ordinal, "decision": decision}
    row["planned"] = decision
    if each.name:
        row["name"] = each.name
    if each.existing:
        row["existing"] = each.existing
    if each.kind:
        row |= {"kind": each.kind, "reason": each.reason}
    return row


def _stable(row: dict[str, Any]) -> bytes:
    kept = {name: value for name, value in row.items() if name != "decision"}
    return json.dumps(kept, sort_keys=True).encode() + b"\n"


def _head(path: Path, line: str) -> dict[str, Any]:
    value = _value(line)
    if not (isinstance(value, dict) and isinstance(value.get("plan"), str) and isinstance(value.get("region"), str)):
        raise PlanFileWrong(f"{path} is no plan file: `siloway plan` writes one")
    return value


def _object(line: str, number: int) -> dict[str, Any]:
    value = _value(line)
    if not isinstance(value, dict):
        raise PlanFileWrong(f"line {number}: not a JSON object")
    return value


def _pk(row: dict[str, Any], number: int) -> int:
    try:
        return int(row["pk"])
    except (KeyError, TypeError, ValueError):
        raise PlanFileWrong(f"line {number}: a row without a pk cannot be taken out") from None


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
