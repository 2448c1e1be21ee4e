"""What a list of commits means. Numbers are those of the acceptance cases."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.releases.commits import (
    Author,
    CommitSpec,
    FileChange,
    author_of,
    check_commits,
    default_repository,
    normalise,
    time_us,
)
from shared.errors import InvalidArgument

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def keys(specs: list[CommitSpec]) -> list[str]:
    return [commit.key for commit in normalise(specs, "repo")]


def test_release_case_31_a_commit_that_asks_to_be_skipped_is_left_out() -> None:
    specs = [CommitSpec("a"), CommitSpec("b", message="fix #skipsentry now"), CommitSpec("c", message="#SKIPSENTRY")]
    assert keys(specs) == ["a", "c"]


def test_release_case_32_without_times_the_given_order_stays() -> None:
    assert keys([CommitSpec("b"), CommitSpec("a"), CommitSpec("c")]) == ["b", "a", "c"]


def test_release_case_33_the_newest_comes_first_and_those_without_a_time_last() -> None:
    specs = [
        CommitSpec("x"),
        CommitSpec("old", commit_time_us=time_us(NOON)),
        CommitSpec("new", commit_time_us=time_us(NOON + timedelta(hours=1))),
        CommitSpec("y"),
    ]
    assert keys(specs) == ["new", "old", "x", "y"]


def test_duplicates_of_one_repository_and_key_collapse_to_the_first() -> None:
    specs = [CommitSpec("a", message="first"), CommitSpec("a", message="second"), CommitSpec("a", repository="other")]
    commits = normalise(specs, "repo")
    assert [(commit.repository, commit.message) for commit in commits] == [("repo", "first"), ("other", None)]


def test_release_case_36_addresses_are_lower_case() -> None:
    assert (
        author_of("Foo", "Foo@Example.com") == author_of("Foo", "foo@example.com") == Author("foo@example.com", "Foo")
    )


def test_release_case_37_addresses_of_two_hundred_characters_stay_whole() -> None:
    address = "a" * 188 + "@example.com"
    assert author_of("", address) == Author(address, None)


def test_release_case_37_addresses_that_grow_when_lowered_stay_apart() -> None:
    first = author_of("", "İ" * 200)
    second = author_of("", "İ" * 199 + "I")
    assert first is not None
    assert second is not None
    assert first.email != second.email
    assert len(first.email) == len(second.email) == 200


def test_release_case_38_a_name_alone_makes_a_local_address() -> None:
    assert author_of("Jane D. O'Neil_2", "") == Author("janed.oneil_2@localhost", "Jane D. O'Neil_2")


def test_release_case_38_names_of_other_scripts_stay_different_people() -> None:
    first, second = author_of("李", ""), author_of("王", "")
    assert first is not None
    assert second is not None
    assert first.email != second.email


def test_a_blank_address_is_no_author_and_nobody_is_nobody() -> None:
    assert author_of("Jane", "  ") is None
    assert author_of("  ", "") is None


def test_release_case_39_a_commit_without_repository_is_of_the_default_one() -> None:
    commits = normalise([CommitSpec("a"), CommitSpec("b", repository="  ")], default_repository(7))
    assert {commit.repository for commit in commits} == {"organization-7"}


def test_a_text_that_cannot_be_stored_is_told_with_its_index() -> None:
    specs = [
        CommitSpec("a"),
        CommitSpec(" ", message="x\0", files=(FileChange("ok", "A"), FileChange("\0", "M"))),
    ]
    with pytest.raises(InvalidArgument) as refused:
        check_commits(specs, "commits.commits")
    assert [violation.field for violation in refused.value.violations] == [
        "commits.commits[1].id",
        "commits.commits[1].message",
        "commits.commits[1].patch_set[1].path",
    ]


times = st.none() | st.datetimes(timezones=st.just(UTC)).map(time_us)
specs_lists = st.lists(
    st.builds(
        CommitSpec,
        key=st.sampled_from("abcdef"),
        repository=st.sampled_from(["", "one", "two"]),
        message=st.sampled_from(["", "text", "#skipsentry"]),
        commit_time_us=times,
    ),
    max_size=20,
)


@given(specs_lists)
def test_normalising_orders_by_time_and_never_repeats_a_commit(specs: list[CommitSpec]) -> None:
    commits = normalise(specs, "repo")
    told = [commit.commit_time_us for commit in commits]
    timed = [time for time in told if time is not None]
    assert timed == sorted(timed, reverse=True)
    assert told[: len(timed)] == timed
    identities = [(commit.repository, commit.key) for commit in commits]
    assert len(set(identities)) == len(identities)
    expected = {(spec.repository or "repo", spec.key) for spec in specs if "#skipsentry" not in spec.message}
    assert set(identities) == expected
