"""Sanitizes an export file: its shape stays, its secrets and everything that tells of people do not.

What no rule keeps is replaced; the rules stand in `sanitizing.toml`. Two passes over the file, the first one for its
moments; memory holds one object.
"""

import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from shared.exports.encryption import new_file
from shared.exports.errors import NotText
from shared.exports.objects import SEPARATOR, ExportRow, known_name, malformed, read_objects
from shared.exports.pseudonyms import Pseudonyms
from shared.exports.timeline import Timeline, moment_of, text_of
from shared.importing.columns import Kind
from shared.importing.registry import models
from shared.importing.scanner import CutObject
from shared.importing.values import CONVERTERS, BadValue

_DEPTH_MAX = 64
_KEPT_MAX = 200
_WORD_OF_PRODUCT = re.compile(r"[A-Za-z0-9_.:-]*")
_CODE_PREFIX = "sentry."
"""What begins like this in JSON is the dotted name of a part of the product."""


@dataclass(frozen=True)
class Sanitized:
    """What was written, and the rows of models that nobody knows, which were left out."""

    rows: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class ModelRules:
    """What becomes of the columns of one model."""

    names: frozenset[str]
    texts: frozenset[str]
    kept: frozenset[str]
    digits: frozenset[str]
    handles: frozenset[str]
    emptied: frozenset[str] = frozenset()
    set_to: Mapping[str, str] = field(default_factory=dict)
    set_by_key: Mapping[str, str] = field(default_factory=dict)
    kept_by_key: frozenset[str] = frozenset()


def sanitize_file(source: Path, destination: Path, *, key: bytes, days_offset: int = 0) -> Sanitized:
    """Write a sanitized copy of a plain export; the same key gives the same copy.

    Raises InvalidExport, NotText, DateOutOfRange, OSError.
    """
    pseudonyms = Pseudonyms(key)
    dropped: dict[str, int] = {}
    rows = 0
    with tempfile.TemporaryDirectory(prefix="siloway-") as folder, new_file(destination) as file:
        raw = (cut.data for cut in read_objects(source))
        timeline = Timeline(Path(folder), raw, pseudonyms, days_offset)
        try:
            opening = b"["
            for data in _sanitized(source, _Values(pseudonyms, timeline), dropped):
                file.write(opening + data)
                opening = SEPARATOR
                rows += 1
            file.write(b"]\n" if rows else b"[]\n")
        finally:
            timeline.close()
    return Sanitized(rows, dropped)


@cache
def rules_of(model: str) -> ModelRules:
    """The rules of a model's columns."""
    rules = _rules()
    own = rules.get(model, {})
    texts = frozenset(rules["texts"]) | frozenset(own.get("texts", ()))
    return ModelRules(
        names=frozenset(rules["names"]),
        texts=texts,
        kept=(frozenset(rules["kept"]) | frozenset(own.get("kept", ()))) - texts,
        digits=frozenset(rules["digits"]),
        handles=frozenset(rules["handles"]),
        emptied=frozenset(own.get("emptied", ())),
        set_to=own.get("set", {}),
        set_by_key=own.get("set_by_key", {}),
        kept_by_key=frozenset(own.get("kept_by_key", ())),
    )


@cache
def _rules() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("sanitizing.toml").read_text("utf-8"))


def _sanitized(source: Path, values: "_Values", dropped: dict[str, int]) -> Iterator[bytes]:
    decoder = msgspec.json.Decoder(ExportRow)
    for cut in read_objects(source):
        try:
            row = decoder.decode(cut.data)
            model = known_name(cut, row.model)
            if model in models():
                row.fields = _fields(cut, model, row, values)
                yield msgspec.json.encode(row)
            else:
                dropped[model] = dropped.get(model, 0) + 1
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(cut, str(error)) from error


def _fields(cut: CutObject, model: str, row: ExportRow, values: "_Values") -> dict[str, Any]:
    rules = rules_of(model)
    row_key = msgspec.json.decode(row.fields["key"]) if rules.set_by_key and "key" in row.fields else None
    made: dict[str, Any] = {}
    for name, raw in row.fields.items():
        first = bytes(raw)[:1]
        if first not in b'"[{':
            if name in rules.texts and bytes(raw) != b"null":
                raise NotText(f"{model} {row.pk}, field {name}: expected a text (object at byte {cut.offset})")
            made[name] = rules.set_to[name] if name in rules.set_to and bytes(raw) != b"null" else raw
            continue
        value = msgspec.json.decode(raw)
        if name in rules.texts and not isinstance(value, str):
            raise NotText(f"{model} {row.pk}, field {name}: expected a text (object at byte {cut.offset})")
        made[name] = _value(name, value, row_key, rules, values)
    return made


def _value(name: str, value: Any, row_key: Any, rules: ModelRules, values: "_Values") -> Any:
    if name in rules.set_to:
        return rules.set_to[name]
    if name == "value" and row_key in rules.set_by_key:
        return _as_wrapped(value, rules.set_by_key[row_key])
    if name in rules.emptied:
        return _emptied(value)
    if name in rules.names:
        return values.json(value, values.name)
    if name in rules.kept or (name == "value" and row_key in rules.kept_by_key):
        return values.json(value, values.kept)
    if name in rules.digits and isinstance(value, str) and value.isdigit():
        return value
    if name in rules.texts:
        return values.handle(value) if name in rules.handles else values.text(value)
    return values.json(value, values.text)


class _Values:
    """Replaces values by their kind."""

    def __init__(self, pseudonyms: Pseudonyms, timeline: Timeline) -> None:
        self._pseudonyms = pseudonyms
        self._timeline = timeline
        self._json_keys = frozenset(_rules()["json_keys"])

    def name(self, text: str) -> str:
        """A text of a column of names."""
        found = self._shaped(text)
        return self._pseudonyms.name(text) if found is None else found

    def text(self, text: str) -> str:
        """A text that nothing is known about."""
        found = self._shaped(text)
        return self._pseudonyms.text(text) if found is None else found

    def handle(self, text: str) -> str:
        """What somebody signs in with, where it is no address."""
        found = self._shaped(text)
        return self._pseudonyms.handle(text) if found is None else found

    def kept(self, text: str) -> str:
        """A word of the product; what has an address in it, or is very long, is none."""
        found = self._shaped(text)
        if found is None and ("@" in text or len(text) > _KEPT_MAX):
            found = self._pseudonyms.text(text)
        return text if found is None else found

    def json(self, value: Any, replace: Any, depth: int = 0) -> Any:
        """A JSON value with each text in it replaced; JSON and lists that stand in texts keep their encoding."""
        if isinstance(value, str):
            inner = _unwrapped(value) if depth < _DEPTH_MAX else None
            if inner is None:
                return replace(value)
            return inner.wrap(self.json(inner.value, replace, depth + 1))
        if isinstance(value, list):
            return [self.json(each, replace, depth + 1) for each in value]
        if isinstance(value, dict):
            return {self._key(key): self._member(key, each, replace, depth) for key, each in value.items()}
        return value

    def _member(self, key: str, value: Any, replace: Any, depth: int) -> Any:
        if isinstance(value, str) and (key in self._json_keys or value.startswith(_CODE_PREFIX)):
            return self.kept(value)
        return self.json(value, replace, depth + 1)

    def _key(self, key: str) -> str:
        return self.kept(key) if _WORD_OF_PRODUCT.fullmatch(key) else self.text(key)

    def _shaped(self, text: str) -> str | None:
        moment = moment_of(text)
        return self._pseudonyms.shaped(text) if moment is None else text_of(self._timeline.moved(moment))


@dataclass(frozen=True)
class _Wrapped:
    """A value that stands in a text as JSON, or as the Python form of a list."""

    value: Any
    python: bool

    def wrap(self, value: Any) -> str:
        """The text for another value in the same encoding."""
        return repr(value) if self.python else msgspec.json.encode(value).decode()


def _unwrapped(text: str) -> _Wrapped | None:
    if text[:1] not in {'"', "[", "{"}:
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    else:
        return _Wrapped(value, python=False)
    try:
        return _Wrapped(CONVERTERS[Kind.TEXT_ARRAY](text), python=True)
    except (BadValue, UnicodeError):
        return None


def _as_wrapped(value: Any, new: str) -> str:
    wrapped = _unwrapped(value) if isinstance(value, str) else None
    return new if wrapped is None else wrapped.wrap(new)


def _emptied(value: Any) -> Any:
    """Nothing, in the value's type and encoding."""
    if isinstance(value, str):
        wrapped = _unwrapped(value)
        return "" if wrapped is None else wrapped.wrap(_emptied(wrapped.value))
    return type(value)()
