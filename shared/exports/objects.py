"""The objects of a plain export file, one at a time, with the importer's limits; the first flaw ends the reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.errors import ServiceError
from shared.exports.errors import InvalidExport
from shared.importing.index import model_name
from shared.importing.scanner import CutObject, ScanLimits, Scanner

_PIECE_BYTES = 256 << 10
SEPARATOR = b",\n"


class ExportRow(msgspec.Struct, gc=False):
    """One object; `model` as the file writes it."""

    model: str
    pk: int
    fields: dict[str, msgspec.Raw]


def cut_objects(file: BinaryIO, limits: ScanLimits | None = None) -> Iterator[CutObject]:
    """Every object of the array, in order. Raises InvalidExport where the file is no array of objects."""
    scanner = Scanner(limits)
    try:
        while piece := file.read(_PIECE_BYTES):
            yield from scanner.feed(piece)
        scanner.finish()
    except ServiceError as error:
        raise InvalidExport(f"not an export file: {error.message}") from error


def read_objects(path: Path, limits: ScanLimits | None = None) -> Iterator[CutObject]:
    """As `cut_objects`, of a file by its path."""
    with path.open("rb") as file:
        yield from cut_objects(file, limits)


def compacted(objects: Iterator[CutObject]) -> Iterator[bytes]:
    """The array without any white space that means nothing, in pieces. Raises InvalidExport."""
    opening = b"["
    for cut in objects:
        try:
            yield opening + msgspec.json.format(cut.data, indent=-1)
        except (msgspec.DecodeError, RecursionError) as error:
            raise malformed(cut, str(error)) from error
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def malformed(cut: CutObject, reason: str) -> InvalidExport:
    """The refusal of an object that cannot be read."""
    return InvalidExport(f"not an export file: the object at byte {cut.offset} is malformed: {reason}")


def known_name(cut: CutObject, text: str) -> str:
    """The model's name in lower case. Raises InvalidExport when the text is no such name."""
    name = model_name(text)
    if name is None:
        raise malformed(cut, "expected a model's name, app.model")
    return name
