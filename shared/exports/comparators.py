"""The comparators: how two rows may differ and still count as equal, one class a rule.

Each looks at some fields of a row and afterwards takes them out of it, so that what is left must be the same JSON. All
are pure: rows in, reasons out.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec

from shared.exports.timeline import moment_of

Fields = Mapping[str, Any]
EXISTENCE = "ExistenceCheck"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUBSCRIPTION = re.compile(r"[0-9]+/[0-9a-f]{32}")
_SHOWN_MAX = 200


class Pointer(NamedTuple):
    """A foreign key's value in a row that is compared: what the file says, and the ordinal of the row that it means.

    `ordinal` is None when the file has no such row.
    """

    pk: Any
    ordinal: int | None


@dataclass(frozen=True)
class Comparator(ABC):
    """Compares `fields`. Values are as `shared.exports.normalizing` gives them."""

    fields: tuple[str, ...]
    needs_both: ClassVar[bool] = True
    """A field that only one side has is told, by `existence`."""

    @property
    def kind(self) -> str:
        """The kind of its findings."""
        return type(self).__name__

    def existence(self, left: Fields, right: Fields) -> Iterator[str]:
        """A reason for each field that is null or absent on exactly one side."""
        for field in self.fields if self.needs_both else ():
            for side, row, other in (("left", left, right), ("right", right, left)):
                if row.get(field) is None and other.get(field) is not None:
                    yield f"the {side} `{field}` value was missing"

    @abstractmethod
    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        """A reason for each field that differs."""

    def settled(self, row: Fields) -> bool:
        """True when two rows that are both like this one cannot differ by this rule."""
        return row is not None

    def shown(self, value: Any) -> bool | list[str]:
        """What may be told of a field's value: True for all of it."""
        return value is not None

    def scrub(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take the fields out of the row; returns what may be told of each: True, null or a list of short forms."""
        told: dict[str, Any] = {}
        for field in self.fields:
            if field in row:
                value = row.pop(field)
                told[f"{self.kind}::{field}"] = None if value is None else self.shown(value)
        return told


class _ByField(Comparator):
    """Compares each field by itself, when both sides have it."""

    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        for field in self.fields:
            if left.get(field) is not None and right.get(field) is not None:
                yield from self._compare_field(field, left[field], right[field])

    @abstractmethod
    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        """A reason when these two values differ; neither is null."""


class AutoSuffixComparator(_ByField):
    """The right value may have got a suffix."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        if left != right and not str(right).startswith(f"{left}-"):
            yield (
                f"the left value ({_short(left)}) of `{field}` was not equal to, or the beginning with a dash of, the "
                f"right value ({_short(right)})"
            )


class _Dates(Comparator):
    def settled(self, row: Fields) -> bool:
        return all(_moments(row.get(field), None) is not None for field in self.fields)


class DateUpdatedComparator(_Dates):
    """The right date may be later; no date is 1970."""

    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        for field in self.fields:
            if (moments := _moments(left.get(field), right.get(field))) is None:
                yield _no_date(field)
            elif moments[1] < moments[0]:
                yield (
                    f"the left value ({left.get(field)}) of `{field}` was not before or equal to the right value "
                    f"({right.get(field)})"
                )


class DatetimeEqualityComparator(_Dates, _ByField):
    """Both are the same instant, whatever way it is written."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        if (moments := _moments(left, right)) is None:
            yield _no_date(field)
        elif moments[0] != moments[1]:
            yield f"the left value ({left}) of `{field}` was not equal to the right value ({right})"


class ForeignKeyComparator(_ByField):
    """Both point to the row of the same ordinal; the values are `Pointer`s."""

    def _compare_field(self, field: str, left: Pointer, right: Pointer) -> Iterator[str]:
        for side, pointer in (("left", left), ("right", right)):
            if pointer.ordinal is None:
                pk = _short(pointer.pk)
                yield f"the {side} foreign key ordinal for `{field}` model with pk `{pk}` could not be found"
        if left.ordinal is not None and right.ordinal is not None and left.ordinal != right.ordinal:
            yield (
                f"the left foreign key ordinal ({left.ordinal}) for `{field}` was not equal to the right foreign key "
                f"ordinal ({right.ordinal})"
            )

    def settled(self, row: Fields) -> bool:
        return all(row[field].ordinal is not None for field in self.fields if row.get(field) is not None)


class _Obfuscating(_ByField):
    """Both are equal; only a part of the values is told."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        if left != right:
            yield (
                f"the left value ({_joined(self.shown(left))}) of `{field}` was not equal to the right value "
                f"({_joined(self.shown(right))})"
            )

    def shown(self, value: Any) -> bool | list[str]:
        return [self._part(each) for each in (value if isinstance(value, list) else [value])]

    @abstractmethod
    def _part(self, value: Any) -> str:
        """What may be told of one value."""


class EmailObfuscatingComparator(_Obfuscating):
    """The beginning and the end of an address are told."""

    def _part(self, value: Any) -> str:
        local, sign, domain = str(value).partition("@")
        return f"{local[:1]}...@...{domain[-6:]}" if sign else f"{local[:1]}..."


class HashObfuscatingComparator(_Obfuscating):
    """Some first and last characters are told, the more the longer the value is."""

    def _part(self, value: Any) -> str:
        return _ends(str(value), ((16, 3, 3), (8, 1, 1)))


class UserPasswordObfuscatingComparator(_Obfuscating):
    """A claimed user keeps the password; an unclaimed one has a new one that never expires."""

    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        if not right.get("is_unclaimed"):
            if left.get("is_unclaimed"):
                yield "the left user was unclaimed, but the right user was claimed"
            yield from super().compare(left, right)
            return
        for field in self.fields:
            if left.get(field) is not None and left.get(field) == right.get(field):
                yield f"the right user is unclaimed, but the left and right `{field}` are equal"
        changed = "last_password_change"
        if left.get(changed) is not None and right.get(changed) is None:
            yield f"the right user is unclaimed, but its `{changed}` was nulled"
        elif (moments := _moments(left.get(changed), right.get(changed))) is None:
            yield _no_date(changed)
        elif moments[1] < moments[0]:
            yield f"the right user is unclaimed, but its `{changed}` is older than the left one"
        if right.get("is_password_expired"):
            yield "the right user is unclaimed, but its password is expired"

    def settled(self, row: Fields) -> bool:
        return not row.get("is_unclaimed")

    def _part(self, value: Any) -> str:
        return _ends(str(value), ((81, 12, 6), (41, 6, 4)))


class EqualOrRemovedComparator(Comparator):
    """Both are equal, or the right side has none."""

    needs_both = False

    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        for field in self.fields:
            if right.get(field) is not None and right[field] != left.get(field):
                yield f"the right value of `{field}` was neither equal to the left value nor removed"


class IgnoredComparator(Comparator):
    """Anything goes."""

    needs_both = False

    def compare(self, left: Fields, right: Fields) -> Iterator[str]:
        del left, right
        yield from ()


class _Pattern(_ByField):
    """Both have a form."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        for side, value in (("left", left), ("right", right)):
            if not self._fits(value):
                yield f"the {side} value of `{field}` was not {self._form()}"

    def settled(self, row: Fields) -> bool:
        return all(self._fits(row[field]) for field in self.fields if row.get(field) is not None)

    @abstractmethod
    def _fits(self, value: Any) -> bool:
        """Whether a value has the form."""

    @abstractmethod
    def _form(self) -> str:
        """The form in words, as it follows "was not"."""


@dataclass(frozen=True)
class SecretHexComparator(_Pattern):
    """Both are `byte_count` bytes in lower-case hexadecimal."""

    byte_count: int = 16

    def _fits(self, value: Any) -> bool:
        return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * self.byte_count}}}", value) is not None

    def _form(self) -> str:
        return f"{self.byte_count} bytes in hexadecimal"


class _NewIdentity(_Pattern):
    """Both have the form, and they differ."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        yield from super()._compare_field(field, left, right)
        if left == right:
            yield f"the left and right values of `{field}` were the same, but must differ"

    def settled(self, row: Fields) -> bool:
        return all(row.get(field) is None for field in self.fields)


class SubscriptionIDComparator(_NewIdentity):
    """Ids of subscriptions, made anew: digits, a slash, 32 hexadecimal digits."""

    def _fits(self, value: Any) -> bool:
        return isinstance(value, str) and _SUBSCRIPTION.fullmatch(value) is not None

    def _form(self) -> str:
        return "a subscription's id"


class UUID4Comparator(_NewIdentity):
    """Random UUIDs, made anew."""

    def _fits(self, value: Any) -> bool:
        try:
            return isinstance(value, str) and UUID(value).version == 4
        except ValueError:
            return False

    def _form(self) -> str:
        return "a UUID of version 4"


class UnorderedListComparator(_ByField):
    """Both hold the same things as often, in any order."""

    def _compare_field(self, field: str, left: Any, right: Any) -> Iterator[str]:
        if _counted(left) != _counted(right):
            yield f"the left value ({_short(left)}) of `{field}` had other members than the right one ({_short(right)})"


def _counted(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return Counter(msgspec.json.encode(each, order="deterministic") for each in value)


def _moments(left: Any, right: Any) -> tuple[datetime, datetime] | None:
    """Both moments; None when a value is no date. Null is 1970."""
    found = [
        _EPOCH if value is None else moment_of(value) if isinstance(value, str) else None for value in (left, right)
    ]
    return (found[0], found[1]) if found[0] is not None and found[1] is not None else None


def _no_date(field: str) -> str:
    return f"the left or the right value of `{field}` was no date with time and zone"


def _ends(text: str, rules: tuple[tuple[int, int, int], ...]) -> str:
    """The first and last characters that may be told: (from this length, first, last), longest first."""
    for length_min, first, last in rules:
        if len(text) >= length_min:
            return f"{text[:first]}...{text[-last:]}"
    return "..."


def _joined(shown: bool | list[str]) -> str:  # a value, not a switch
    return ", ".join(shown) if isinstance(shown, list) else str(shown)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"
