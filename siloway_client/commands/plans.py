"""`siloway plan` and `siloway apply`: what an import would do, as a file to read, and then exactly that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.commands.import_choices import ConfigChoices, GlobalChoices, OrganizationChoices, UserChoices
from siloway_client.commands.imports import (
    ImportFailed,
    NoWait,
    Source,
    WaitMax,
    check_end,
    follow,
    show,
    tell_end,
)
from siloway_client.commands.sending import Sending
from siloway_client.findings import findings_of
from siloway_client.option_groups import grouped
from siloway_client.options import Json, RequestId, checked_destination, request_id_of, session
from siloway_client.plans import application, decisions_of, read_plan, write_plan

app = typer.Typer(no_args_is_help=True, help="Find out what the import of a file would do, without doing it.")
_Scope = import_pb.DataImport.Scope
_State = import_pb.DataImport.State

PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan-file",
        dir_okay=False,
        callback=checked_destination,
        help="Where the plan is written; the source's name and .plan else.",
    ),
]


@dataclass(frozen=True)
class How(Sending):
    """What all ways to plan share."""

    plan_file: PlanFile = None


@app.command("organizations")
@grouped
def plan_organizations(context: typer.Context, source: Source, choices: OrganizationChoices, how: How) -> None:
    """Plan the import of the organizations of a file, with their users. Needs the scope import:write."""
    _plan(context, source, _Scope.SCOPE_ORGANIZATION, choices.options(), how)


@app.command("users")
@grouped
def plan_users(context: typer.Context, source: Source, choices: UserChoices, how: How) -> None:
    """Plan the import of the users of a file. Needs the scope silo:operate."""
    _plan(context, source, _Scope.SCOPE_USER, choices.options(), how)


@app.command("config")
@grouped
def plan_config(context: typer.Context, source: Source, choices: ConfigChoices, how: How) -> None:
    """Plan the import of the configuration of a file. Needs the scope silo:operate."""
    _plan(context, source, _Scope.SCOPE_CONFIG, choices.options(), how)


@app.command("global")
@grouped
def plan_global(context: typer.Context, source: Source, choices: GlobalChoices, how: How) -> None:
    """Plan the import of everything of a file. Needs the scope silo:operate."""
    _plan(context, source, _Scope.SCOPE_GLOBAL, choices.options(), how)


def apply_plan(
    context: typer.Context,
    plan_file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, metavar="PLANFILE", help="What `siloway plan` wrote.")
    ],
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Do what a plan says. In the file a decision may be changed: "skip" leaves the row out, with what refers to it;
    "merge", "overwrite" and "suffix" say what becomes of it where its unique values are taken, if its model knows them.

    Tells what is true no more, and exits with 1, when something else would be done with a row than the plan says.
    """
    plan = read_plan(plan_file)
    with session(context).targets().region(plan.region) as client:
        found = client.imports.ApplyImport(application(plan, request_id_of(request_id)))
        output.complain(f"{found.name} is queued")
        if not no_wait:
            found = follow(client, found, wait_max)
        if found.state == _State.STATE_FAILED and not json_output:
            for each in findings_of(client, found.name, "DRIFTED", 100):
                output.say(f"{each.model} {each.ordinal} (pk {each.pk}): {each.reason}")
    tell_end(found, json_output)


def _plan(
    context: typer.Context,
    source: Path,
    scope: import_pb.DataImport.Scope.ValueType,
    options: import_pb.ImportOptions,
    how: How,
) -> None:
    """Upload, wait, write what was found out. Raises ImportFailed when there is no plan, or errors in it."""
    target = how.plan_file or source.with_name(f"{source.name}.plan")
    with how.sent(context, source, scope, options, is_plan=True) as (client, found):
        show(found)
        check_end(found)
        if found.state != _State.STATE_PLANNED:
            raise ImportFailed(f"{found.name} was not planned")
        rows = write_plan(target, found, how.region, decisions_of(client, found.name))
    output.say(f"{target}: {rows} rows; until {output.when(found.expire_time)}: siloway apply {target}")
    if found.error_count:
        raise ImportFailed(f"{found.error_count} findings of {found.name} are errors: their rows would be left out")
