"""Which texts are versions, and what the one parser reads in them. Numbers are those of the acceptance cases."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.releases.versions import (
    NUMBER_MAX,
    VersionInfo,
    broken_rules,
    compare,
    describe,
    parse_hash,
    parse_version,
    rank,
)


@pytest.mark.parametrize(
    "version", ["latest", "LATEST", " Latest ", ".", "..", " . ", "", "  ", "a\rb", "a\nb", "a\tb"]
)
def test_release_case_04_a_reserved_blank_or_broken_version_is_refused(version: str) -> None:
    assert broken_rules(version)


@pytest.mark.parametrize("version", ["a\fb", "a/b", "a\\b", "a\0b", "a\x7fb", "a\x1fb"])
def test_release_case_04_a_version_with_a_forbidden_character_is_refused(version: str) -> None:
    assert len(broken_rules(version)) == 1


@pytest.mark.parametrize("version", ["1.0", " 1.0", "pkg@1.0+1", "a b", "...", "latest1", "ünïcode", "a,b"])
def test_release_case_04_other_texts_are_versions(version: str) -> None:
    assert broken_rules(version) == []


def test_release_case_05_two_hundred_characters_are_the_limit() -> None:
    assert broken_rules("v" * 200) == []
    assert broken_rules("v" * 201) == [
        "must have at most 200 characters",
        "must have at most 200 bytes in UTF-8",
    ]


def test_release_case_05_so_are_two_hundred_bytes() -> None:
    assert broken_rules("ü" * 100) == []
    assert broken_rules("ü" * 101) == ["must have at most 200 bytes in UTF-8"]


def test_every_broken_rule_is_told() -> None:
    assert len(broken_rules("a/b\\c\n" + "d" * 200)) == 5


def test_release_case_06_a_package_a_version_a_prerelease_and_a_build_are_told_apart() -> None:
    assert parse_version("pkg@1.0rc1+20200101100") == VersionInfo(
        "pkg", 1, 0, 0, 0, "rc1", "20200101100", 20200101100, description="1.0rc1 (20200101100)"
    )


@pytest.mark.parametrize("build", ["whatever", "-2020", str(2**63), "1.2"])
def test_release_case_07_a_build_that_is_no_number_of_64_bits_keeps_its_text_only(build: str) -> None:
    info = parse_version(f"pkg@1.0+{build}")
    assert info is not None
    assert (info.build_code, info.build_number) == (build, None)


def test_release_case_08_a_number_beyond_64_bits_makes_the_version_unreadable() -> None:
    assert parse_version(f"pkg@{2**63}.0") is None
    assert parse_version(f"pkg@1.{2**65}") is None
    assert parse_version(f"pkg@{NUMBER_MAX}") is not None


@pytest.mark.parametrize(
    "version",
    [
        "hello world",
        "1.2.3",
        "pkg@1a1",
        "pkg@v1.0",
        "pkg@1.0RC1",
        "pkg@1.0.0-01",
        "pkg@1.2.3.4.5",
        "pkg@1@2",
        "@@1.0",
        "pkg@",
        "pkg@1.0+",
        "pkg@\u0661.\u0660",
    ],
)
def test_release_case_09_other_versions_have_no_numbers(version: str) -> None:
    assert parse_version(version) is None


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("pkg@1", VersionInfo("pkg", 1, 0, 0, 0, "", "", None)),
        ("@scope@01.002", VersionInfo("@scope", 1, 2, 0, 0, "", "", None)),
        ("pkg@1-a1", VersionInfo("pkg", 1, 0, 0, 0, "a1", "", None)),
        ("pkg@1.2.3.4-beta.1+x-y.z", VersionInfo("pkg", 1, 2, 3, 4, "beta.1", "x-y.z", None)),
        ("pkg@1.0dev", VersionInfo("pkg", 1, 0, 0, 0, "dev", "", None)),
        (" pkg@1.0 ", VersionInfo("pkg", 1, 0, 0, 0, "", "", None)),
        ("pkg@1.0+007", VersionInfo("pkg", 1, 0, 0, 0, "", "007", 7)),
    ],
)
def test_semantic_versions_are_read(version: str, expected: VersionInfo) -> None:
    assert parse_version(version) == replace(expected, description=describe(version))


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser_and_its_numbers_fit_64_bits(text: str) -> None:
    info = parse_version(f"pkg@{text}")
    broken_rules(text)
    if info is not None:
        assert all(0 <= number <= NUMBER_MAX for number in (info.major, info.minor, info.patch, info.revision))


numbers = st.lists(st.integers(min_value=0, max_value=NUMBER_MAX), min_size=1, max_size=4)


@given(numbers, st.from_regex(r"\A[a-z][a-z0-9]{0,5}\Z"), st.from_regex(r"\A[a-zA-Z0-9-]{1,8}\Z"))
def test_a_composed_version_comes_back_as_its_parts(parts: list[int], prerelease: str, build: str) -> None:
    info = parse_version(f"pkg@{'.'.join(map(str, parts))}-{prerelease}+{build}")
    assert info is not None
    assert [info.major, info.minor, info.patch, info.revision][: len(parts)] == parts
    assert (info.prerelease, info.build_code) == (prerelease, build)


@pytest.mark.parametrize("text", ["202001011200", "a1" * 20, "A" * 32, "0" * 12, "f" * 16, "9" * 20, "b" * 64])
def test_a_part_of_hexadecimal_digits_of_some_lengths_is_a_hash_without_numbers(text: str) -> None:
    info = parse_version(f"pkg@{text}")
    assert info == VersionInfo("pkg", 0, 0, 0, 0, "", "", None, build_hash=text, description=text[:12])
    assert parse_hash(f"pkg@{text}") == info
    assert rank(info) is None
    assert compare(f"pkg@{text}", f"pkg@{text}") is None


@pytest.mark.parametrize("text", ["a" * 11, "a" * 13, "a1" * 33, "1.0", "g" * 12])
def test_other_parts_are_no_hash(text: str) -> None:
    assert parse_hash(f"pkg@{text}") is None


@pytest.mark.parametrize(
    ("version", "description"),
    [
        ("pkg@1.0", "1.0"),
        ("@scope/x@1.2.3-rc1+7", "1.2.3-rc1 (7)"),
        ("pkg@1.0rc1+20200101100", "1.0rc1 (20200101100)"),
        ("pkg@1.0+" + "a1" * 20, f"1.0 ({'a1' * 6})"),
    ],
)
def test_a_version_is_described_as_people_write_it(version: str, description: str) -> None:
    assert describe(version) == description


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.0", "1.0.0.1"),
        ("1.2.3-alpha", "1.2.3-beta"),
        ("1.2.3-beta", "1.2.3"),
        ("1.2.3-rc10", "1.2.3-rc2"),
        ("1.9", "1.10"),
        ("1.0", "1.0+1"),
        ("1.0+2", "1.0+10"),
        ("1.0+99999999999999999998", "1.0+a"),
        ("1.0+10", "1.0+9a"),
    ],
)
def test_versions_have_an_order(low: str, high: str) -> None:
    assert compare(f"a@{low}", f"b@{high}") == -1
    assert compare(f"b@{high}", f"a@{low}") == 1


@pytest.mark.parametrize(
    ("one", "other"), [("1.0", "1.0.0"), ("1", "1.0.0.0"), ("1.0dev", "1.0.0-dev"), ("1+7", "1.0+007")]
)
def test_missing_numbers_are_zeros(one: str, other: str) -> None:
    assert compare(f"pkg@{one}", f"pkg@{other}") == 0


small = st.integers(min_value=0, max_value=2).map(str)
ordered = st.builds(
    lambda parts, prerelease, build: f"pkg@{'.'.join(parts)}{prerelease}{build}",
    st.lists(small, min_size=1, max_size=4),
    st.sampled_from(["", "-a", "-rc1", "-rc10", "-rc2", "-0"]),
    st.sampled_from(["", "+1", "+01", "+2", "+10", "+a", "+1a", "+99999999999999999999"]),
)


@given(ordered, ordered, ordered)
def test_the_order_is_total_antisymmetric_and_transitive(one: str, two: str, three: str) -> None:
    first, second = compare(one, two), compare(two, one)
    assert first is not None
    assert second is not None
    assert first == -second
    assert compare(one, one) == 0
    other, across = compare(two, three), compare(one, three)
    if first <= 0 and other is not None and other <= 0:
        assert across is not None
        assert across <= 0
        assert (across == 0) == (first == 0 and other == 0)
