"""Made slugs keep their alphabet and length whatever the text."""

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import slugs

SLUG = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acme Corporation", "acme-corporation"),
        ("__under_score__", "under-score"),
        ("Ünïcödé  --  Läden", "unicode-laden"),
        ("日本", ""),
        ("a" * 29 + " b", "a" * 29),
        ("2024", "2024"),
        ("tab\there", "tab-here"),
    ],
)
def test_a_text_suggests_its_plain_slug(text: str, expected: str) -> None:
    assert slugs.base_slug(text, 30) == expected


def test_a_reserved_word_suggests_nothing() -> None:
    assert slugs.base_slug("Settings", 50, slugs.PROJECT_RESERVED) == ""


@given(st.text(max_size=80), st.integers(min_value=0), st.sampled_from([30, 50]))
def test_every_candidate_is_a_slug_of_the_allowed_length(text: str, seed: int, length_max: int) -> None:
    offered = list(slugs.candidates(text, length_max, slugs.ORGANIZATION_RESERVED, Random(seed)))
    assert len(offered) in {27, 28}
    for slug in offered:
        assert SLUG.match(slug)
        assert len(slug) <= length_max
        assert not slugs.is_numeric(slug)
        assert not slugs.is_reserved(slug, slugs.ORGANIZATION_RESERVED)


def test_the_alphabet_has_every_letter_and_digit_once() -> None:
    assert len(slugs.ALPHABET) == len(set(slugs.ALPHABET)) == 36
