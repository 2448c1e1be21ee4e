"""`siloway up` and `siloway tokens mint`: what runs on this machine. They become the silos' own programs."""

import json
import os
import sys
from typing import Annotated

import typer

from siloway_client.options import session

tokens_app = typer.Typer(no_args_is_help=True, help="Tokens.")
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def up(context: typer.Context) -> None:
    """Start control and the regions us and de here, with PostgreSQL and Redis (options: siloway up --help)."""
    folder = session(context).folder
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder.resolve() / "bytecode")}
    # Where the environment forbids bytecode beside the sources, a folder that is there already keeps it.
    closed = "PYTHONDONTWRITEBYTECODE" in os.environ and folder.is_dir()
    _become(["shared.embedded", "--folder", str(folder), *context.args], kept if closed else None)


@tokens_app.command(context_settings=_PASS_ON)
def mint(
    context: typer.Context,
    control_settings: Annotated[
        bool, typer.Option("--environment", help="Use SILOWAY_CONTROL_* of this environment, not the local stack.")
    ] = False,
) -> None:
    """Make a token, on control's own machine (options: siloway tokens mint --help)."""
    environment: dict[str, str] = {}
    if not control_settings and not {"--help", "-h"} & set(context.args):
        file = session(context).targets().environment_file
        if file is not None:
            environment = json.loads(file.read_text())["control"]
    _become(["control_silo", "mint-token", *context.args], environment)


def _become(arguments: list[str], environment: dict[str, str] | None = None) -> None:
    """Replace this process by `python -m ...`; it has our terminal and gives its own exit code."""
    command = [sys.executable, "-m", *arguments]
    os.execve(sys.executable, command, {**os.environ, **(environment or {})})  # noqa: S606  # no shell is meant
