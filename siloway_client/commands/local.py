"""`siloway up`, `restored` and `tokens mint`: what runs on this machine. They become the silos' own programs."""

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


def restored(
    context: typer.Context, silo: Annotated[str, typer.Argument(help="The silo's name.", metavar="SILO")]
) -> None:
    """Close a silo of the local stack whose database was restored in its own place; doctor opens it again.

    Its programs must not run: start the others with `siloway up --without SILO`.
    """
    file = session(context).targets().environment_file
    if file is None:
        raise typer.BadParameter("only a silo of the local stack; elsewhere run its own program `restored`")
    silos = json.loads(file.read_text())
    if silo not in silos:
        raise typer.BadParameter(f"there is no silo {silo!r}; there are: {', '.join(sorted(silos))}")
    module = ["control_silo"] if silo == "control" else ["region_silo", "--region", silo]
    become([*module, "restored"], silos[silo])


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
