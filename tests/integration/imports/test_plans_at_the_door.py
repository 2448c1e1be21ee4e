"""Plans through real channels: the region's door, control's door, and the command."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.region.v1 import import_service_pb2 as import_pb
from typer.testing import Result

from region_silo.imports.domain import State
from siloway_client.commands.imports import ImportFailed
from siloway_client.plans import PlanFileWrong
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors, parts

pytestmark = pytest.mark.integration

_Decision = import_pb.PlanDecision.Decision
_FILE = [
    rows.user(1, "ann"),
    rows.organization(1),
    rows.member(1, 1, 1),
    rows.team(1, 1, "one"),
    rows.team(2, 1, "two"),
    rows.project_team(1, 9, 1),
]


def _plan(doors: Doors, objects: list[dict[str, Any]]) -> str:
    queued = doors.call("PlanImport", parts(json.dumps(objects).encode()))
    assert (queued.plan, queued.state) == (True, import_pb.DataImport.STATE_QUEUED)
    ended = doors.stack.run(int(queued.name.removeprefix("imports/")), doors.runner())
    assert ended.state is State.PLANNED, ended.error
    return str(queued.name)


def _application(
    name: str, *skips: tuple[str, list[int]], request_id: str | None = None
) -> Iterator[import_pb.ApplyImportRequest]:
    header = import_pb.ApplyImportRequest.Header(name=name, request_id=request_id or str(uuid.uuid4()))
    yield import_pb.ApplyImportRequest(header=header)
    for model, pks in skips:
        yield import_pb.ApplyImportRequest(skips=import_pb.ApplyImportRequest.Skips(model=model, pks=pks))


def _decisions(doors: Doors, name: str, **how: Any) -> list[import_pb.PlanDecision]:
    found: list[import_pb.PlanDecision] = []
    token = ""
    while True:
        request = import_pb.ListPlanDecisionsRequest(parent=name, page_size=2, page_token=token, **how)
        answer = doors.call("ListPlanDecisions", request)
        assert len(answer.decisions) <= 2
        found += answer.decisions
        token = answer.next_page_token
        if not token:
            return found


def test_every_decision_of_a_plan_is_listed_page_by_page(doors: Doors) -> None:
    name = _plan(doors, _FILE)
    told = [(each.model, each.pk, each.decision) for each in _decisions(doors, name)]
    insert, skip = _Decision.DECISION_INSERT, _Decision.DECISION_SKIP
    assert told == [
        ("sentry.organization", "1", insert),
        ("sentry.organizationmember", "1", insert),
        ("sentry.team", "1", insert),
        ("sentry.team", "2", insert),
        ("sentry.user", "1", insert),
        ("sentry.projectteam", "1", skip),
    ]
    (left_out,) = _decisions(doors, name, decision=skip)
    assert (left_out.kind, left_out.ordinal) == ("MISSING_REFERENCE", 1)
    assert [each.pk for each in _decisions(doors, name, model="sentry.team")] == ["1", "2"]
    assert [each.name for each in _decisions(doors, name, model="sentry.organization")] == ["acme"]


def test_a_plan_is_applied_through_both_doors_and_stands_in_the_audit(doors: Doors) -> None:
    name = _plan(doors, _FILE)
    found = doors.call("GetImport", import_pb.GetImportRequest(name=name))
    assert found.expire_time.ToDatetime() > found.end_time.ToDatetime()
    applied = doors.call("ApplyImport", _application(name, ("sentry.team", [2])))
    assert applied.applied_plan == name
    ended = doors.stack.run(int(applied.name.removeprefix("imports/")), doors.runner())
    assert ended.state is State.SUCCEEDED, ended.error
    assert [row["slug"] for row in doors.stack.all_in("region", "SELECT slug FROM team")] == ["one"]
    assert [row["slug"] for row in doors.stack.all_in("region", "SELECT slug FROM organization")] == ["acme"]
    audited = doors.stack.all_in("region", "SELECT action, target FROM audit_entry ORDER BY id")
    assert [(row["action"], row["target"]) for row in audited] == [
        ("import.plan", name),
        ("import.apply", applied.name),
    ]


def test_what_drifted_in_control_is_told_and_not_written(doors: Doors) -> None:
    name = _plan(doors, _FILE)
    other = doors.stack.do_import([rows.organization(5, "other"), rows.user(5, "ann")])
    assert other.state is State.SUCCEEDED
    applied = doors.call("ApplyImport", _application(name))
    ended = doors.stack.run(int(applied.name.removeprefix("imports/")), doors.runner())
    assert ended.error is not None
    assert (ended.state, ended.error.reason) == (State.FAILED, "IMPORT_DRIFTED")
    request = import_pb.ListImportFindingsRequest(parent=applied.name, kind="DRIFTED")
    (found,) = doors.call("ListImportFindings", request).findings
    assert (found.model, found.severity) == ("sentry.user", import_pb.ImportFinding.SEVERITY_ERROR)


def test_others_learn_nothing_of_a_plan_and_cannot_apply_it(doors: Doors) -> None:
    name = _plan(doors, _FILE)
    asked = import_pb.ListPlanDecisionsRequest(parent=name)
    assert doors.refused("ListPlanDecisions", asked, "stranger").reason == "IMPORT_NOT_FOUND"
    assert doors.refused("ApplyImport", _application(name), "stranger").reason == "IMPORT_NOT_FOUND"
    for method, request in (("ListPlanDecisions", asked), ("ApplyImport", _application(name))):
        assert doors.refused(method, request, "reader").reason == "SCOPE_MISSING"
    assert doors.refused("PlanImport", parts(b"[]"), "reader").reason == "SCOPE_MISSING"
    assert doors.refused("PlanImport", parts(b"[]", scope=1)).reason == "SCOPE_MISSING"


def test_a_malformed_application_is_refused(doors: Doors) -> None:
    name = _plan(doors, _FILE)
    first, *rest = _application(name, ("sentry.team", [2]))
    assert doors.refused("ApplyImport", iter(rest)).code is grpc.StatusCode.INVALID_ARGUMENT
    assert doors.refused("ApplyImport", iter([first, first])).code is grpc.StatusCode.INVALID_ARGUMENT
    many = [("sentry.team", list(range(1, 1001)))] * 101
    assert doors.refused("ApplyImport", _application(name, *many)).reason == "LIMIT_EXCEEDED"
    imported = doors.stack.do_import(_FILE)
    assert doors.refused("ApplyImport", _application(imported.name)).reason == "PLAN_NOT_READY"


@pytest.mark.usefixtures("working")
def test_the_command_writes_a_plan_and_applies_it(run: Callable[..., Result], doors: Doors, tmp_path: Path) -> None:
    source, plan_file, findings = (tmp_path / name for name in ("e.json", "e.json.plan", "findings.json"))
    source.write_text(json.dumps(_FILE))
    planned = run("plan", "organizations", str(source), "--findings-file", str(findings))
    assert planned.exit_code == 0, planned.exception
    assert not doors.stack.all_in("region", "SELECT id FROM organization")
    assert not doors.stack.all_in("control", "SELECT id FROM user_account")
    (finding,) = json.loads(findings.read_text())
    assert (finding["finding"], finding["kind"], finding["severity"]) == (
        "ImportFinding",
        "MISSING_REFERENCE",
        "skipped",
    )
    lines = [json.loads(line) for line in plan_file.read_text().splitlines()]
    assert [(each["model"], each["decision"]) for each in lines[1:3]] == [
        ("sentry.organization", "insert"),
        ("sentry.organizationmember", "insert"),
    ]
    lines[4]["decision"] = "skip"  # the second team
    plan_file.write_text("".join(json.dumps(each) + "\n" for each in lines))
    done = run("apply", str(plan_file))
    assert done.exit_code == 0, done.exception
    assert [row["slug"] for row in doors.stack.all_in("region", "SELECT slug FROM team")] == ["one"]
    again: Any = run("apply", str(plan_file)).exception
    assert isinstance(again, grpc.RpcError)


@pytest.mark.usefixtures("working")
def test_the_command_says_what_drifted_and_refuses_other_edits(
    run: Callable[..., Result], doors: Doors, tmp_path: Path
) -> None:
    source, plan_file = tmp_path / "e.json", tmp_path / "p"
    source.write_text(json.dumps(_FILE))
    assert run("plan", "organizations", str(source), "--plan-file", str(plan_file)).exit_code == 0
    text = plan_file.read_text()
    for wrong in (text.replace('"decision": "insert"', '"decision": "keep"', 1), text.replace("acme", "mine")):
        plan_file.write_text(wrong)
        assert isinstance(run("apply", str(plan_file)).exception, PlanFileWrong)
    plan_file.write_text(text)
    other = tmp_path / "other.json"
    other.write_text(json.dumps([rows.organization(5, "other"), rows.user(5, "ann")]))
    assert run("import", "organizations", str(other)).exit_code == 0
    drifted = run("apply", str(plan_file))
    assert isinstance(drifted.exception, ImportFailed)
    assert "sentry.user 1 (pk 1): the plan says: inserted; now: written as" in drifted.stdout


@pytest.mark.usefixtures("working")
def test_a_plan_with_rows_that_are_wrong_is_written_and_exits_with_1(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    source = tmp_path / "e.json"
    source.write_text(json.dumps([*_FILE, {**rows.team(3, 1, "x"), "fields": {"organization": 1}}]))
    planned = run("plan", "organizations", str(source))
    assert isinstance(planned.exception, ImportFailed)
    assert "1 findings" in str(planned.exception)
    assert (tmp_path / "e.json.plan").exists()


@pytest.mark.usefixtures("working")
def test_the_command_takes_policies_and_refuses_what_is_none(
    run: Callable[..., Result], doors: Doors, tmp_path: Path
) -> None:
    source = tmp_path / "e.json"
    source.write_text(json.dumps([rows.organization(1), rows.team(1, 1, "one"), rows.team(2, 1, "one")]))
    assert run("plan", "organizations", str(source), "--policy", "sentry.team=keep").exit_code == 2
    done = run("import", "organizations", str(source), "--policy", "sentry.team=skip")
    assert done.exit_code == 0, done.exception
    assert [row["slug"] for row in doors.stack.all_in("region", "SELECT slug FROM team")] == ["one"]
