"""Options that several commands share, and what the main command found out before the sub-command runs."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from siloway_client import output
from siloway_client.client import new_request_id
from siloway_client.targets import Targets, find_targets

Region = Annotated[str, typer.Option("--region", "-r", envvar="SILOWAY_REGION", help="The region to talk to.")]
FirstRegion = Annotated[
    str | None,
    typer.Option(
        "--region",
        "-r",
        envvar="SILOWAY_REGION",
        help="The region to ask first; the organization's own is found anyway. Control is asked by default.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Organization = Annotated[str, typer.Argument(help="The organization's id or slug.", metavar="ORGANIZATION")]
RequestId = Annotated[
    str | None,
    typer.Option("--request-id", help="A UUID to repeat a request safely; made anew by default.", metavar="UUID"),
]
NoPrompt = Annotated[bool, typer.Option("--no-prompt", help="Changes nothing, for nothing is ever asked.")]
Silent = Annotated[bool, typer.Option("--silent", help="Tell nothing but why it failed.")]


_sent_ids: list[str] = []


def request_id_of(given: str | None) -> str:
    """The request id of a mutation, made when none is given; remembered for `advice`."""
    _sent_ids.append(given or new_request_id())
    return _sent_ids[-1]


def checked_destination(path: Path | None) -> Path | None:
    """The callback of an option that names a file to write; BadParameter before any work when it cannot be one."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    if path is not None and path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    return path


def resource_name(collection: str, identifier: str) -> str:
    """The name COLLECTION/ID of a name or id. Raises BadParameter for anything else."""
    number = identifier.removeprefix(f"{collection}/")
    if not re.fullmatch("[0-9]{1,16}", number):
        raise typer.BadParameter(f'"{identifier}" is no id, nor {collection}/ID')
    return f"{collection}/{number}"


def set_voice(context: typer.Context, *, no_prompt: bool, silent: bool) -> None:
    """Let this command be silent when that is wanted; what is asked for as its product (JSON, a file) is told still.

    `no_prompt` is there for scripts that give it.
    """
    del no_prompt
    if silent:
        context.call_on_close(output.hushed())


def advice() -> str:
    """What to do when an answer was lost: empty when this run sent no mutation."""
    if not _sent_ids:
        return ""
    return f"it may have taken effect; repeat it safely with --request-id {_sent_ids[-1]}"


@dataclass(frozen=True)
class Session:
    """What the main command's options say; the targets are looked up when a command needs them."""

    folder: Path
    control: str | None
    token: str | None
    ca_file: Path | None
    timeout_s: float

    def targets(self) -> Targets:
        """Raises TargetUnknown when nobody says whom to call."""
        return find_targets(
            folder=self.folder,
            control=self.control,
            token=self.token,
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
        )


def session(context: typer.Context) -> Session:
    """The session of this run of the command."""
    found = context.find_object(Session)
    assert found is not None
    return found
