"""Which short names are made from longer ones, and which words are kept for the product's own pages.

A made slug is lower case ASCII letters, digits and single hyphens, begins and ends with a letter or digit, and never
consists of digits only: a number in a resource name is an id. Nothing here knows whether a slug is taken; the unique
keys decide that.
"""

import re
import unicodedata
from collections.abc import Iterator
from random import Random

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
ORGANIZATION_LENGTH_MAX = 30
PROJECT_LENGTH_MAX = 50
ATTEMPTS_MAX = 27
RANDOM_LENGTH = 12

_ORGANIZATION_WORDS = """
    404 500 about accept accept-transfer account admin api api-0 app ask auth auth-token avatar billing blog
    branding careers cell chat checkout community contact control corp customers dashboard de debug demo docs domains eu
    events extensions features from-error-to-resolved group guides help import index integration-setup
    integrations invite is issues ja jobs join legal login logout lost-password mail manage merchandise my
    new news onboarding operate organization organization-avatar organizations out partners payments
    plans press pricing privacy product project-avatar projects quotas receive region register
    release releases remote robots rules security sentry-app-avatar service settings share siloway sitemap
    sso static status stories subscribe subscription support team team-avatar teams terms tos trust
    unsubscribe us users vs welcome www au1 sa1
"""
_PROJECT_WORDS = """
    $all api-keys audit-log auth members projects rate-limits repos settings teams billing payments legal subscription
    support integrations developer-settings usage
"""
ORGANIZATION_RESERVED = frozenset(_ORGANIZATION_WORDS.split())
PROJECT_RESERVED = frozenset(_PROJECT_WORDS.split())

_DROPPED = re.compile(r"[^a-z0-9 -]")
_RUN = re.compile(r"[ -]+")
_PLAIN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def is_numeric(slug: str) -> bool:
    """Whether it reads as an id: ASCII digits only."""
    return slug.isascii() and slug.isdigit()


def is_reserved(slug: str, reserved: frozenset[str]) -> bool:
    """Whether the word, in any case, is kept for the product's own pages."""
    return slug.lower() in reserved


def base_slug(text: str, length_max: int, reserved: frozenset[str] = frozenset()) -> str:
    """The slug that a text suggests, at most `length_max` long; empty when nothing is left or the word is reserved.

    It may consist of digits only; `candidates` never offers such a one without a suffix. Rule: spec hybrid.md 2.5.
    """
    plain = text if _PLAIN.fullmatch(text) else _made_plain(text)
    slug = plain[:length_max].strip("-")
    return "" if is_reserved(slug, reserved) else slug


def _made_plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.replace("_", "-")).encode("ascii", "ignore").decode("ascii").lower()
    spaced = re.sub(r"\s", " ", folded)
    return _RUN.sub("-", _DROPPED.sub("", spaced)).strip("-")


def random_slug(random: Random) -> str:
    """Twelve hexadecimal digits, not all of them decimal."""
    while True:
        slug = "".join(random.choices("0123456789abcdef", k=RANDOM_LENGTH))
        if not is_numeric(slug):
            return slug


def suffixed(base: str, length_max: int, n: int, random: Random) -> str:
    """The base with a random tail for the n-th attempt (from 1), together at most `length_max`.

    Tails have 2 characters once, 3 five times, 5 twenty times, then 12.
    """
    length = 2 if n <= 1 else 3 if n <= 6 else 5 if n <= 26 else 12
    tail = "".join(random.choices(ALPHABET, k=length))
    head = base[: length_max - length - 1].rstrip("-")
    return f"{head}-{tail}" if head else f"x-{tail}"[:length_max]


def candidates(text: str, length_max: int, reserved: frozenset[str], random: Random) -> Iterator[str]:
    """The slugs to try for a text, in order, `ATTEMPTS_MAX + 1` at most: the plain one, then ones with a random tail.

    A text without a usable slug starts from a random one; one of digits only is offered with a tail only.
    """
    base = base_slug(text, length_max, reserved) or random_slug(random)
    if not is_numeric(base):
        yield base
    for n in range(1, ATTEMPTS_MAX + 1):
        yield suffixed(base, length_max, n, random)
