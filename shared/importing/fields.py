"""Reads a few fields of a row's JSON without decoding it as its model: for filters, and for what a row refers to.

Never refuses: what is absent, of another type or cannot be read is None. The decoder of rows tells what is wrong.
"""

from functools import cache
from typing import Any

import msgspec

from shared.importing.index import integer_pk

_ABSENT = msgspec.Raw(b"")


class FieldReader:
    """Reads the fields `names`; answers have one value a name, in their order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        places = [f"f{place}" for place in range(len(names))]
        fields = msgspec.defstruct(
            "Fields",
            [(place, msgspec.Raw, _ABSENT) for place in places],
            rename=dict(zip(places, names, strict=True)),
            gc=False,
        )
        row: Any = msgspec.defstruct("Row", [("fields", fields)], gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)

    def pks(self, data: bytes) -> tuple[int | None, ...]:
        """The fields as pks."""
        return tuple(integer_pk(bytes(raw)) for raw in self._read(data))

    def texts(self, data: bytes) -> tuple[str | None, ...]:
        """The fields as texts that a database can hold."""
        return tuple(_text(bytes(raw)) for raw in self._read(data))

    def _read(self, data: bytes) -> tuple[msgspec.Raw, ...]:
        try:
            return msgspec.structs.astuple(self._decoder.decode(data).fields)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return (_ABSENT,) * len(self._names)


@cache
def field_reader(names: tuple[str, ...]) -> FieldReader:
    """A reader of these fields, made once; `names` are constants of the code."""
    return FieldReader(names)


def _text(raw: bytes) -> str | None:
    try:
        text = msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text
