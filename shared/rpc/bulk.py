"""Says of a long list of messages, column by column, that all of them keep the rules of their proto.

It reads the same rules as the validation proper, but knows only the plain ones: lengths, counts, numbers of enums. Its
answer is "all keep them" or "look closer": then, and for a type that has any other rule, the validation proper decides
and says what is wrong. So it can make a check faster, never another one.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, Final, TypeAlias

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

BULK_MIN: Final = 100
"""Shorter lists are not worth the trouble."""

_Column: TypeAlias = Callable[[Sequence[Any]], bool]
_FIELD: Final = validate_pb2.field
_BYTES_A_CHARACTER: Final = 4
_STRING_RULES: Final = frozenset({"min_len", "max_len", "max_bytes"})
_REPEATED_RULES: Final = frozenset({"min_items", "max_items"})
_ENUM_RULES: Final = frozenset({"defined_only", "not_in"})


def shortened(message: Message) -> Message:
    """A message that breaks the rules exactly when `message` does, as short as that can be known cheaply.

    Long lists whose elements and length keep the rules are cut; a message without such is returned as it is.
    """
    cuts = [path for path in _long_lists(message) if _keeps_rules(message, path)]
    if not cuts:
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    for path in cuts:
        parent, field = _parent(copy, path), path[-1]
        del getattr(parent, field.name)[max(1, _rules(field).repeated.min_items) :]
    return copy


def _long_lists(message: Message, before: tuple[FieldDescriptor, ...] = ()) -> Iterable[tuple[FieldDescriptor, ...]]:
    """The paths to lists of messages that are long, in the message and in the messages that it has one of."""
    for field in _message_fields(message.DESCRIPTOR):
        if field.is_repeated:
            if len(getattr(message, field.name)) >= BULK_MIN:
                yield (*before, field)
        elif message.HasField(field.name):
            yield from _long_lists(getattr(message, field.name), (*before, field))


def _keeps_rules(message: Message, path: tuple[FieldDescriptor, ...]) -> bool:
    field = path[-1]
    counts, columns = _counts(field), _columns(_type(field))
    if counts is None or columns is None or not all(map(_is_judged_by_parts, path)):
        return False
    elements = list(getattr(_parent(message, path), field.name))
    return counts([elements]) and all(column(elements) for column in columns)


def _is_judged_by_parts(field: FieldDescriptor) -> bool:
    """Whether no rule of the message with this field, or of the field, can look at what is inside of it."""
    if field.containing_type is None or field.containing_type.GetOptions().HasExtension(validate_pb2.message):
        return False
    return field.is_repeated or {rule.name for rule, _ in _rules(field).ListFields()} <= {"required"}


def _parent(message: Any, path: tuple[FieldDescriptor, ...]) -> Any:
    for field in path[:-1]:
        message = getattr(message, field.name)
    return message


@cache
def _message_fields(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    return tuple(
        field
        for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_MESSAGE and not _type(field).GetOptions().map_entry
    )


@cache
def _columns(descriptor: Descriptor) -> tuple[_Column, ...] | None:
    """The checks of a type's fields; None when one of its rules is not a plain one, or it contains itself."""
    if descriptor.GetOptions().HasExtension(validate_pb2.message) or descriptor.oneofs:
        return None
    columns: list[_Column] = []
    for field in descriptor.fields:
        found = _field_columns(field)
        if found is None:
            return None
        columns += found
    return tuple(columns)


def _field_columns(field: FieldDescriptor) -> list[_Column] | None:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _message_columns(field)
    rules = _rules(field)
    if not rules.ListFields():
        return []
    if field.is_repeated or field.has_presence:
        return None
    if field.type == FieldDescriptor.TYPE_STRING and _only(rules, "string", _STRING_RULES):
        return [_string_column(field.name, rules.string)]
    if field.type == FieldDescriptor.TYPE_ENUM and _only(rules, "enum", _ENUM_RULES):
        return [_enum_column(field, rules.enum)]
    return None


def _message_columns(field: FieldDescriptor) -> list[_Column] | None:
    """Of messages within: none when they have no rules, those of all together when they are a list."""
    kind = _type(field)
    if kind.GetOptions().map_entry or kind is field.containing_type:
        return None
    inner, read = _columns(kind), attrgetter(field.name)
    if inner is None:
        return None
    if not field.is_repeated:
        return [] if not inner and not _rules(field).ListFields() else None
    counts = _counts(field)
    if counts is None:
        return None

    def keeps(messages: Sequence[Any]) -> bool:
        lists = list(map(read, messages))
        elements = list(chain.from_iterable(lists))
        return counts(lists) and all(column(elements) for column in inner)

    return [keeps]


def _counts(field: FieldDescriptor) -> _Column | None:
    """Whether lists of this field have as many elements as they may."""
    rules = _rules(field)
    if rules.ListFields() and not _only(rules, "repeated", _REPEATED_RULES):
        return None
    return _within(rules.repeated.min_items, rules.repeated.max_items if rules.repeated.HasField("max_items") else None)


def _string_column(name: str, rules: validate_pb2.StringRules) -> _Column:
    read = attrgetter(name)
    lengths = _within(rules.min_len, rules.max_len if rules.HasField("max_len") else None)
    bytes_max = rules.max_bytes if rules.HasField("max_bytes") else None

    def keeps(messages: Sequence[Any]) -> bool:
        texts = list(map(read, messages))
        if not lengths(texts):
            return False
        return bytes_max is None or all(
            len(text.encode()) <= bytes_max for text in texts if len(text) * _BYTES_A_CHARACTER > bytes_max
        )

    return keeps


def _enum_column(field: FieldDescriptor, rules: validate_pb2.EnumRules) -> _Column:
    read = attrgetter(field.name)
    kind = field.enum_type
    defined = {value.number for value in kind.values} if kind is not None and rules.defined_only else None
    refused = set(rules.not_in)

    def keeps(messages: Sequence[Any]) -> bool:
        numbers = set(map(read, messages))
        return not numbers & refused and (defined is None or numbers <= defined)

    return keeps


def _within(least: int, most: int | None) -> _Column:
    """Whether all lengths are between these."""

    def keeps(sized: Sequence[Any]) -> bool:
        lengths = list(map(len, sized))
        return not lengths or (least <= min(lengths) and (most is None or max(lengths) <= most))

    return keeps


def _only(rules: validate_pb2.FieldRules, kind: str, known: frozenset[str]) -> bool:
    """Whether nothing but these plain rules of one kind is given."""
    if [field.name for field, _ in rules.ListFields()] != [kind]:
        return False
    return {field.name for field, _ in getattr(rules, kind).ListFields()} <= known


def _type(field: FieldDescriptor) -> Descriptor:
    found = field.message_type
    assert found is not None, "not a field of messages"
    return found


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    found: validate_pb2.FieldRules = field.GetOptions().Extensions[_FIELD]
    return found
