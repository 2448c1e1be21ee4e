"""Plans edited row by row through real channels: the region's door, control's door, and the command's plan file."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from siloway.region.v1 import import_service_pb2 as import_pb
from typer.testing import Result

from region_silo.imports.domain import Scope, State
from siloway_client.plans import PlanFileWrong
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors, parts
from tests.integration.imports.stack import OPERATOR
from tests.refusals import refusal_of

pytestmark = pytest.mark.integration

_Policy = import_pb.ImportOptions
_FILE = [
    rows.user(1, "ann"),
    rows.user(2, "bo"),
    rows.user(3, "cy"),
    rows.organization(1),
    *(rows.member(pk, 1, pk) for pk in (1, 2, 3)),
    rows.team(1, 1, "one"),
    rows.team(2, 1, "one"),
    rows.project_team(1, 9, 1),
]


def _fill(doors: Doors) -> None:
    there = [rows.user(pk, name) for pk, name in enumerate(("ann", "bo", "cy"), 7)]
    doors.stack.do_import(there, scope=Scope.USER, caller=OPERATOR)


def _application(
    name: str, *policies: tuple[str, int, Sequence[int]], skips: Sequence[int] = ()
) -> Iterator[import_pb.ApplyImportRequest]:
    yield import_pb.ApplyImportRequest(
        header=import_pb.ApplyImportRequest.Header(name=name, request_id=str(uuid.uuid4()))
    )
    if skips:
        yield import_pb.ApplyImportRequest(skips=import_pb.ApplyImportRequest.Skips(model="sentry.team", pks=skips))
    for model, policy, pks in policies:
        chosen = import_pb.ApplyImportRequest.Policies(
            model=model,
            policy=policy,  # type: ignore[arg-type]  # the enum's number
            pks=pks,
        )
        yield import_pb.ApplyImportRequest(policies=chosen)


def _plan(doors: Doors) -> str:
    queued = doors.call("PlanImport", parts(json.dumps(_FILE).encode()))
    ended = doors.stack.run(int(queued.name.removeprefix("imports/")), doors.runner())
    assert ended.state is State.PLANNED, ended.error
    return str(queued.name)


def _usernames(doors: Doors) -> list[str]:
    found = doors.stack.all_in("control", "SELECT username FROM user_account ORDER BY username")
    return [row["username"] for row in found]


def test_choices_go_through_both_doors_and_are_counted_in_the_audit(doors: Doors) -> None:
    _fill(doors)
    name = _plan(doors)
    chosen = (
        ("sentry.user", _Policy.ON_CONFLICT_MERGE, [1, 3]),
        ("sentry.team", _Policy.ON_CONFLICT_SKIP, [2]),
    )
    assert doors.refused("ApplyImport", _application(name, *chosen)).reason == "SCOPE_MISSING"
    applied = doors.call("ApplyImport", _application(name, *chosen, skips=[1]), "operator")
    ended = doors.stack.run(int(applied.name.removeprefix("imports/")), doors.runner())
    assert ended.state is State.SUCCEEDED, doors.stack.findings(ended.id)
    ann, bo, *others = _usernames(doors)
    assert (ann, bo, others[0].startswith("bo-"), others[1:]) == ("ann", "bo", True, ["cy"])
    (audited,) = doors.stack.all_in("region", "SELECT detail FROM audit_entry WHERE action = 'import.apply'")
    assert (audited["detail"]["taken_out"], audited["detail"]["chosen"]) == (1, 3)


def test_a_malformed_choice_is_refused_with_its_place(doors: Doors) -> None:
    name = _plan(doors)
    skip = int(_Policy.ON_CONFLICT_SKIP)
    for wrong in (("sentry.team", 0, [1]), ("sentry.team", skip, []), ("sentry.team", skip, [0]), ("x", skip, [1])):
        assert doors.refused("ApplyImport", _application(name, wrong)).code is grpc.StatusCode.INVALID_ARGUMENT
    many = [("sentry.team", skip, range(1, 1001))] * 101
    refused = doors.refused("ApplyImport", _application(name, *many))
    assert (refused.reason, refused.metadata["limit"]) == ("LIMIT_EXCEEDED", "policies")
    two = (("sentry.team", skip, [1]), ("sentry.team", int(_Policy.ON_CONFLICT_SUFFIX), [2, 1]))
    assert doors.refused("ApplyImport", _application(name, *two)).fields == ["policies[1].pks[1]"]
    assert doors.refused("ApplyImport", _application(name, two[1], skips=[1])).fields == ["policies[0].pks[1]"]


@pytest.mark.usefixtures("working")
def test_the_command_applies_a_plan_file_whose_decisions_were_edited(
    run: Callable[..., Result], doors: Doors, tmp_path: Path
) -> None:
    _fill(doors)
    (tmp_path / "token").write_text("operator")
    source, plan_file = tmp_path / "e.json", tmp_path / "e.json.plan"
    source.write_text(json.dumps(_FILE))
    assert run("plan", "organizations", str(source)).exit_code == 0
    head, *lines = (json.loads(line) for line in plan_file.read_text().splitlines())

    def write(model: str, pk: str, decision: str) -> int:
        (number,) = (n for n, each in enumerate(lines) if (each["model"], each["pk"]) == (model, pk))
        lines[number]["decision"] = decision
        plan_file.write_text("".join(json.dumps(each) + "\n" for each in (head, *lines)))
        return number + 2

    def refused(model: str, pk: str, decision: str) -> str:
        before = plan_file.read_text()
        number = write(model, pk, decision)
        told = run("apply", str(plan_file)).exception
        lines[number - 2]["decision"] = lines[number - 2]["planned"]
        plan_file.write_text(before)
        assert isinstance(told, PlanFileWrong)
        assert str(told).startswith(f"line {number}: ")
        return str(told)

    assert "skip, merge, overwrite or suffix" in refused("sentry.user", "1", "insert")
    assert "MISSING_REFERENCE leaves the row out" in refused("sentry.projectteam", "1", "merge")
    write("sentry.organization", "1", "merge")
    told: Any = run("apply", str(plan_file)).exception
    assert refusal_of(told).fields == ["policies[0].policy"]
    write("sentry.organization", "1", "insert")
    write("sentry.user", "1", "merge")
    write("sentry.user", "3", "skip")
    write("sentry.team", "2", "skip")
    done = run("apply", str(plan_file))
    assert done.exit_code == 0, done.exception
    names = _usernames(doors)
    assert len(names) == 4
    assert [name for name in names if name.startswith("bo-")] == [
        each["name"] for each in lines if (each["model"], each["pk"]) == ("sentry.user", "2")
    ]
    assert [row["slug"] for row in doors.stack.all_in("region", "SELECT slug FROM team")] == ["one"]
    assert len(doors.stack.all_in("region", "SELECT id FROM organization_member")) == 2
