"""Control's rows as lines of JSON, the form in which either silo keeps them on disk until their turn comes."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from shared.exporting.handover import HandedRow

BUFFER_BYTES = 1 << 20
"""How much is gathered before it is written, and read at once."""

_Line = tuple[str, int, list[int | None], msgspec.Raw]


class RowLines:
    """Gathers rows and hands their lines to `write` in larger pieces."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._buffer = bytearray()

    def add(self, row: HandedRow) -> None:
        """Append a row. Raises what `write` raises."""
        line: tuple[object, ...] = (row.model, row.pk, row.references, msgspec.Raw(row.fields))
        self._buffer += msgspec.json.encode(line) + b"\n"
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over what is left. Raises what `write` raises."""
        if self._buffer:
            self._write(bytes(self._buffer))
            self._buffer.clear()


def rows_of(lines: Iterable[bytes]) -> Iterator[HandedRow]:
    """The rows of lines that RowLines has written, in their order."""
    decoder = msgspec.json.Decoder(_Line)
    for line in lines:
        model, pk, references, fields = decoder.decode(line)
        yield HandedRow(model, pk, tuple(references), bytes(fields))
