"""Which slugs an organization may be given to the letter, and which to try when one is not to be had.

Letters, digits and hyphens, case-folded; begins and ends with a letter or digit; not all digits, for a number in a
resource name is an id. What is made from a text is shorter, so that there is room for a suffix.
"""

import re
from enum import Enum
from random import Random
from typing import NamedTuple

from shared import slugs

EXACT_LENGTH_MAX = 50
SUGGESTIONS_MAX = 3
IN_QUARANTINE = "an organization that was deleted had it, and it rests for a while"
IN_PLAN = "the plan of an import holds it for a while"

_CANDIDATES = 12
_EXACT = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class Availability(Enum):
    """What stands in the way of having a slug."""

    FREE = "free"
    TAKEN = "an organization has it, or it still leads to one"
    HELD = "a request that has not finished holds it"
    RESERVED_WORD = "the word is kept for the product, or is the name of a region"
    INVALID = "no slug can read like that"


class Checked(NamedTuple):
    """The answer about one slug; `reason` is empty for a free one."""

    slug: str
    availability: Availability
    reason: str
    suggestions: tuple[str, ...]


def fault_of(slug: str) -> str:
    """Why a case-folded text can be nobody's slug to the letter; empty when it can. Rule: spec/hybrid.md 2.5."""
    if not slug:
        return "must not be empty"
    if len(slug) > EXACT_LENGTH_MAX:
        return f"must have at most {EXACT_LENGTH_MAX} characters"
    if slugs.is_numeric(slug):
        return "must not consist of digits only"
    if not _EXACT.fullmatch(slug):
        return "must consist of letters a to z, digits and hyphens, and begin and end with a letter or digit"
    return ""


def candidates(text: str, reserved: frozenset[str], random: Random) -> list[str]:
    """Slugs that resemble the text, best first: what to look up before suggesting."""
    base = slugs.base_slug(text, slugs.ORGANIZATION_LENGTH_MAX) or slugs.random_slug(random)
    plain = [] if base in reserved or slugs.is_numeric(base) else [base]
    tails = (slugs.suffixed(base, slugs.ORGANIZATION_LENGTH_MAX, n, random) for n in range(1, _CANDIDATES))
    return [*plain, *dict.fromkeys(slug for slug in tails if slug not in reserved)]
