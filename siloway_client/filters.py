"""What a filter on the command line says.

None, or "", is no filter; blank text is a filter that lets nothing pass; otherwise names stand between commas, trimmed,
and "a,,b" holds the empty name too.
"""

from pathlib import Path

import typer


def values_of(text: str | None) -> list[str] | None:
    """The trimmed names of an option; None, no filter, when it was not given or is empty, and nothing passes when there
    is only white space. Source: spec imports.md 12.
    """
    if not text:
        return None
    return [part.strip() for part in text.split(",")] if text.strip() else []


def names_of(text: str | None, file: Path | None) -> list[str] | None:
    """The names of one of two options; a file is always a filter: names stand between commas or ends of lines, and one
    without a name lets nothing pass. Raises BadParameter when both are given, or the file is no text; OSError.
    """
    if file is None:
        return values_of(text)
    if text is not None:
        raise typer.BadParameter("give names or a file, not both", param_hint="--filter-usernames-file")
    lines = text_in(file).splitlines()
    return [part.strip() for line in lines if line.strip() for part in line.split(",")]


def text_in(path: Path) -> str:
    """The text of a file of names. Raises BadParameter when it is none, OSError."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from None
