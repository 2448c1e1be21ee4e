"""What a filter on the command line says: names between commas."""

from pathlib import Path


def values_of(text: str | None) -> list[str] | None:
    """The trimmed names of an option; None, no filter, when it was not given or is empty, and nothing passes when there
    is only white space. Source: spec imports.md 12.
    """
    if not text:
        return None
    return [part.strip() for part in text.split(",")] if text.strip() else []


def values_in(path: Path | None) -> list[str] | None:
    """The names of a file, between commas or line ends; a file without a name lets nothing pass. Raises OSError."""
    if path is None:
        return None
    parts = path.read_text("utf-8").replace("\n", ",").split(",")
    return [part.strip() for part in parts if part.strip()]
