"""Page tokens come back as they went, and nothing else passes."""

import base64
import string
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidArgument, InvalidPageToken
from shared.rpc.page_token import Position, decode, decode_number, encode, page_size, query_digest

QUERY = query_digest("organizations/1", "status:open", "date_added desc")
PARTS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.text(max_size=50).filter(lambda text: "\0" not in text),
    st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(PARTS, max_size=4).map(tuple))
def test_a_position_comes_back_as_it_went(position: Position) -> None:
    token = encode(position, QUERY)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")
    assert decode(token, QUERY) == position


def test_a_time_keeps_its_microseconds_and_its_moment() -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    (back,) = decode(encode((moment,), QUERY), QUERY)
    assert back == moment


def test_a_token_of_another_query_is_refused() -> None:
    token = encode((1, "a"), QUERY)
    with pytest.raises(InvalidPageToken) as caught:
        decode(token, query_digest("organizations/2", "status:open", "date_added desc"))
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


@given(st.integers(0, 200), st.sampled_from(string.ascii_letters + string.digits + "-_"))
def test_a_token_with_any_character_changed_is_refused(place: int, character: str) -> None:
    token = encode((2**62, "version-1.0", datetime(2026, 1, 1, tzinfo=UTC)), QUERY)
    place %= len(token) - 1  # the last character may hold padding bits that mean nothing
    changed = token[:place] + character + token[place + 1 :]
    if changed == token:
        assert decode(changed, QUERY)
        return
    with pytest.raises(InvalidPageToken):
        decode(changed, QUERY)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_no_other_text_is_taken_for_a_token(text: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode(text, QUERY)


@pytest.mark.parametrize("text", ["", "A", "x" * 10_000, "=" * 10, "\0", "ü"])
def test_broken_tokens_are_refused(text: str) -> None:
    with pytest.raises(InvalidPageToken):
        decode(text, QUERY)


def test_a_position_of_other_types_than_expected_is_refused() -> None:
    token = encode((1, "a"), QUERY)
    assert decode(token, QUERY, (int, str)) == (1, "a")
    for types in ((int,), (str, int), (int, datetime), (int, str, str)):
        with pytest.raises(InvalidPageToken):
            decode(token, QUERY, types)


def test_a_text_that_no_row_can_have_is_refused() -> None:
    with pytest.raises(InvalidPageToken):
        decode(encode((1, "a\0"), QUERY), QUERY, (int, str))


def test_page_sizes_are_defaulted_capped_and_never_negative() -> None:
    assert [page_size(requested) for requested in (0, 1, 1000, 1001)] == [50, 1, 1000, 1000]
    assert page_size(0, default=10) == 10
    with pytest.raises(InvalidArgument) as caught:
        page_size(-1)
    assert caught.value.violations[0].field == "page_size"


def test_queries_with_other_parts_have_other_digests() -> None:
    assert query_digest("ab", "c") != query_digest("a", "bc")
    assert query_digest("a", 1) == query_digest("a", 1)


def test_a_list_by_one_number_begins_without_a_token() -> None:
    assert decode_number("", QUERY) is None
    assert decode_number(encode((7,), QUERY), QUERY) == 7
    for other in ((), ("7",), (7, 8)):
        with pytest.raises(InvalidPageToken):
            decode_number(encode(other, QUERY), QUERY)
