"""Stand-ins for texts: the same text becomes the same stand-in in every place, and no table of them is kept.

A stand-in is derived from the text and a secret key, so memory does not grow and a run with the same key repeats
itself; without the key nobody can tell what stood there. Addresses never lead anywhere: hosts end in `.example`.
"""

import hashlib
import ipaddress
import re
import string
import tomllib
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import quote, urlsplit, urlunsplit

_EMAIL = re.compile(r"[^@\s]+@[^@\s/]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SUBSCRIPTION = re.compile(r"([0-9]+)/([0-9a-f]{32})")
_IP_LIKE = re.compile(r"[0-9A-Fa-f:.]{3,45}")
_SLUG = re.compile(r"[a-z0-9_-]+")
_HEX = re.compile(r"[0-9a-f]{8,}")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_BASE32 = "0123456789abcdefghijklmnopqrstuv"
_PUNCTUATION = frozenset(string.punctuation + " ") - {'"', "\\"}
_TRIES = 8
_HANDLE_MIN = 12
_WORDS = tomllib.loads(files(__package__).joinpath("pet_names.toml").read_text("utf-8"))
_ADJECTIVES: list[str] = _WORDS["adjectives"].split()
_ANIMALS: list[str] = _WORDS["animals"].split()


def key_of_seed(seed: str) -> bytes:
    """The key that a seed stands for; whoever knows the seed can find out what a guessed text became."""
    return hashlib.sha256(b"siloway sanitize\0" + seed.encode(errors="surrogatepass")).digest()


class Pseudonyms:
    """Stand-ins under one key of 32 bytes. Every method gives "" for ""."""

    def __init__(self, key: bytes) -> None:
        assert len(key) == 32
        self._key = key

    def shaped(self, text: str) -> str | None:
        """The stand-in of a text that shows by itself what it is (address, URL, IP, UUID); None for all others."""
        if "@" in text and _EMAIL.fullmatch(text):
            return self.email(text)
        if "://" in text and _URL.fullmatch(text):
            return self._url(text)
        if "://" in text and all(map(_URL.fullmatch, lines := text.splitlines())):
            return "\n".join(map(self._url, lines))
        if _UUID.fullmatch(text):
            return self._uuid(text)
        if subscription := _SUBSCRIPTION.fullmatch(text):
            return f"{subscription[1]}/{self.text(subscription[2])}"
        return self._ip(text)

    def text(self, text: str) -> str:
        """A random text of the same length, of the kinds of characters that the text has; hexadecimal stays so."""
        if not text:
            return ""
        alphabet = _BASE32[:16] if _HEX.fullmatch(text) else _alphabet(text)
        return self._other_than(
            text,
            lambda attempt: "".join(
                alphabet[number % len(alphabet)] for number in self._numbers("text", text, len(text), attempt)
            ),
        )

    def name(self, text: str) -> str:
        """A pet name; a slug of a name becomes the slug of the name's stand-in."""
        if not text:
            return ""
        if _SLUG.fullmatch(text):
            return "-".join(self._pet(text))
        words = _NOT_WORD.sub(" ", text.casefold()).strip()
        pet = [word.title() for word in self._pet(words.replace(" ", "-") or text)]
        if text not in {words.title(), words.capitalize()}:  # otherwise texts that differ in signs only would be one
            pet.append(self._letters("name", text, 3))
        return " ".join(pet)

    def handle(self, text: str) -> str:
        """As `text`, but never so short that two become one by chance."""
        return self.text(text) if not text or len(text) >= _HANDLE_MIN else "u" + self._letters("handle", text, 11)

    def email(self, text: str) -> str:
        """An address; those of one domain stay together, and letter case tells as much apart as it did."""
        domain = text.rpartition("@")[2]
        local = "m" + self._letters("email", text.casefold(), 11)
        return f"{local if text == text.casefold() else local.capitalize()}@{self._host(domain)}"

    def _pet(self, text: str) -> list[str]:
        first, second = self._numbers("pet", text, 2)
        return [_ADJECTIVES[first % len(_ADJECTIVES)], _ANIMALS[second % len(_ANIMALS)], self._letters("pet", text, 8)]

    def _host(self, host: str) -> str:
        return self._ip(host.strip("[]")) or f"{self._letters('host', host.casefold(), 10)}.example"

    def _ip(self, text: str) -> str | None:
        if not _IP_LIKE.fullmatch(text):
            return None
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        digest = self._digest("ip", address.exploded, 16)
        if address.version == 4:
            return str(ipaddress.IPv4Address(b"\x0a" + digest[:3]))
        return str(ipaddress.IPv6Address(b"\xfd" + digest[:15]))

    def _uuid(self, text: str) -> str:
        made = bytearray(self._digest("uuid", text.lower(), 16))
        made[6] = made[6] & 0x0F | int(text[14], 16) << 4
        made[8] = made[8] & 0x3F | 0x80
        digits = made.hex()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _url(self, text: str) -> str:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            return self.text(text)
        host = self._host(parts.hostname or "")
        if ":" in host:
            host = f"[{host}]"
        path = "/".join(quote(self.text(part)) for part in parts.path.split("/"))
        query = "&".join(
            "=".join(quote(self.text(side), safe="") for side in pair.split("=")) for pair in parts.query.split("&")
        )
        fragment = quote(self.text(parts.fragment), safe="")
        netloc = host if port is None else f"{host}:{port}"
        return urlunsplit((parts.scheme, netloc, path, query, fragment))

    def _letters(self, purpose: str, text: str, count: int) -> str:
        return "".join(_BASE32[number % 32] for number in self._numbers(f"{purpose} letters", text, count))

    def _other_than(self, text: str, make: Callable[[int], str]) -> str:
        """Try a few times, for a short text may become itself by chance; one of a single sign has nothing else."""
        made = text
        for attempt in range(_TRIES):
            made = make(attempt)
            if made != text:
                break
        return made

    def _numbers(self, purpose: str, text: str, count: int, attempt: int = 0) -> list[int]:
        """Numbers below 2^16."""
        digest = self._digest(f"{purpose} {attempt}", text, 2 * count)
        return [digest[place] << 8 | digest[place + 1] for place in range(0, 2 * count, 2)]

    def _digest(self, purpose: str, text: str, length: int) -> bytes:
        start = self._key + f"{purpose}\0".encode()
        return hashlib.shake_256(start + text.encode(errors="surrogatepass")).digest(length)

    def moment(self, milliseconds: int, low: int, high: int) -> int:
        """A moment in low..high, both included, that stands for this one."""
        return low + int.from_bytes(self._digest("moment", str(milliseconds), 16), "big") % (high - low + 1)


def _alphabet(text: str) -> str:
    kinds = {_kind(sign) for sign in set(text)}
    return "".join(sorted(kinds)) or " "


def _kind(sign: str) -> str:
    if sign.isdigit():
        return string.digits
    if sign in _PUNCTUATION:
        return sign
    if sign.isspace():
        return " "
    return string.ascii_uppercase if sign.isupper() else string.ascii_lowercase
