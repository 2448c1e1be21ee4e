"""Which issues a text says that it fixes: the one parser for messages of commits and texts of pull requests.

A text of n characters takes time in the order of n, whatever it holds. Source: spec/releases.md 2.9 ("fixes SHORT").
"""

import re
from dataclasses import dataclass

MENTIONS_MAX = 100
"""The most issues that one text can fix; further ones are not read."""

_NUMBER_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without the letters that look like digits, I, L and O, and without U."""

_NUMBER_MAX = 2**63 - 1
_NUMBER_LENGTH_MAX = 13
_SLUG_LENGTH_MAX = 64
_VALUES = {digit: value for value, digit in enumerate(_NUMBER_DIGITS)}
_VALUES |= {digit.lower(): value for digit, value in _VALUES.items()}

_KEYWORDS = frozenset({"fix", "fixes", "fixed", "close", "closes", "closed", "resolve", "resolves", "resolved"})
# None of these looks back over what it has passed.
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()\s]*\)")
_PARAGRAPHS = re.compile(r"\n[ \t\r]*\n")
_TOKENS = re.compile(r"([\w-]+)|([\s,]+)|(:)|(.)", re.ASCII)
_SLUG = re.compile(r"[a-z0-9_][a-z0-9_-]*")


@dataclass(frozen=True, slots=True, order=True)
class ShortId:
    """What people call an issue: its project's slug, in lower case, and its number there."""

    slug: str
    number: int

    def __str__(self) -> str:
        return f"{self.slug.upper()}-{to_digits(self.number)}"


def to_digits(number: int) -> str:
    """A number above zero to the base of 32."""
    digits = ""
    while number:
        number, rest = divmod(number, 32)
        digits = _NUMBER_DIGITS[rest] + digits
    return digits


def parse_short_id(text: str) -> ShortId | None:
    """The short id that a text is, in any case; None for another text."""
    slug, dash, digits = text.rpartition("-")
    if not dash or not 0 < len(digits) <= _NUMBER_LENGTH_MAX or len(slug) > _SLUG_LENGTH_MAX:
        return None
    number = 0
    for digit in digits:
        value = _VALUES.get(digit)
        if value is None:
            return None
        number = number * 32 + value
    slug = slug.lower()
    if not 0 < number <= _NUMBER_MAX or not slug.isascii() or _SLUG.fullmatch(slug) is None:
        return None
    return ShortId(slug, number)


def fixed_issues(text: str) -> tuple[ShortId, ...]:
    """The issues that the text fixes, closes or resolves, each once, in its order, be they there or not.

    A keyword (fix, fixes, fixed, close, closes, closed, resolve, resolves, resolved, in any case, with or without a
    colon) counts for the short ids that follow it among blanks, commas and words, up to another sign or the end of the
    paragraph. A Markdown link stands for its text.
    """
    found: dict[ShortId, None] = {}
    for paragraph in _PARAGRAPHS.split(_LINK.sub(r"\1", text)):
        is_listing = is_after_keyword = False
        for word, blank, colon, _ in _TOKENS.findall(paragraph):
            if word.lower() in _KEYWORDS:
                is_listing = is_after_keyword = True
                continue
            is_listing = is_listing and (bool(word or blank) or (bool(colon) and is_after_keyword))
            is_after_keyword = False
            short_id = parse_short_id(word) if is_listing else None
            if short_id is not None:
                found[short_id] = None
                if len(found) == MENTIONS_MAX:
                    return tuple(found)
    return tuple(found)
