"""What is said about a slug before anybody asks for it."""

import pytest

from control_silo.slugs.checking import check_slug
from control_silo.slugs.rules import Availability, Checked
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.integration.provisioning.asking import ask, id_of, made, renamed

pytestmark = pytest.mark.integration


def checked(silos: Silos, slug: str) -> Checked:
    return silos.control.read(lambda transaction: check_slug(transaction, slug))


def test_a_free_slug_is_free_and_stays_so(silos: Silos) -> None:
    assert checked(silos, "Acme") == Checked("acme", Availability.FREE, "", ())
    assert checked(silos, "a" * 50).availability is Availability.FREE


@pytest.mark.parametrize(
    ("slug", "availability", "first"),
    [
        ("API", Availability.RESERVED_WORD, "api-"),
        ("us", Availability.RESERVED_WORD, "us-"),
        ("My Org", Availability.INVALID, "my-org"),
        ("a_b", Availability.INVALID, "a-b"),
        ("123", Availability.INVALID, "123-"),
        ("x" * 51, Availability.INVALID, "x" * 30),
        ("--", Availability.INVALID, ""),
        ("", Availability.INVALID, ""),
    ],
)
def test_what_cannot_be_had_is_told_with_three_that_can(
    silos: Silos, slug: str, availability: Availability, first: str
) -> None:
    answer = checked(silos, slug)
    assert answer.availability is availability
    assert answer.reason
    assert len(set(answer.suggestions)) == 3
    assert answer.suggestions[0].startswith(first)
    assert all(checked(silos, each).availability is Availability.FREE for each in answer.suggestions)


def test_held_taken_and_redirected_slugs_are_told_apart_from_free_ones(silos: Silos, clock: FakeClock) -> None:
    ask(silos)
    assert checked(silos, "acme").availability is Availability.HELD
    silos.drain()
    answer = checked(silos, "ACME")
    assert answer.availability is Availability.TAKEN
    assert all(slug.startswith("acme-") for slug in answer.suggestions)
    other = id_of(made(silos, slug="other"))
    renamed(silos, other, "fresh", redirect_ttl_s=60)
    assert checked(silos, "other").availability is Availability.TAKEN
    clock.advance(60)
    assert checked(silos, "other").availability is Availability.FREE
