"""Which texts are versions, and what the one parser reads in them. Numbers are those of the acceptance cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.releases.versions import NUMBER_MAX, VersionInfo, broken_rules, parse_version


@pytest.mark.parametrize(
    "version", ["latest", "LATEST", " Latest ", ".", "..", " . ", "", "  ", "a\rb", "a\nb", "a\tb"]
)
def test_case_04_a_reserved_blank_or_broken_version_is_refused(version: str) -> None:
    assert broken_rules(version)


@pytest.mark.parametrize("version", ["a\fb", "a/b", "a\\b", "a\0b", "a\x7fb", "a\x1fb"])
def test_case_04_a_version_with_a_forbidden_character_is_refused(version: str) -> None:
    assert len(broken_rules(version)) == 1


@pytest.mark.parametrize("version", ["1.0", " 1.0", "pkg@1.0+1", "a b", "...", "latest1", "ünïcode", "a,b"])
def test_case_04_other_texts_are_versions(version: str) -> None:
    assert broken_rules(version) == []


def test_case_05_two_hundred_characters_are_the_limit() -> None:
    assert broken_rules("v" * 200) == []
    assert broken_rules("v" * 201) == [
        "must have at most 200 characters",
        "must have at most 200 bytes in UTF-8",
    ]


def test_case_05_so_are_two_hundred_bytes() -> None:
    assert broken_rules("ü" * 100) == []
    assert broken_rules("ü" * 101) == ["must have at most 200 bytes in UTF-8"]


def test_every_broken_rule_is_told() -> None:
    assert len(broken_rules("a/b\\c\n" + "d" * 200)) == 5


def test_case_06_a_package_a_version_a_prerelease_and_a_build_are_told_apart() -> None:
    assert parse_version("pkg@1.0rc1+20200101100") == VersionInfo("pkg", 1, 0, 0, 0, "rc1", "20200101100", 20200101100)


@pytest.mark.parametrize("build", ["whatever", "-2020", str(2**63), "1.2"])
def test_case_07_a_build_that_is_no_number_of_64_bits_keeps_its_text_only(build: str) -> None:
    info = parse_version(f"pkg@1.0+{build}")
    assert info is not None
    assert (info.build_code, info.build_number) == (build, None)


def test_case_08_a_number_beyond_64_bits_makes_the_version_unreadable() -> None:
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
        "pkg@202001011200",
        "pkg@" + "a1" * 20,
        "pkg@" + "A" * 32,
        "pkg@1@2",
        "@@1.0",
        "pkg@",
        "pkg@1.0+",
        "pkg@\u0661.\u0660",
    ],
)
def test_case_09_other_versions_have_no_numbers(version: str) -> None:
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
    assert parse_version(version) == expected


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
