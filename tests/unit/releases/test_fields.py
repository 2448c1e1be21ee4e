"""A mask chooses fields; what it does not name stays, what it names without a value is cleared."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.releases.domain import (
    MUTABLE_PATHS,
    ReleaseFields,
    ReleaseState,
    apply_fields,
    changed_paths,
    check_new_release,
    is_url,
)
from shared.errors import InvalidArgument, InvalidUpdateMask

FULL = ReleaseFields("main", "https://example.com/1", datetime(2026, 1, 1, tzinfo=UTC), ReleaseState.ARCHIVED, owner=7)
EMPTY = ReleaseFields(state=ReleaseState.OPEN)


def test_without_a_mask_the_fields_with_a_value_change() -> None:
    assert changed_paths(ReleaseFields(ref="x"), None) == {"ref"}
    assert changed_paths(ReleaseFields(), []) == frozenset()
    assert changed_paths(FULL, None) == set(MUTABLE_PATHS)


def test_without_a_mask_a_release_can_be_re_opened() -> None:
    assert changed_paths(ReleaseFields(state=ReleaseState.OPEN), None) == {"state"}


def test_a_star_clears_what_has_no_value() -> None:
    paths = changed_paths(ReleaseFields(), ["*"])
    assert apply_fields(FULL, ReleaseFields(), paths) == EMPTY


@pytest.mark.parametrize("path", ["version", "uid", "commits", "release_time.seconds", "", "Ref"])
def test_a_path_that_cannot_change_is_refused_with_its_index(path: str) -> None:
    with pytest.raises(InvalidUpdateMask) as refused:
        changed_paths(FULL, ["ref", path])
    assert refused.value.violations[0].field == "update_mask.paths[1]"
    assert repr(path) in refused.value.violations[0].description


def test_values_outside_of_the_mask_are_not_looked_at() -> None:
    assert changed_paths(ReleaseFields(ref="x", url="no url"), ["ref"]) == {"ref"}
    with pytest.raises(InvalidArgument):
        changed_paths(ReleaseFields(ref="x", url="no url"), ["url"])


fields = st.builds(
    ReleaseFields,
    ref=st.sampled_from(["", "main", "v1"]),
    url=st.sampled_from(["", "http://a.example"]),
    release_time=st.none() | st.datetimes(timezones=st.just(UTC)),
    state=st.sampled_from(ReleaseState),
)


@given(fields, fields, st.sets(st.sampled_from(MUTABLE_PATHS), min_size=1))
def test_exactly_the_named_fields_change(current: ReleaseFields, wanted: ReleaseFields, mask: set[str]) -> None:
    after = apply_fields(current, wanted, changed_paths(wanted, sorted(mask)))
    for path in MUTABLE_PATHS:
        assert getattr(after, path) == getattr(wanted if path in mask else current, path)


@pytest.mark.parametrize("text", ["https://example.com", "HTTP://a/b?c=d#e", "http://[::1]:80/"])
def test_http_addresses_are_urls(text: str) -> None:
    assert is_url(text)


@pytest.mark.parametrize(
    "text", ["ftp://a", "example.com", "https://", "http://[::1", "https://a b", "https://a\0", "//a"]
)
def test_other_texts_are_not(text: str) -> None:
    assert not is_url(text)


def test_all_broken_rules_of_a_new_release_are_told_together() -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_new_release("a/b\n", ReleaseFields(url="nowhere"))
    assert [violation.field for violation in refused.value.violations] == [
        "release.version",
        "release.version",
        "release.url",
    ]
