"""The language of lists of releases: what is read, what is refused, and that hostile texts cost little."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.releases.query import TERMS_MAX, VALUES_MAX, Term, build_number, like_pattern, parse_query
from region_silo.releases.query_conditions import conditions_of
from region_silo.releases.version_filter import VersionFilter, parse_version_filter
from shared.errors import InvalidArgument, QueryTooLarge


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  ", []),
        ("shop  1.2", [Term("", "=", ("shop 1.2",))]),
        ('"a:b" c', [Term("", "=", ("a:b c",))]),
        ("finalized:TRUE", [Term("finalized", "=", ("true",))]),
        ("!release:1.0", [Term("release", "=", ("1.0",), negated=True)]),
        ("release:!=1.0", [Term("release", "=", ("1.0",), negated=True)]),
        ("!release:!=1.0", [Term("release", "=", ("1.0",))]),
        ('release:[1.0, "a, b" ,c*]', [Term("release", "=", ("1.0", "a, b", "c*"))]),
        ('release:"a \\"b\\""', [Term("release", "=", ('a "b"',))]),
        ("release.version:>=1.2 x", [Term("release.version", ">=", ("1.2",)), Term("", "=", ("x",))]),
        ("release.build:", [Term("release.build", "=", ("",))]),
        ("release.build:<=7", [Term("release.build", "<=", ("7",))]),
        ("release.stage:[adopted,replaced]", [Term("release.stage", "=", ("adopted", "replaced"))]),
        ("release.package:!=[a,b]", [Term("release.package", "=", ("a", "b"), negated=True)]),
    ],
)
def test_queries_are_read(text: str, terms: list[Term]) -> None:
    assert list(parse_query(text)) == terms


@pytest.mark.parametrize(
    "text",
    [
        "color:red",
        "finalized:maybe",
        "release:",
        'release:"',
        '"open',
        "release:[a",
        "release:[a b",
        "release:>1",
        "finalized:>true",
        "release.stage:gone",
        "release.build:>abc",
        "release.build:a*b",
        "release.version:>[1,2]",
    ],
)
def test_release_row_26_broken_queries_are_refused_naming_the_field(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_query(text)
    assert [violation.field for violation in caught.value.violations] == ["query"]


@pytest.mark.parametrize(
    ("value", "operator", "expected"),
    [
        ("1", ">", VersionFilter("", (1, 0, 0, 0))),
        ("pkg@1.2.3-rc1", "=", VersionFilter("pkg", (1, 2, 3, 0), "rc1")),
        ("@scope@1.2", "=", VersionFilter("@scope", (1, 2, 0, 0))),
        ("1.X", "=", VersionFilter("", (1,))),
        ("1.2.*", "=", VersionFilter("", (1, 2))),
        ("pkg@*", "=", VersionFilter("pkg", ())),
    ],
)
def test_versions_of_filters_are_read(value: str, operator: str, expected: VersionFilter) -> None:
    assert parse_version_filter(value, operator) == expected


@pytest.mark.parametrize(
    ("value", "operator"), [("abc", "="), ("1.a", "="), ("1.*", ">"), ("1.2.3.4.5", "="), ("1.*.2", "="), ("1+7", "=")]
)
def test_release_row_26_text_in_the_place_of_a_number_is_refused(value: str, operator: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_version_filter(value, operator)


def test_a_query_has_limits_that_have_their_own_refusal() -> None:
    assert len(parse_query("finalized:true " * TERMS_MAX)) == TERMS_MAX
    assert len(parse_query(f"release:[{'a,' * (VALUES_MAX - 1)}a]")[0].values) == VALUES_MAX
    for text in ("finalized:true " * (TERMS_MAX + 1), f"release:[{'a,' * VALUES_MAX}a]"):
        with pytest.raises(QueryTooLarge):
            parse_query(text)


@pytest.mark.parametrize("part", ['"', "\\", "[", "a:", '"\\', "!", "release:[", "*.", "1."])
def test_hostile_texts_take_linear_time(part: str) -> None:
    text = part * 200_000
    began = time.perf_counter()
    with suppress(InvalidArgument):
        parse_query(text)
    assert time.perf_counter() - began < 5


@given(st.text(alphabet='ab:.!=<>[]",*\\ 1release', max_size=80) | st.text(max_size=80))
def test_no_text_breaks_the_parser_and_what_it_reads_has_conditions(text: str) -> None:
    try:
        terms = parse_query(text)
        conditions = conditions_of(terms, environments=("x",), of_projects=False, latest_ids=())
    except InvalidArgument:
        return
    assert len(conditions.texts) == len(terms)


values = st.text(alphabet='ab",]\\ *', min_size=1, max_size=6)


@given(st.lists(values, min_size=1, max_size=5))
def test_quoted_values_come_back(wanted: list[str]) -> None:
    quoted = ",".join('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' for value in wanted)
    assert parse_query(f"release:[{quoted}]") == (Term("release", "=", tuple(wanted)),)


def test_a_star_is_any_text_and_nothing_else_is() -> None:
    assert like_pattern("a%_\\*b") == "a\\%\\_\\\\%b"


@pytest.mark.parametrize(
    ("value", "number"), [("007", 7), ("", None), ("-1", None), (str(2**63), None), ("1a", None), ("0", 0)]
)
def test_builds_are_numbers_up_to_64_bits(value: str, number: int | None) -> None:
    assert build_number(value) == number
