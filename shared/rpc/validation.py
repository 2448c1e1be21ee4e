"""The shape of requests: protovalidate's rules from the protos, told as violations with paths that have indexes.

Besides those, no text may hold the character NUL, which no database stores, and a message must be one.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from shared.errors import InvalidArgument, Violation, refuse
from shared.rpc import bulk

_VALIDATOR: Final = protovalidate.Validator()
_GARBLED: Final = object()


def readable(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """A deserializer that never raises, so that `check` can refuse what is no message in our own words."""
    if deserialize is None:
        return None

    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _GARBLED

    return parse


def check(message: Any) -> None:
    """Raise InvalidArgument with one violation a broken rule, its field like `commits[3].id` or `labels["a"]`."""
    if message is _GARBLED:
        raise InvalidArgument("The bytes of the request are not a message of this method.")
    found = _VALIDATOR.collect_violations(bulk.shortened(message))
    violations = [Violation(_path(one.proto.field), one.proto.message or one.proto.rule_id or "") for one in found]
    # Numbers have zero bytes too, so most messages with one hold no NUL; but without one none does.
    if b"\0" in message.SerializeToString():
        violations += [Violation(path, "must not hold the character NUL") for path in _texts_with_nul(message, "")]
    refuse(violations)


def _texts_with_nul(message: Any, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type not in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE) or _is_map(field):
            continue
        values = value if field.is_repeated else (value,)
        for index, one in enumerate(values):
            path = f"{prefix}{field.name}[{index}]" if field.is_repeated else f"{prefix}{field.name}"
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _texts_with_nul(one, f"{path}.")
            elif "\0" in one:
                yield path


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _path(field: Any) -> str:
    path = ""
    for element in field.elements if field is not None else ():
        path += ("." if path else "") + element.field_name + _subscript(element.subscript)
    return path


def _subscript(subscript: Any) -> str:
    if subscript is None:
        return ""
    value = subscript.value
    return f'["{value}"]' if isinstance(value, str) else f"[{value}]"
