from typing import Any

import pytest

from shared.exports.comparators import (
    AutoSuffixComparator,
    Comparator,
    DatetimeEqualityComparator,
    DateUpdatedComparator,
    EmailObfuscatingComparator,
    EqualOrRemovedComparator,
    ForeignKeyComparator,
    HashObfuscatingComparator,
    IgnoredComparator,
    Pointer,
    SecretHexComparator,
    SubscriptionIDComparator,
    UnorderedListComparator,
    UserPasswordObfuscatingComparator,
    UUID4Comparator,
)

OLD, NEW = "2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z"
HEX = "7c69362cd42207b83f80087bc15ebccb"
UUIDS = ("f315ef58-3efa-41df-a502-f9f395d8f87f", "87d08793-5123-49f0-8a61-d4735efeb710")
PAIRS: list[tuple[type[Comparator], Any, Any, bool]] = [
    (AutoSuffixComparator, "owner", "owner", True),
    (AutoSuffixComparator, "owner", "owner-x1", True),
    (AutoSuffixComparator, "owner", "ownerx1", False),
    (AutoSuffixComparator, "owner-x1", "owner", False),
    (DateUpdatedComparator, OLD, OLD, True),
    (DateUpdatedComparator, OLD, NEW, True),
    (DateUpdatedComparator, NEW, OLD, False),
    (DateUpdatedComparator, None, None, True),
    (DateUpdatedComparator, OLD, "yesterday", False),
    (DatetimeEqualityComparator, OLD, OLD, True),
    (DatetimeEqualityComparator, "2024-01-01T01:00:00.000+01:00", OLD, True),
    (DatetimeEqualityComparator, OLD, NEW, False),
    (DatetimeEqualityComparator, 7, 7, False),
    (ForeignKeyComparator, Pointer(1, 4), Pointer(9, 4), True),
    (ForeignKeyComparator, Pointer(1, 4), Pointer(1, 5), False),
    (ForeignKeyComparator, Pointer(1, None), Pointer(1, 5), False),
    (ForeignKeyComparator, Pointer(1, 4), Pointer(["natural"], None), False),
    (EmailObfuscatingComparator, "ada@example.com", "ada@example.com", True),
    (EmailObfuscatingComparator, "ada@example.com", "bob@example.com", False),
    (HashObfuscatingComparator, HEX, HEX, True),
    (HashObfuscatingComparator, HEX, HEX[::-1], False),
    (EqualOrRemovedComparator, "a", "a", True),
    (EqualOrRemovedComparator, "a", None, True),
    (EqualOrRemovedComparator, "a", "b", False),
    (EqualOrRemovedComparator, None, "b", False),
    (IgnoredComparator, "a", None, True),
    (IgnoredComparator, "a", 7, True),
    (SecretHexComparator, HEX, HEX[::-1], True),
    (SecretHexComparator, HEX, HEX.upper(), False),
    (SecretHexComparator, HEX[:31], HEX, False),
    (SecretHexComparator, HEX, 7, False),
    (SubscriptionIDComparator, f"0/{HEX}", f"12/{HEX}", True),
    (SubscriptionIDComparator, f"0/{HEX}", f"0/{HEX}", False),
    (SubscriptionIDComparator, f"0/{HEX}", HEX, False),
    (SubscriptionIDComparator, None, None, True),
    (UnorderedListComparator, ["a", "b", "a"], ["a", "a", "b"], True),
    (UnorderedListComparator, ["a", "b", "b"], ["a", "a", "b"], False),
    (UnorderedListComparator, [{"a": 1, "b": 2}], [{"b": 2, "a": 1}], True),
    (UnorderedListComparator, ["a"], "a", False),
    (UUID4Comparator, *UUIDS, True),
    (UUID4Comparator, UUIDS[0], UUIDS[0], False),
    (UUID4Comparator, UUIDS[0], "f315ef58-3efa-11df-a502-f9f395d8f87f", False),
    (UUID4Comparator, UUIDS[0], 7, False),
]


@pytest.mark.parametrize(("comparator", "left", "right", "passes"), PAIRS)
def test_values_pass_or_are_told(comparator: type[Comparator], left: Any, right: Any, passes: bool) -> None:
    made = comparator(("f",))
    rows = {"f": left}, {"f": right}
    assert (list(made.compare(*rows)) == []) is passes
    if left == right:
        assert made.settled(rows[0]) or not passes or left is None
    for row in rows:  # a settled row never differs from one that is alike
        if made.settled(row):
            assert [*made.existence(row, row), *made.compare(row, row)] == []


EXISTING: list[type[Comparator]] = [
    each for each in Comparator.__subclasses__() if not each.__name__.startswith("_")
] + [
    DateUpdatedComparator,
    DatetimeEqualityComparator,
    EmailObfuscatingComparator,
    HashObfuscatingComparator,
    UserPasswordObfuscatingComparator,
    SecretHexComparator,
    SubscriptionIDComparator,
    UUID4Comparator,
]


@pytest.mark.parametrize("comparator", dict.fromkeys(EXISTING))
def test_a_value_that_one_side_lacks_is_told(comparator: type[Comparator]) -> None:
    made = comparator(("f",))
    told = made.needs_both
    assert told is (comparator not in {IgnoredComparator, EqualOrRemovedComparator})
    assert list(made.existence({}, {"f": "x"})) == (["the left `f` value was missing"] if told else [])
    assert list(made.existence({"f": "x"}, {"f": None})) == (["the right `f` value was missing"] if told else [])
    assert list(made.existence({}, {"f": None})) == []


def user(password: str = "old", *, unclaimed: bool = False, **changes: Any) -> dict[str, Any]:
    row = {"password": password, "is_unclaimed": unclaimed, "last_password_change": OLD, "is_password_expired": False}
    return {**row, **changes}


@pytest.mark.parametrize(
    ("left", "right", "told"),
    [
        (user(), user(), []),
        (user(), user("new"), ["not equal"]),
        (user(unclaimed=True), user(), ["was claimed"]),
        (user(), user("new", unclaimed=True), []),
        (user(unclaimed=True), user("new", unclaimed=True, last_password_change=NEW), []),
        (user(), user(unclaimed=True), ["are equal"]),
        (user(), user("new", unclaimed=True, last_password_change=None), ["nulled"]),
        (user(last_password_change=NEW), user("new", unclaimed=True), ["older"]),
        (user(), user("new", unclaimed=True, is_password_expired=True), ["expired"]),
        (user(last_password_change=None), user("new", unclaimed=True, last_password_change=None), []),
    ],
)
def test_passwords_stay_unless_the_user_is_to_be_claimed(left: Any, right: Any, told: list[str]) -> None:
    made = UserPasswordObfuscatingComparator(("password",))
    reasons = list(made.compare(left, right))
    assert len(reasons) == len(told)
    assert all(part in reason for part, reason in zip(told, reasons, strict=True))
    assert made.settled(left) is not left["is_unclaimed"]


@pytest.mark.parametrize(
    ("comparator", "value", "shown"),
    [
        (EmailObfuscatingComparator, "ada@example.com", ["a...@...le.com"]),
        (EmailObfuscatingComparator, "superadmin", ["s..."]),
        (HashObfuscatingComparator, HEX, ["7c6...ccb"]),
        (HashObfuscatingComparator, "12345678", ["1...8"]),
        (HashObfuscatingComparator, "1234567", ["..."]),
        (HashObfuscatingComparator, ["12345678", HEX], ["1...8", "7c6...ccb"]),
        (UserPasswordObfuscatingComparator, "x" * 81, ["x" * 12 + "..." + "x" * 6]),
        (UserPasswordObfuscatingComparator, "x" * 41, ["x" * 6 + "..." + "x" * 4]),
        (UserPasswordObfuscatingComparator, "x" * 40, ["..."]),
        (AutoSuffixComparator, "owner", True),
        (AutoSuffixComparator, None, None),
    ],
)
def test_scrubbing_removes_the_field_and_tells_what_may_be_told(
    comparator: type[Comparator], value: Any, shown: Any
) -> None:
    row = {"f": value, "g": 1}
    assert comparator(("f", "absent")).scrub(row) == {f"{comparator.__name__}::f": shown}
    assert row == {"g": 1}


def test_no_reason_carries_a_whole_secret() -> None:
    for comparator in (HashObfuscatingComparator, EmailObfuscatingComparator, UserPasswordObfuscatingComparator):
        (reason,) = comparator(("f",)).compare({"f": "somebody@example.org"}, {"f": "nobody@example.com"})
        assert "body@example" not in reason


def test_a_long_value_is_cut_in_a_reason() -> None:
    (reason,) = AutoSuffixComparator(("f",)).compare({"f": "x" * 10_000}, {"f": "y" * 10_000})
    assert len(reason) < 1000
