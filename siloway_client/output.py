"""How answers are shown: tables and lines for people, one JSON document for machines."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Away from a terminal lines are as long as they are: somebody will search them.
_WIDTH = None if sys.stdout.isatty() else 10_000
OUT = Console(highlight=False, soft_wrap=True, width=_WIDTH)
ERR = Console(highlight=False, soft_wrap=True, stderr=True)


def say(text: str) -> None:
    """One line for people; nothing in it is markup."""
    OUT.print(Text(text))


def complain(text: str) -> None:
    """One line on stderr."""
    ERR.print(Text(text))


def hushed() -> Callable[[], None]:
    """Lines, tables and progress bars are told to nobody, until what this returns is called."""

    def speak() -> None:
        OUT.quiet = ERR.quiet = False

    OUT.quiet = ERR.quiet = True
    return speak


def as_json(value: Message | Iterable[Message] | Mapping[str, object]) -> None:
    """One JSON document on stdout; messages with their proto field names."""
    if isinstance(value, Message):
        document: object = _plain(value)
    elif isinstance(value, Mapping):
        document = value
    else:
        document = [_plain(message) for message in value]
    print(json.dumps(document, ensure_ascii=False))  # noqa: T201  # stdout is this command's product


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; without rows a line that says so."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(str(cell)) for cell in row))
    if shown.row_count:
        OUT.print(shown)
    else:
        say("(none)")


def when(timestamp: Timestamp) -> str:
    """A time to the second, in UTC; a dash for none."""
    if not timestamp.seconds:
        return "-"
    return datetime.fromtimestamp(timestamp.seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _plain(message: Message) -> object:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def struct_text(value: Message) -> str:
    """A google.protobuf.Struct as JSON on one line. Its numbers are doubles on the wire: whole ones are shown whole."""
    return json.dumps(_whole(json_format.MessageToDict(value)), ensure_ascii=False)


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
