"""The language in which a list of releases is asked for: a text becomes a few terms, or is refused saying why.

    query := term*            term := text | ["!"] key ":" [operator] value
    value := word | "quoted" | "[" value ("," value)* "]"

Terms hold all at once. Text without a key is looked for in the version; words side by side are one text. One pass over
the characters, no backtracking: the time grows with the length only. Rules: spec/releases.md 2.6.
"""

from dataclasses import dataclass

from region_silo.releases.versions import NUMBER_MAX
from shared.errors import InvalidArgument, QueryTooLarge

TERMS_MAX = 20
VALUES_MAX = 100

TEXT = ""
FINALIZED = "finalized"
RELEASE = "release"
VERSION = "release.version"
PACKAGE = "release.package"
STAGE = "release.stage"
BUILD = "release.build"
LATEST = "latest"
STAGES = ("low_adoption", "adopted", "replaced")

_FIELD = "query"
_COMPARING = ("<=", ">=", "<", ">")
_OPERATORS = ("!=", *_COMPARING, "=")
_KEYS = {
    FINALIZED: ("=", "!="),
    RELEASE: ("=", "!="),
    VERSION: ("=", "!=", *_COMPARING),
    PACKAGE: ("=", "!="),
    STAGE: ("=", "!="),
    BUILD: ("=", "!=", *_COMPARING),
}


@dataclass(frozen=True)
class Term:
    """What must hold of a release: its `key` stands to one of the values as `operator` says.

    `operator` is "=", "<", "<=", ">" or ">="; `negated` turns the whole around. Only "=" has more than one value.
    """

    key: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False


def parse_query(text: str) -> tuple[Term, ...]:
    """The terms of a query, in order; texts without a key have the key TEXT.

    Raises InvalidArgument and QueryTooLarge of `query`.
    """
    reader = _Reader(text)
    terms: list[Term] = []
    words: list[str] = []
    while reader.skip_blanks():
        key, negated = reader.key()
        if key is None:
            words.append(reader.quoted() if reader.at('"') else reader.word(" \t"))
            continue
        _add_text(terms, words)
        _add(terms, _keyed(reader, key, negated=negated))
    _add_text(terms, words)
    return tuple(terms)


def like_pattern(value: str) -> str:
    """The pattern of LIKE (escaped by a backslash) for a value in which "*" stands for any text."""
    return "".join("%" if part == "*" else f"\\{part}" if part in "%_\\" else part for part in value)


def build_number(value: str) -> int | None:
    """The number that a build is compared with, None where the value is compared as text."""
    digits = value.lstrip("0") or "0"
    if not (value.isascii() and value.isdigit()) or len(digits) > len(str(NUMBER_MAX)) or int(digits) > NUMBER_MAX:
        return None
    return int(digits)


class _Reader:
    """A place in the text that only moves on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def at(self, start: str) -> bool:
        return self._text.startswith(start, self._place)

    def skip_blanks(self) -> bool:
        """Move to the next character that is no blank; False at the end."""
        while self._place < len(self._text) and self._text[self._place].isspace():
            self._place += 1
        return self._place < len(self._text)

    def take(self, start: str) -> bool:
        """Move behind `start` when it is here."""
        if not self.at(start):
            return False
        self._place += len(start)
        return True

    def key(self) -> tuple[str | None, bool]:
        """Move behind a key and its colon; None, and no move, where there is none. Raises of an unknown key."""
        end = self._place + self.at("!")
        start = end
        while end < len(self._text) and (self._text[end].isalpha() or self._text[end] in "._"):
            end += 1
        if end == start or not self._text.startswith(":", end):
            return None, False
        name = self._text[start:end].lower()
        if name not in _KEYS:
            raise _invalid(f"{name!r} is none of {', '.join(_KEYS)}; put text with a colon in quotes")
        negated = start > self._place
        self._place = end + 1
        return name, negated

    def word(self, ends: str) -> str:
        """Move to the first of these characters, or to the end; what was passed."""
        start = self._place
        while self._place < len(self._text) and self._text[self._place] not in ends:
            self._place += 1
        return self._text[start : self._place]

    def quoted(self) -> str:
        """Move behind a quoted text, in which a backslash keeps the next character; the text."""
        parts: list[str] = []
        self._place += 1
        while self._place < len(self._text):
            character = self._text[self._place]
            self._place += 1
            if character == '"':
                return "".join(parts)
            if character == "\\" and self._place < len(self._text):
                character = self._text[self._place]
                self._place += 1
            parts.append(character)
        raise _invalid('a " has no end')

    def values(self) -> tuple[str, ...]:
        """Move behind one value or a list of them."""
        if not self.take("["):
            return (self.quoted() if self.at('"') else self.word(" \t"),)
        found: list[str] = []
        while True:
            self.skip_blanks()
            found.append(self.quoted() if self.at('"') else self.word(",]").rstrip())
            if len(found) > VALUES_MAX:
                raise _too_large(f"a list has at most {VALUES_MAX} values")
            self.skip_blanks()
            if self.take("]"):
                return tuple(found)
            if not self.take(","):
                raise _invalid("a [ has no end")


def _keyed(reader: _Reader, key: str, *, negated: bool) -> Term:
    operator = next((operator for operator in _OPERATORS if reader.take(operator)), "=")
    if operator not in _KEYS[key]:
        raise _invalid(f"{key} knows {' '.join(_KEYS[key])} only")
    is_list = reader.at("[")
    values = reader.values()
    if operator in _COMPARING and is_list:
        raise _invalid(f"{key}: a list goes with = and != only")
    negated ^= operator == "!="
    operator = "=" if operator == "!=" else operator
    return Term(key, operator, tuple(_checked(key, operator, value) for value in values), negated)


def _checked(key: str, operator: str, value: str) -> str:
    """The value as the key takes it. Raises InvalidArgument."""
    if not value and key != BUILD:
        raise _invalid(f"{key} needs a value")
    if key == FINALIZED and value.lower() not in ("true", "false"):
        raise _invalid("finalized is true or false")
    if key == STAGE and value.lower() not in STAGES:
        raise _invalid(f"release.stage is one of {', '.join(STAGES)}")
    if key == BUILD and build_number(value) is None:
        if operator != "=":
            raise _invalid(f"release.build can compare with a number from 0 to {NUMBER_MAX} only")
        if "*" in value[:-1]:
            raise _invalid('release.build takes "*" at the end only')
    return value.lower() if key in (FINALIZED, STAGE) else value


def _add_text(terms: list[Term], words: list[str]) -> None:
    if words:
        _add(terms, Term(TEXT, "=", (" ".join(words),)))
        words.clear()


def _add(terms: list[Term], term: Term) -> None:
    if len(terms) == TERMS_MAX:
        raise _too_large(f"a query has at most {TERMS_MAX} terms")
    terms.append(term)


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument.of(_FIELD, description)


def _too_large(description: str) -> InvalidArgument:
    return QueryTooLarge.of(_FIELD, description)
