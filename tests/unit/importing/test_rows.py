import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.importing.findings import Finding, FindingKind, Severity
from shared.importing.rows import RowDecoder, skipped_row, unreadable_object
from tests.unit.importing.rows_of import FIELDS, NOW, decode, raw_row, row_of, value_of

_ODD_VALUES: list[Any] = [
    *(None, True, 0, 1, -1, 2**15, 2**31, 2**63 - 1, 2**63, 10**400, 1.5, "", "0", "-9223372036854775808", "x" * 300),
    *("a\0b", "a\\u0000b", "\ud800", '": :', "é", [], ["a"], {"a": {"b": [1]}}, {"a": "\0"}, {"\0": 1}, {"a": 10**400}),
    *("2023-06-22T22:59:55Z", "2023-06-22T22:59:55.123456Z", "2023-02-30T00:00:00Z", "0001-01-01T00:00:00+02:00"),
    *("2023-06-22T22:59:55", "2023-06-22T22:59:55.5+02:00", '"text"', ["user@example.com"]),
]


@pytest.mark.parametrize("model", FIELDS)
def test_a_row_as_exported_is_decoded_without_findings(model: str) -> None:
    decoded = decode(model, row_of(model, 1), row_of(model, 2, pk=8))
    assert decoded.findings == []
    assert [(row.ordinal, row.pk) for row in decoded.rows] == [(1, 7), (2, 8)]
    assert decoded.rows[0].values == decoded.rows[1].values


@pytest.mark.parametrize("model", FIELDS)
def test_rows_of_the_last_rows_shape_are_decoded_together(model: str) -> None:
    decoder = RowDecoder(model, NOW)
    decoder.decode([row_of(model, odd={"a": [1]})])
    assert decoder._shape is not None
    like, other = row_of(model, 2, odd={"a": [1]}), row_of(model, 3)
    doubtful = row_of(model, 4, odd={"a": '"b": 1'})
    taken = decoder._shape.decode([like, doubtful, like, other, like], decoder._defaults)
    assert [row and row.ordinal for row in taken] == [2, None, 2, None]


@settings(max_examples=400)
@given(
    model=st.sampled_from(sorted(FIELDS)),
    changes=st.lists(st.tuples(st.integers(0, 30), st.sampled_from(_ODD_VALUES)), max_size=2),
    dropped=st.integers(0, 60),
    separator=st.sampled_from([": ", ":", " :", "\n: "]),
    seed=st.integers(0, 2**32) | st.none(),
)
def test_the_typed_way_and_the_way_by_field_agree(
    model: str, changes: list[tuple[int, Any]], dropped: int, separator: str, seed: int | None
) -> None:
    names = list(FIELDS[model])
    fields = {**FIELDS[model], **{[*names, "odd"][place % (len(names) + 1)]: value for place, value in changes}}
    if dropped < len(names):
        del fields[names[dropped]]
    text = json.dumps({"model": model, "pk": 7, "fields": fields}, separators=(", ", separator))
    row = raw_row(_damaged(text.encode(), seed))
    learned = RowDecoder(model, NOW)
    learned.decode([row_of(model), row, row])
    learned.take_ignored_fields()
    first = RowDecoder(model, NOW)
    assert learned.decode([row]) == first.decode([row])
    assert learned.take_ignored_fields() == first.take_ignored_fields()


@settings(max_examples=200)
@given(
    model=st.sampled_from(sorted(FIELDS)),
    changed=st.lists(
        st.tuples(
            st.integers(0, 7), st.integers(0, 30), st.sampled_from(_ODD_VALUES), st.integers(0, 2**32) | st.none()
        ),
        max_size=4,
    ),
)
def test_rows_that_are_decoded_together_come_out_as_each_alone(
    model: str, changed: list[tuple[int, int, Any, int | None]]
) -> None:
    names = [*FIELDS[model], "odd"]
    rows = [row_of(model, ordinal, pk=ordinal) for ordinal in range(1, 9)]
    for place, field, value, seed in changed:
        row = row_of(model, place + 1, pk=place + 1, **{names[field % len(names)]: value})
        rows[place] = row._replace(data=_damaged(row.data, seed))
    together = RowDecoder(model, NOW)
    decoded = together.decode(rows)
    alone = [RowDecoder(model, NOW) for _ in rows]
    each = [decoder.decode([row]) for decoder, row in zip(alone, rows, strict=True)]
    assert decoded.rows == [row for one in each for row in one.rows]
    assert decoded.findings == [finding for one in each for finding in one.findings]
    told = [finding for decoder in alone for finding in decoder.take_ignored_fields()]
    first = {finding.field: finding.ordinal for finding in reversed(told)}
    assert {finding.field: finding.ordinal for finding in together.take_ignored_fields()} == first


def _damaged(data: bytes, seed: int | None) -> bytes:
    if seed is None:
        return data
    damage = random.Random(seed)
    changed = bytearray(data)
    for _ in range(damage.randint(1, 3)):
        changed[damage.randrange(len(changed))] = damage.choice(b'":,{}[]\\019eE-. \xff\xc3ntu')
    return bytes(changed)


@pytest.mark.parametrize(
    ("model", "changes", "field", "value"),
    [
        ("sentry.user", {"flags": "9223372036854775807"}, "flags", 2**63 - 1),
        ("sentry.user", {"flags": 3}, "flags", 3),
        (
            "sentry.user",
            {"date_joined": "2023-06-22T22:59:55Z"},
            "date_joined",
            datetime(2023, 6, 22, 22, 59, 55, tzinfo=UTC),
        ),
        (
            "sentry.user",
            {"date_joined": "2023-06-22T22:59:55.123456Z"},
            "date_joined",
            datetime(2023, 6, 22, 22, 59, 55, 123456, tzinfo=UTC),
        ),
        (
            "sentry.user",
            {"date_joined": "2023-06-23T00:59:55.5+02:00"},
            "date_joined",
            datetime(2023, 6, 22, 22, 59, 55, 500000, tzinfo=UTC),
        ),
        ("sentry.user", {"name": 'a "b": \\u0000 c : d'}, "name", 'a "b": \\u0000 c : d'),
        ("sentry.user", {"name": "x" * 200}, "name", "x" * 200),
        ("sentry.projectkey", {"data": {"a": [1, {"b": 'x": 1'}]}}, "data", '{"a":[1,{"b":"x\\": 1"}]}'),
        ("sentry.projectkey", {"data": "text"}, "data", '"text"'),
        ("sentry.projectkey", {"date_added": None}, "date_added", None),
    ],
)
def test_values_are_handed_on_in_their_columns_type(
    model: str, changes: dict[str, Any], field: str, value: object
) -> None:
    assert value_of(model, row_of(model, **changes), field) == value


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("sentry.user", "is_suspended", False),
        ("sentry.organization", "flags", 1),
        ("sentry.organization", "date_added", NOW),
        ("sentry.organization", "slug", None),
        ("sentry.projectkey", "data", "{}"),
        ("sentry.projectkey", "use_case", "user"),
    ],
)
def test_an_absent_field_takes_its_columns_default(model: str, field: str, value: object) -> None:
    assert value_of(model, row_of(model, without=field), field) == value


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("sentry.user", "username", "a\0b"),
        ("sentry.user", "username", "x" * 129),
        ("sentry.user", "username", None),
        ("sentry.user", "is_active", "true"),
        ("sentry.user", "avatar_type", 2**15),
        ("sentry.user", "avatar_type", -1),
        ("sentry.user", "avatar_type", 1.0),
        ("sentry.user", "flags", "9223372036854775808"),
        ("sentry.user", "flags", "1_0"),
        ("sentry.user", "date_joined", "yesterday"),
        ("sentry.user", "date_joined", "0001-01-01T00:00:00+02:00"),
        ("sentry.user", "date_joined", "2023-06-22T22:59:55"),
        ("sentry.organization", "status", 2**31),
        ("sentry.projectteam", "team", 2**63),
        ("sentry.projectteam", "team", 0),
        ("sentry.projectteam", "team", ["testing"]),
        ("sentry.projectteam", "team", None),
        ("sentry.projectkey", "data", None),
        ("sentry.projectkey", "data", {"a": ["\0"]}),
        ("sentry.projectkey", "data", {"a": 2**64}),
        ("sentry.projectkey", "data", {"a\0": 1}),
    ],
)
def test_a_value_that_does_not_fit_costs_its_row_and_names_the_field(model: str, field: str, value: Any) -> None:
    rows = [row_of(model, 1), row_of(model, 2, **{field: value}), row_of(model, 3)]
    decoded = decode(model, *rows)
    assert [row.ordinal for row in decoded.rows] == [1, 3]
    (finding,) = decoded.findings
    assert (finding.kind, finding.model, finding.ordinal) == (FindingKind.INVALID_VALUE, model, 2)
    assert (finding.pk, finding.field, finding.severity) == (7, field, Severity.ERROR)
    assert finding.reason


def test_every_bad_field_of_a_row_is_told() -> None:
    decoded = decode("sentry.user", row_of("sentry.user", pk=0, is_staff=1, flags="x", without="username"))
    assert [(finding.kind, finding.field) for finding in decoded.findings] == [
        (FindingKind.INVALID_PK, "pk"),
        (FindingKind.MISSING_FIELD, "username"),
        (FindingKind.INVALID_VALUE, "is_staff"),
        (FindingKind.INVALID_VALUE, "flags"),
    ]
    assert {finding.pk for finding in decoded.findings} == {None}


@pytest.mark.parametrize("pk", [0, -1, 2**63, "7", 7.0, None, True, [7]])
def test_a_pk_that_is_no_positive_bigint_costs_its_row(pk: object) -> None:
    decoded = decode("sentry.projectteam", row_of("sentry.projectteam", 1), row_of("sentry.projectteam", 2, pk=pk))
    assert [row.ordinal for row in decoded.rows] == [1]
    (finding,) = decoded.findings
    assert (finding.kind, finding.ordinal, finding.pk) == (FindingKind.INVALID_PK, 2, None)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"model":"sentry.projectteam","pk":7,"pk":7,"fields":{"project":1,"team":2}}', "pk"),
        ('{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,"team":2}}', "team"),
        ('{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,"team" :2}}', "team"),
        ('{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,"te\\u0061m":2}}', "team"),
        (
            '{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2},"fields":{"project":1,"team":2}}',
            "fields",
        ),
        ('{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,"x":{"a":1,"a":1}}}', "a"),
    ],
)
def test_a_key_that_stands_twice_costs_its_row(text: str, key: str) -> None:
    good = row_of("sentry.projectteam", 1)
    decoded = decode("sentry.projectteam", good, raw_row(text.encode(), 2))
    assert [row.ordinal for row in decoded.rows] == [1]
    (finding,) = decoded.findings
    assert (finding.kind, finding.field, finding.pk) == (FindingKind.INVALID_OBJECT, key, 7)


@pytest.mark.parametrize("colon", [":", "\\u003a"])
@pytest.mark.parametrize("time", ["2023-06-22T22:59:55Z", "2023-06-23T00:59:55+02:00", "2023-06-23T00:59:55+0200"])
def test_colons_in_texts_hide_no_key_that_stands_twice(colon: str, time: str) -> None:
    rest = f'"organization":1,"slug":"a","status":0,"idp_provisioned":false,"date_added":"{time}"'
    texts = [
        f'{{"model":"sentry.team","pk":{pk},"fields":{{"name":"{colon}b",{more}{rest}}}}}'
        for pk, more in enumerate(("", "", f'"slug":"a{colon}",', ""), 1)
    ]
    decoded = decode("sentry.team", *(raw_row(text.encode(), place) for place, text in enumerate(texts, 1)))
    assert [row.ordinal for row in decoded.rows] == [1, 2, 4]
    assert [(each.ordinal, each.field) for each in decoded.findings] == [(3, "slug")]


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"sentry.projectteam","pk":7}',
        b'{"model":"sentry.projectteam","pk":7,"fields":[]}',
        b'{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,}}',
        b'{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2,"x":"\xff"}}',
        b"{}",
    ],
)
def test_an_object_that_cannot_be_decoded_costs_only_itself(data: bytes) -> None:
    decoded = decode("sentry.projectteam", raw_row(data, 1), row_of("sentry.projectteam", 2))
    assert [row.ordinal for row in decoded.rows] == [2]
    assert FindingKind.INVALID_OBJECT in {finding.kind for finding in decoded.findings}


def test_ignored_fields_are_told_once_with_their_first_row_and_number() -> None:
    decoder = RowDecoder("sentry.team", NOW)
    rows = [row_of("sentry.team", 1)]
    rows += [row_of("sentry.team", place, actor=1, news="x", more={"a": 'b": '}) for place in (2, 3, 4)]
    assert decoder.decode(rows[:2]).findings == []
    assert len(decoder.decode(rows[2:]).rows) == 2
    told = decoder.take_ignored_fields()
    assert [(f.kind, f.field, f.ordinal, f.severity) for f in told] == [
        (FindingKind.FIELD_REMOVED, "actor", 2, Severity.WARNING),
        (FindingKind.UNKNOWN_FIELD, "news", 2, Severity.WARNING),
        (FindingKind.UNKNOWN_FIELD, "more", 2, Severity.WARNING),
    ]
    assert all(finding.reason.endswith("ignored in 3 rows") for finding in told)
    assert decoder.take_ignored_fields() == []


def test_a_flood_of_unknown_fields_is_told_in_part() -> None:
    decoder = RowDecoder("sentry.projectteam", NOW)
    for place in range(1, 40):
        unknown: dict[str, Any] = {f"field{place}_{number}": 1 for number in range(20)}
        row = row_of("sentry.projectteam", place, **unknown)
        assert len(decoder.decode([row]).rows) == 1
    assert len(decoder.take_ignored_fields()) == 100


def test_a_part_besides_model_pk_and_fields_is_ignored_and_told() -> None:
    decoder = RowDecoder("sentry.projectteam", NOW)
    data = b'{"model":"sentry.projectteam","pk":7,"fields":{"project":1,"team":2},"extra":1}'
    assert len(decoder.decode([raw_row(data), raw_row(data, 2)]).rows) == 2
    (finding,) = decoder.take_ignored_fields()
    assert (finding.kind, finding.field) == (FindingKind.UNKNOWN_FIELD, "extra")


def test_texts_of_findings_can_always_be_stored() -> None:
    decoder = RowDecoder("sentry.projectteam", NOW)
    unknown: dict[str, Any] = {"a\0" + "x" * 500: 1}
    decoder.decode([row_of("sentry.projectteam", **unknown)])
    (finding,) = decoder.take_ignored_fields()
    assert "\0" not in finding.field
    assert len(finding.field) == 100
    long = Finding.of(FindingKind.INVALID_OBJECT, "", 1, reason="\ud800" + "y" * 5000)
    assert len(long.reason.encode()) <= 510


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (b"{nonsense}", ""),
        (b'{"pk":1}', ""),
        (b'{"model":1}', ""),
        (b'{"model":"nodot"}', "model"),
        (b'{"model":"a.b\\u0000"}', "model"),
        (b'{"model":"\xff"}', ""),
    ],
)
def test_an_object_without_a_model_is_told_with_its_place_in_the_file(data: bytes, field: str) -> None:
    finding = unreadable_object(raw_row(data, 12, None))
    assert (finding.kind, finding.model, finding.ordinal) == (FindingKind.INVALID_OBJECT, "", 12)
    assert finding.field == field


def test_a_skipped_row_is_told_with_its_reason() -> None:
    finding = skipped_row("sentry.option", row_of("sentry.team", 3), FindingKind.OUT_OF_SCOPE)
    assert (finding.severity, finding.model, finding.ordinal, finding.pk) == (Severity.SKIPPED, "sentry.option", 3, 7)
    assert finding.reason
