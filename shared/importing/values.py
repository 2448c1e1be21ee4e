"""Turns a field's JSON into the value that is handed on; each refusal is a BadValue with its reason.

Whatever comes out is accepted by PostgreSQL for the column's type: no NUL, no number or date out of range.
"""

import ast
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

from shared.importing.columns import BIGINT_MAX, Column, Kind
from shared.importing.scanner import ScanLimits

_DIGITS = re.compile(r"-?[0-9]{1,19}")
_UNSIGNED_MAX = 2**64 - 1
_DEPTH_MAX = ScanLimits().depth_max
# One element of the Python form of a list of texts, and what may follow it.
_TEXT_LITERAL = re.compile(r"""\s*u?('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")\s*(,|\])""")


class BadValue(Exception):
    """The value does not fit; the text says why."""


def decode_field(column: Column, decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw) -> Any:
    """The value of one field's JSON, fully checked. Raises BadValue."""
    try:
        value = decoder.decode(bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if column.kind is Kind.REFERENCE and bytes(raw).lstrip().startswith(b"["):
            told = f"a natural key, as versions before 23.8 wrote it; expected the pk of a row of {column.references}"
            raise BadValue(told) from error
        raise BadValue(_reason(column, error)) from error
    if column.kind is Kind.JSON:
        return json_value(column, raw)[0]
    if isinstance(value, str) and "\0" in value:
        raise BadValue("the text holds a NUL character")
    convert = CONVERTERS.get(column.kind)
    return convert(value) if convert is not None and value is not None else value


def json_value(column: Column, raw: msgspec.Raw) -> tuple[str | None, int]:
    """The compact JSON text of a JSON column's value (None for an allowed null), and how many keys its objects have."""
    try:
        value = msgspec.json.decode(bytes(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadValue(_reason(column, error)) from error
    if value is None:
        if not column.nullable:
            raise BadValue("null is not allowed")
        return None, 0
    keys = count_keys(value)
    if column.json_in_text and isinstance(value, str):
        value = _unwrap(value)
        count_keys(value)
    return msgspec.json.encode(value).decode(), keys


def count_keys(value: Any, depth: int = 1) -> int:
    """The keys of all objects in a JSON value. Raises BadValue for what PostgreSQL's jsonb does not take.

    JSON that stands in a text is judged here for the first time: it may be nested as deeply as an upload, no deeper.
    """
    if isinstance(value, dict | list) and depth > _DEPTH_MAX:
        raise BadValue("the JSON is nested too deeply")
    if isinstance(value, dict):
        return len(value) + sum(count_keys(key) + count_keys(inner, depth + 1) for key, inner in value.items())
    if isinstance(value, list):
        return sum(count_keys(inner, depth + 1) for inner in value)
    if isinstance(value, str):
        if "\0" in value:
            raise BadValue("a text in the JSON holds a NUL character")
    elif isinstance(value, int) and not -BIGINT_MAX - 1 <= value <= _UNSIGNED_MAX:
        raise BadValue("a number in the JSON is out of range")
    return 0


def repeated_key(data: bytes) -> str | None:
    """The first key that stands twice in one object of the JSON text, at any depth; exact and slow.

    Raises ValueError when the text is not UTF-8.
    """
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    json.loads(data.decode(), object_pairs_hook=look, parse_int=str, parse_float=str)
    return found[0] if found else None


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is UTC:
        return value
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise BadValue("the date is out of range") from error


def _to_ip(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as error:
        raise BadValue("expected an IP address") from error


@lru_cache(maxsize=1024)
def _to_bits(value: str | int) -> int:
    if isinstance(value, int):
        return value
    if not _DIGITS.fullmatch(value):
        raise BadValue("expected an integer in a string")
    number = int(value)
    if not -BIGINT_MAX - 1 <= number <= BIGINT_MAX:
        raise BadValue("the number is out of range")
    return number


def _to_texts(value: list[str] | str) -> list[str]:
    texts = _parse_texts(value) if isinstance(value, str) else value
    if any("\0" in text for text in texts):
        raise BadValue("a text in the array holds a NUL character")
    return texts


def _parse_texts(text: str) -> list[str]:
    """The texts of a list in JSON or in Python form."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError:
        pass
    refused = BadValue("expected an array of texts")
    text = text.strip()
    if not text.startswith("["):
        raise refused
    texts: list[str] = []
    position = 1
    while text[position:].strip() != "]":
        literal = _TEXT_LITERAL.match(text, position)
        if literal is None:
            raise refused
        texts.append(_text_of_literal(literal[1]))
        position = literal.end()
        if literal[2] == "]":
            if position != len(text):
                raise refused
            break
    return texts


def _text_of_literal(literal: str) -> str:
    try:
        text: str = ast.literal_eval(literal)
        text.encode()
    except (ValueError, SyntaxError) as error:
        raise BadValue("expected an array of texts") from error
    return text


def _unwrap(text: str) -> Any:
    """What JSON text in a string says, when it is a text, array or object; numbers and the rest were never wrapped."""
    try:
        inner = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return text
    except RecursionError as error:
        raise BadValue("the JSON is nested too deeply") from error
    return inner if isinstance(inner, str | list | dict) else text


def _reason(column: Column, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    return f"{error} (column type: {column.kind.value})"


CONVERTERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DATETIME: _to_utc,
    Kind.BIT_FIELD: _to_bits,
    Kind.IP: _to_ip,
    Kind.TEXT_ARRAY: _to_texts,
}
"""How a value that msgspec accepted becomes the one that is handed on; kinds without an entry stay as they are."""
