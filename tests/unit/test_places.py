"""Places are had by so many at a time, and come back however the work ends."""

import pytest

from shared.errors import ResourceExhausted
from shared.places import Places


def test_who_finds_no_place_is_told_when_to_come_again() -> None:
    places = Places(2, doing="verify", again_s=3.0)
    with places.taken(), places.taken(), pytest.raises(ResourceExhausted) as caught, places.taken():
        raise AssertionError("there are only two")
    assert (caught.value.metadata, caught.value.retry_after_s) == ({"limit": "2"}, 3.0)
    assert "2 verify already" in str(caught.value)
    assert places.in_use == 0


def test_a_place_comes_back_from_work_that_fails() -> None:
    places = Places(1, doing="verify", again_s=3.0)
    for _ in range(2):
        with pytest.raises(KeyError), places.taken():
            raise KeyError
    assert places.in_use == 0
