"""A row's fields in the one form in which rows are compared, whatever version wrote them.

JSON that older versions wrote as text in a string is JSON here, lists in Python's form are lists, dates are UTC with
three digits, bit fields are texts, numbers of a float column are floats. What does not fit its column stays as it is.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec

from shared.exports.objects import ExportRow
from shared.exports.timeline import moment_of, text_of
from shared.importing.columns import Column, Kind, columns_of
from shared.importing.values import CONVERTERS, BadValue, json_value

_DECODE = msgspec.json.Decoder().decode


def normalized(model: str, row: ExportRow) -> dict[str, Any]:
    """The fields of a row of a known model. Raises msgspec.MsgspecError for JSON that cannot be decoded."""
    made: dict[str, Any] = {}
    columns = _columns(model)
    for name, raw in row.fields.items():
        found = columns.get(name)
        made[name] = _DECODE(raw) if found is None else found[1](found[0], raw)
    return made


@cache
def _columns(model: str) -> Mapping[str, tuple[Column, Callable[[Column, msgspec.Raw], Any]]]:
    """The columns whose values have several forms, each with what brings a value into the one."""
    return {column.name: (column, _CONVERT[column.kind]) for column in columns_of(model) if column.kind in _CONVERT}


def _json(column: Column, raw: msgspec.Raw) -> Any:
    if not column.json_in_text or bytes(raw)[:1] != b'"':
        return _DECODE(raw)
    try:
        text, _ = json_value(column, raw)
    except BadValue:
        return _DECODE(raw)
    return None if text is None else _DECODE(text)


def _texts(column: Column, raw: msgspec.Raw) -> Any:
    value = _DECODE(raw)
    try:
        return CONVERTERS[column.kind](value) if isinstance(value, str) else value
    except BadValue:
        return value


def _moment(column: Column, raw: msgspec.Raw) -> Any:
    del column
    value = _DECODE(raw)
    moment = moment_of(value) if isinstance(value, str) else None
    return value if moment is None else text_of(moment)


def _bits(column: Column, raw: msgspec.Raw) -> Any:
    del column
    value = _DECODE(raw)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _float(column: Column, raw: msgspec.Raw) -> Any:
    del column
    value = _DECODE(raw)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 53 else value


_CONVERT: Mapping[Kind, Callable[[Column, msgspec.Raw], Any]] = {
    Kind.JSON: _json,
    Kind.TEXT_ARRAY: _texts,
    Kind.DATETIME: _moment,
    Kind.BIT_FIELD: _bits,
    Kind.FLOAT: _float,
}
