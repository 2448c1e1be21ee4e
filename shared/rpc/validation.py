"""The shape of requests: protovalidate's rules from the protos, told as violations with paths that have indexes.

Besides those, no text may hold the character NUL, which no database stores, and a message must be one. So nothing that
is behind the door looks for NUL in what a request says.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any, Final

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from shared.errors import InvalidArgument, Violation, refuse
from shared.rpc import bulk

_VALIDATOR: Final = protovalidate.Validator()
_GARBLED: Final = object()
_WITH_TEXTS: Final = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE})
_FEW: Final = 100


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
    violations += [Violation(path, "must not hold the character NUL") for path in _texts_with_nul(message)]
    refuse(violations)


def _texts_with_nul(message: Any) -> list[str]:
    """The paths of texts that hold one."""
    # A copy of what is mostly bytes costs more than to look through the few texts and messages beside them.
    if _has_bytes(message.DESCRIPTOR):
        few = list(islice(_texts(message, ""), _FEW))
        if len(few) < _FEW:
            return [path for path, text in few if "\0" in text]
    # Numbers have zero bytes too, so most messages with one hold no NUL; but without one none does.
    if b"\0" not in message.SerializeToString():
        return []
    return [path for path, text in _texts(message, "") if "\0" in text]


@cache
def _has_bytes(descriptor: Descriptor) -> bool:
    return any(field.type == FieldDescriptor.TYPE_BYTES for field in descriptor.fields)


def _texts(message: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """Each text in the message, keys too, and its path; of a key that of its value. Messages within are empty texts."""
    for field, value in message.ListFields():
        if field.type not in _WITH_TEXTS:
            continue
        path = f"{prefix}{field.name}"
        if _is_map(field):
            values = [(f"{path}{_key(key)}", one) for key, one in value.items()]
            yield from ((f"{path}{_key(key)}", key) for key in value if isinstance(key, str))
        elif field.is_repeated:
            values = [(f"{path}[{index}]", one) for index, one in enumerate(value)]
        else:
            values = [(path, value)]
        for place, one in values:
            if isinstance(one, Message):
                yield place, ""
                yield from _texts(one, f"{place}.")
            elif isinstance(one, str):
                yield place, one


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _key(key: object) -> str:
    return '["{}"]'.format(key.replace("\0", "\\0")) if isinstance(key, str) else f"[{key}]"


def _path(field: Any) -> str:
    path = ""
    for element in field.elements if field is not None else ():
        path += ("." if path else "") + element.field_name + _subscript(element.subscript)
    return path


def _subscript(subscript: Any) -> str:
    if subscript is None:
        return ""
    return _key(subscript.value)
