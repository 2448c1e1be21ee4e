"""The `siloway` command: exit code 0 when done, 1 when refused or failed, 2 when called wrongly.

Every failure is one line with its reason; a traceback comes only with --debug.
"""

import sys
from pathlib import Path
from typing import Annotated

import grpc
import typer

from siloway_client import output
from siloway_client.commands import (
    deploys,
    exports,
    file_comparison,
    files,
    ids,
    import_life,
    import_run,
    imports,
    issues,
    members,
    operators,
    organizations,
    plans,
    reconciliation,
    refs,
    regions,
    release_commits,
    releases,
    repositories,
    teams,
    tokens,
    undo,
    users,
    verification,
)
from siloway_client.commands.demo import DemoFailed, demo
from siloway_client.commands.doctor import doctor
from siloway_client.commands.local import restored, up
from siloway_client.decryption import DecryptionFailed
from siloway_client.downloads import DownloadFailed
from siloway_client.encryption import EncryptionFailed
from siloway_client.entry import DEFAULT_FOLDER
from siloway_client.git_log import GitFailed
from siloway_client.options import Session, advice
from siloway_client.plans import PlanFileWrong
from siloway_client.refusal import refusal_of
from siloway_client.targets import TargetUnknown

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(import_run.app, name="import")
app.add_typer(imports.app, name="imports")
app.add_typer(plans.app, name="plan")
app.command("apply")(plans.apply_plan)
app.add_typer(exports.run_app, name="export")
app.add_typer(exports.app, name="exports")
import_life.add_to(imports.app)
app.add_typer(releases.app, name="release")
release_commits.add_to(releases.app)
refs.add_to(releases.app)
releases.app.command()(deploys.deploy)
app.add_typer(releases.project_app, name="project")
app.add_typer(repositories.app, name="repositories")
app.add_typer(deploys.app, name="deploys")
app.add_typer(deploys.environments_app, name="environments")
app.add_typer(deploys.announcements_app, name="announcements")
app.add_typer(issues.app, name="issues")
app.add_typer(members.app, name="members")
app.add_typer(teams.app, name="teams")
app.add_typer(organizations.app, name="orgs")
app.add_typer(organizations.slugs_app, name="slugs")
app.add_typer(ids.app, name="ids")
app.add_typer(regions.app, name="regions")
app.add_typer(tokens.app, name="tokens")
app.add_typer(users.app, name="users")
app.add_typer(operators.outbox_app, name="outbox")
app.add_typer(operators.audit_app, name="audit")
app.add_typer(reconciliation.app, name="reconciliation")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(up)
app.command()(demo)
app.command()(doctor)
app.command()(verification.verify)
app.command()(undo.undo)
app.command()(restored)
files.add_to(app)

_UNKNOWN_OUTCOMES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN"}
_REFUSED = (
    TargetUnknown,
    DemoFailed,
    imports.ImportFailed,
    imports.StillRunning,
    PlanFileWrong,
    verification.CutShort,
    file_comparison.FilesDiffer,
    file_comparison.ComparisonCutShort,
    exports.ExportFailed,
    DownloadFailed,
    organizations.ChangeFailed,
    DecryptionFailed,
    EncryptionFailed,
    GitFailed,
    OSError,
)


@app.callback()
def siloway(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(envvar="SILOWAY_FOLDER", help="The local stack's folder.")] = Path(
        DEFAULT_FOLDER
    ),
    control: Annotated[
        str | None, typer.Option(envvar="SILOWAY_CONTROL_ADDRESS", help="Control's public door, host:port.")
    ] = None,
    token: Annotated[str | None, typer.Option(envvar="SILOWAY_TOKEN", help="The token.", show_envvar=True)] = None,
    ca_file: Annotated[
        Path | None, typer.Option(envvar="SILOWAY_CA_FILE", help="PEM of the authority, for TLS.", exists=True)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each call.", min=0.1)] = 30.0,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Siloway: releases, imports and ids in regional silos."""
    del debug  # main() looks for it, for it must know before anything is parsed
    context.obj = Session(folder, control, token, ca_file, timeout)


def main() -> None:
    """Run the command and exit with its code; typer itself tells wrong usage (2) and an interrupt (130)."""
    if "--debug" in sys.argv:
        app()
        return
    try:
        app()
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        told = advice() if refusal.code in _UNKNOWN_OUTCOMES else ""
        output.complain(f"siloway: {refusal}" + (f" ({told})" if told else ""))
        sys.exit(1)
    except _REFUSED as error:
        output.complain(f"siloway: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
