"""The shape of requests: protovalidate's rules from the protos, told as violations with paths that have indexes."""

from typing import Any, Final

import protovalidate

from shared.errors import InvalidArgument, Violation

_VALIDATOR: Final = protovalidate.Validator()


def check(message: Any) -> None:
    """Raise InvalidArgument with one violation a broken rule, its field like `commits[3].id` or `labels["a"]`."""
    found = _VALIDATOR.collect_violations(message)
    if not found:
        return
    violations = [Violation(_path(one.proto.field), one.proto.message or one.proto.rule_id or "") for one in found]
    first = violations[0]
    raise InvalidArgument(
        f"{first.field}: {first.description}" if first.field else first.description, violations=violations
    )


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
