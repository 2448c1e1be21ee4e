"""Which issues a text fixes: examples, arbitrary texts, and texts that are made to be slow to read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from region_silo.issues.mentions import MENTIONS_MAX, ShortId, fixed_issues, parse_short_id, to_digits


def told(text: str) -> list[str]:
    return [str(short_id) for short_id in fixed_issues(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fixes WEB-1", ["WEB-1"]),
        ("FIXED: web-1a", ["WEB-1A"]),
        ("fix WEB-1, WEB-2 and API-3", ["WEB-1", "WEB-2", "API-3"]),
        ("Closes WEB-1.", ["WEB-1"]),
        ("close web-1\nresolved: my-app-Z", ["WEB-1", "MY-APP-Z"]),
        ("this resolves\n  WEB-1", ["WEB-1"]),
        ("resolve [WEB-1](https://tracker/WEB-2), WEB-3", ["WEB-1", "WEB-3"]),
        ("fixes WEB-1 WEB-1", ["WEB-1"]),
        ("prefix WEB-1", []),
        ("fixture WEB-1", []),
        ("see WEB-1", []),
        ("fixes nothing\n\nWEB-1 is another matter", []),
        ("fixes (WEB-1)", []),
        ("fixes WEB-1I", []),
        ("fixes WEB-", []),
        ("fixes -1", []),
        ("fixes: WEB-1: done, WEB-2", ["WEB-1"]),
        ("", []),
    ],
)
def test_a_keyword_counts_for_the_short_ids_behind_it(text: str, found: list[str]) -> None:
    assert told(text) == found


@given(st.integers(1, 2**63 - 1), st.sampled_from(["web", "my-app", "a_b", "9x"]))
def test_a_short_id_is_read_as_it_is_written(number: int, slug: str) -> None:
    short_id = ShortId(slug, number)
    assert parse_short_id(str(short_id)) == short_id
    assert parse_short_id(str(short_id).lower()) == short_id
    assert fixed_issues(f"Fixes: {short_id}.") == (short_id,)
    assert to_digits(number)[0] != "0"


@given(st.text(max_size=300))
def test_no_text_is_refused(text: str) -> None:
    for short_id in fixed_issues(text):
        assert short_id.number > 0


@given(st.lists(st.sampled_from(["fixes ", "WEB-1", "[", "](", ")", "\n", " ", ",", "closes:", "x"]), max_size=60))
def test_texts_of_its_own_signs_are_read_too(parts: list[str]) -> None:
    found = told("".join(parts))
    assert len(found) == len(set(found))
    if not {"fixes ", "closes:"} & set(parts):
        assert found == []


def test_one_text_fixes_a_bounded_number_of_issues() -> None:
    text = "fixes " + " ".join(f"WEB-{to_digits(number)}" for number in range(1, 1000))
    assert len(fixed_issues(text)) == MENTIONS_MAX


@pytest.mark.parametrize(
    "piece", ["fix ", "fixes:", "[", "[a](", "](", "fix\t", " ", "\n \n", "-", "fixes WEB-", "[x](y)", "a-", "\n"]
)
def test_time_grows_with_the_length_of_a_hostile_text_only(piece: str) -> None:
    def seconds(length: int) -> float:
        text = "fix " + piece * (length // len(piece))
        best = 9.0
        for _ in range(3):
            start = time.perf_counter()
            fixed_issues(text)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(400_000) < 0.5 + 40 * seconds(40_000)
