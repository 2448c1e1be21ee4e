"""`siloway up` and `siloway tokens mint`: what runs on this machine. They become the silos' own programs."""

import json
from typing import Annotated

import typer

from siloway_client.entry import become, become_stack
from siloway_client.options import session

tokens_app = typer.Typer(no_args_is_help=True, help="Tokens.")
_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def up(context: typer.Context) -> None:
    """Start control and the regions us and de here, with PostgreSQL and Redis (options: siloway up --help)."""
    become_stack(session(context).folder, context.args)


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
    become(["control_silo", "mint-token", *context.args], environment)
