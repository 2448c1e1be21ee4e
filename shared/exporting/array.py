"""Writes the file: a JSON array, one object a line, the same bytes for the same rows."""

from collections.abc import Callable

_BUFFER_BYTES = 1 << 18


class JsonArray:
    """Gathers objects and hands the file's bytes to `write` in larger pieces."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._pieces: list[bytes] = []
        self._bytes = 0
        self.objects = 0

    def add(self, model: str, pk: int, fields: bytes) -> None:
        """Append an object; `fields` is a JSON object on one line."""
        separator = b",\n" if self.objects else b"[\n"
        self._put(b'%b{"model":"%b","pk":%d,"fields":%b}' % (separator, model.encode(), pk, fields))
        self.objects += 1

    def finish(self) -> None:
        """End the array and hand over what is left."""
        self._put(b"\n]\n" if self.objects else b"[]\n")
        self._flush()

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._write(b"".join(self._pieces))
        self._pieces, self._bytes = [], 0
