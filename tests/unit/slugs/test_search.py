"""The rounds in which organizations find distinct free slugs."""

from random import Random

import pytest

from control_silo.slugs.domain import LENGTH_MAX, Search, Seeker
from shared.errors import Aborted
from shared.slugs import ORGANIZATION_RESERVED


def seek(*texts: str, taken: frozenset[str] = frozenset(), seed: int = 1) -> dict[int, str]:
    """The slugs that organizations 1.. get; `taken` are others'."""
    random = Random(seed)
    search = Search([Seeker(place, text, 1, random) for place, text in enumerate(texts, start=1)])
    while offers := search.offers():
        assert offers == sorted(offers, key=lambda offer: offer[0])
        search.settle(offers, frozenset(slug for slug, _ in offers if slug not in taken))
    return {seeker.organization_id: slug for slug, seeker in search.won.items()}


def test_first_of_the_set_gets_the_plain_slug_and_the_others_a_suffix() -> None:
    won = seek("acme", "ACME", "acme!", "other")
    assert won[1] == "acme"
    assert won[4] == "other"
    assert len(set(won.values())) == 4
    assert all(won[place].startswith("acme-") for place in (2, 3))


def test_taken_slug_is_left_to_its_holder() -> None:
    won = seek("acme", taken=frozenset({"acme"}))
    assert won[1].startswith("acme-")
    assert len(won[1]) == len("acme-") + 2


@pytest.mark.parametrize("word", sorted(ORGANIZATION_RESERVED)[:20])
def test_reserved_words_are_never_offered(word: str) -> None:
    assert seek(word)[1] not in ORGANIZATION_RESERVED


def test_slugs_stay_within_their_length_and_are_no_numbers() -> None:
    won = seek("a" * 45, "a" * 45, "123456", "123456")
    assert all(len(slug) <= LENGTH_MAX for slug in won.values())
    assert not any(slug.isdigit() for slug in won.values())


def test_after_a_clash_the_clashing_slug_is_out() -> None:
    search = Search([Seeker.again(1, "acme", 2, Random(3))])
    ((slug, seeker),) = search.offers()
    assert slug.startswith("acme-")
    assert seeker.fence_version == 2


def test_search_without_end_is_given_up() -> None:
    search = Search([Seeker(1, "acme", 1, Random(1))])
    for _ in range(28):
        search.settle(search.offers(), frozenset())
    with pytest.raises(Aborted):
        search.offers()


@pytest.mark.parametrize("seed", range(50))
def test_every_seeker_gets_a_slug_of_its_own(seed: int) -> None:
    random = Random(seed)
    texts = [random.choice(["acme", "api", "7", "", "b" * 40]) for _ in range(30)]
    won = seek(*texts, taken=frozenset(random.sample(["acme", "x", "b" * 30], 2)), seed=seed)
    assert len(set(won.values())) == len(texts)
