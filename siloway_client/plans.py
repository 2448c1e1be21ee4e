"""Plan files: one JSON object a line, the plan first, then a row of the file each, with what would be done with it.

Decisions in it may be edited: a row with "skip" is taken out; "merge", "overwrite" and "suffix" are policies for
a row whose unique values are taken. Any other edit is refused before anything is asked of the region, which says what
policies a model knows. What was written stands as a digest on the first line, without the decisions.
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
_POLICIES = ("merge", "overwrite", "suffix")
_PAGE = 1000
_ROWS_A_PART = 1000
_TAKEN = "NOT_UNIQUE"
"""Why a row is left out that a policy could have helped."""
_Decision = import_pb.PlanDecision.Decision


class PlanFileWrong(Exception):
    """The plan file cannot be used; the text says which line is wrong."""


@dataclass(frozen=True)
class PlanFile:
    """A plan file that was read: the plan's name, its region, and the pks of edited rows by model and decision."""

    plan: str
    region: str
    edited: dict[tuple[str, str], list[int]]


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
    edited: dict[tuple[str, str], list[int]] = {}
    with path.open(encoding="utf-8", errors="replace") as file:  # what is no text has another digest
        head = _head(path, file.readline())
        for number, line in enumerate(file, 2):
            row = _object(line, number)
            digest.update(_stable(row))
            rows += 1
            if row.get("decision") != row.get("planned"):
                _check_edit(row, number)
                edited.setdefault((str(row["model"]), row["decision"]), []).append(int(row["pk"]))
    if (rows, digest.hexdigest()) != (head.get("rows"), head.get("sha256")):
        raise PlanFileWrong(f"{path}: something other than decisions was changed, or lines are missing")
    return PlanFile(str(head["plan"]), str(head["region"]), edited)


def application(plan: PlanFile, request_id: str) -> Iterator[import_pb.ApplyImportRequest]:
    """The parts of the request to apply it."""
    yield import_pb.ApplyImportRequest(
        header=import_pb.ApplyImportRequest.Header(name=plan.plan, request_id=request_id)
    )
    for (model, decision), pks in sorted(plan.edited.items()):
        for start in range(0, len(pks), _ROWS_A_PART):
            part = pks[start : start + _ROWS_A_PART]
            if decision == SKIP:
                skips = import_pb.ApplyImportRequest.Skips(model=model, pks=part)
                yield import_pb.ApplyImportRequest(skips=skips)
            else:
                policy = import_pb.ImportOptions.OnConflict.Value(f"ON_CONFLICT_{decision.upper()}")
                policies = import_pb.ApplyImportRequest.Policies(model=model, policy=policy, pks=part)
                yield import_pb.ApplyImportRequest(policies=policies)


def _check_edit(row: dict[str, Any], number: int) -> None:
    """Raise PlanFileWrong when no row can have the decision, or this one cannot."""
    if row.get("decision") not in (SKIP, *_POLICIES):
        known = ", ".join((SKIP, *_POLICIES[:-1]))
        raise PlanFileWrong(f"line {number}: a decision can only be changed to {known} or {_POLICIES[-1]}")
    if not str(row.get("pk")).isdecimal() or "model" not in row:
        raise PlanFileWrong(f"line {number}: no row of a plan")
    if row.get("planned") == SKIP and row.get("kind") != _TAKEN:
        raise PlanFileWrong(f"line {number}: {row.get('kind')} leaves the row out, whatever its decision")


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


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
