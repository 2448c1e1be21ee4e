"""Secrets that imported rows get in place of those that they must not bring along. Uniform, and made in bulk."""

import hashlib
import secrets
import string

_CHARACTERS = (string.ascii_letters + string.digits).encode()
# 248 is the greatest multiple of 62 that a byte can hold: dropping the bytes above it keeps the choice uniform.
_USABLE = 248
_TABLE = bytes(_CHARACTERS[byte % len(_CHARACTERS)] for byte in range(256))
_DROPPED = bytes(range(_USABLE, 256))
_LENGTH = 32


def alphanumerics(count: int, length: int = _LENGTH) -> list[str]:
    """`count` random texts of ASCII letters and digits, `length` each."""
    wanted = count * length
    found = b""
    while len(found) < wanted:
        found += secrets.token_bytes((wanted - len(found)) * 21 // 20 + 64).translate(_TABLE, _DROPPED)
    text = found[:wanted].decode("ascii")
    return [text[start : start + length] for start in range(0, wanted, length)]


def password_hashes(count: int) -> list[str]:
    """Hashes of `count` random passwords of 32 characters that nobody knows, as "sha256$<salt>$<hex>".

    One round suffices, unlike for a password that a person chose: guessing 190 random bits is hopeless at any speed.
    The format is marked, so that a log-in can tell it from others.
    """
    salts = alphanumerics(count, 12)
    passwords = alphanumerics(count)
    return [
        f"sha256${salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"
        for salt, password in zip(salts, passwords, strict=True)
    ]
