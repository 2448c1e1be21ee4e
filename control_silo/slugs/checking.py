"""Whether a slug can be had just now, and what could be had instead. Nothing is held by asking."""

from collections.abc import Sequence
from random import Random, SystemRandom

from control_silo.slugs import rules, store
from control_silo.slugs.domain import ReservationState
from control_silo.slugs.rules import Availability, Checked
from control_silo.slugs.usecases import reserved_words
from shared.database import Transaction
from shared.errors import InvalidArgument, ServiceError, SlugHeld, SlugTaken

_RANDOM = SystemRandom()
_RETRY_S = 1.0


def check_slug(transaction: Transaction, text: str, *, random: Random = _RANDOM) -> Checked:
    """What stands in the way of having this slug, with free ones besides when something does."""
    slug = text.lower()
    reserved = reserved_words(transaction)
    availability, reason = _availability(transaction, slug, reserved)
    if availability is Availability.FREE:
        return Checked(slug, availability, "", ())
    return Checked(slug, availability, reason, tuple(suggestions(transaction, slug, reserved, random)))


def suggestions(transaction: Transaction, slug: str, reserved: frozenset[str], random: Random) -> Sequence[str]:
    """Up to three free slugs that resemble one."""
    candidates = rules.candidates(slug, reserved, random)
    taken = store.find_taken(transaction, candidates)
    return [candidate for candidate in candidates if candidate not in taken][: rules.SUGGESTIONS_MAX]


def check_exact(transaction: Transaction, text: str) -> str:
    """The case-folded slug of a wish to the letter. Raises InvalidArgument of `slug`; whether it is free is not
    looked at.
    """
    slug = text.lower()
    fault = rules.fault_of(slug)
    if fault:
        raise InvalidArgument.of("slug", fault)
    if slug in reserved_words(transaction):
        raise InvalidArgument.of("slug", Availability.RESERVED_WORD.value)
    return slug


def refusal_of(transaction: Transaction, slug: str, random: Random = _RANDOM) -> ServiceError:
    """Why a slug could not be held: taken for long, or held for a moment."""
    found = store.find(transaction, slug)
    if found is None or found.state is ReservationState.HELD:
        return SlugHeld(metadata={"slug": slug}, retry_after_s=_RETRY_S)
    free = suggestions(transaction, slug, reserved_words(transaction), random)
    return SlugTaken(metadata={"slug": slug, "suggestions": ",".join(free)})


def _availability(transaction: Transaction, slug: str, reserved: frozenset[str]) -> tuple[Availability, str]:
    fault = rules.fault_of(slug)
    if fault:
        return Availability.INVALID, fault
    if slug in reserved:
        return Availability.RESERVED_WORD, Availability.RESERVED_WORD.value
    found = store.find(transaction, slug)
    if found is None or found.is_over(transaction.now):
        return Availability.FREE, ""
    if found.state is ReservationState.QUARANTINED:
        return (Availability.HELD, rules.IN_PLAN) if found.holder else (Availability.TAKEN, rules.IN_QUARANTINE)
    availability = Availability.HELD if found.state is ReservationState.HELD else Availability.TAKEN
    return availability, availability.value
