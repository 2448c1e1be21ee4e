"""What a filter on the command line says: names between commas."""

from pathlib import Path

import typer


def values_of(text: str | None) -> list[str] | None:
    """The trimmed names of an option; None, no filter, when it was not given or is empty, and nothing passes when there
    is only white space. Source: spec imports.md 12.
    """
    if not text:
        return None
    return [part.strip() for part in text.split(",")] if text.strip() else []


def values_in(path: Path | None) -> list[str] | None:
    """The names of a file, between commas or line ends; a file without a name lets nothing pass.

    Raises as `text_in`.
    """
    if path is None:
        return None
    parts = text_in(path).replace("\n", ",").split(",")
    return [part.strip() for part in parts if part.strip()]


def text_in(path: Path) -> str:
    """The text of a file of names. Raises BadParameter when it is none, OSError."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is not UTF-8 text") from None
