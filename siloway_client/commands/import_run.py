"""`siloway import`: send an export file, wait until it is written, say how it ended and, in a file, what was found."""

from dataclasses import dataclass
from pathlib import Path

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.commands.import_choices import (
    ConfigChoices,
    ContinueOnError,
    GlobalChoices,
    OrganizationChoices,
    UserChoices,
)
from siloway_client.commands.imports import NoWait, Source, tell_end
from siloway_client.commands.sending import Sending
from siloway_client.option_groups import grouped
from siloway_client.options import Json, NoPrompt, Silent, set_voice

app = typer.Typer(no_args_is_help=True, help="Import an export file.")
Scope = import_pb.DataImport.Scope


@dataclass(frozen=True)
class How(Sending):
    """What all ways to import share."""

    no_wait: NoWait = False
    continue_on_error: ContinueOnError = False
    json_output: Json = False
    no_prompt: NoPrompt = False
    silent: Silent = False


@app.command("organizations")
@grouped
def import_organizations(context: typer.Context, source: Source, choices: OrganizationChoices, how: How) -> None:
    """Import the organizations of a file, with their users. Needs the scope import:write."""
    _import(context, source, Scope.SCOPE_ORGANIZATION, choices.options(), how)


@app.command("users")
@grouped
def import_users(context: typer.Context, source: Source, choices: UserChoices, how: How) -> None:
    """Import the users of a file. Needs the scope silo:operate."""
    _import(context, source, Scope.SCOPE_USER, choices.options(), how)


@app.command("config")
@grouped
def import_config(context: typer.Context, source: Source, choices: ConfigChoices, how: How) -> None:
    """Import the configuration of a file, with the users of the installation. Needs the scope silo:operate."""
    _import(context, source, Scope.SCOPE_CONFIG, choices.options(), how)


@app.command("global")
@grouped
def import_global(context: typer.Context, source: Source, choices: GlobalChoices, how: How) -> None:
    """Import everything of a file. Nothing that is there is removed. Needs the scope silo:operate."""
    _import(context, source, Scope.SCOPE_GLOBAL, choices.options(), how)


def _import(
    context: typer.Context,
    source: Path,
    scope: import_pb.DataImport.Scope.ValueType,
    options: import_pb.ImportOptions,
    how: How,
) -> None:
    if how.no_wait and how.findings_file is not None:
        raise typer.BadParameter(
            "findings are known at the end only; leave out --no-wait", param_hint="--findings-file"
        )
    set_voice(context, no_prompt=how.no_prompt, silent=how.silent)
    options.continue_on_error = how.continue_on_error
    with how.sent(context, source, scope, options, wait=not how.no_wait) as (_, found):
        pass
    tell_end(found, how.json_output)
