"""Page tokens: the position after a page's last row, bound to the query that it belongs to.

base64url of: version byte, 8 bytes of the query's digest, the position as JSON, 4 bytes of checksum. A token carries no
authority: whoever forges one reads what any first page of the same caller would show.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from datetime import datetime

import msgspec

from shared.errors import InvalidArgument, InvalidPageToken, Violation

_VERSION = b"\x01"
_DIGEST_BYTES = 8
_CHECKSUM_BYTES = 4
_LENGTH_MAX = 4096

Position = tuple[int | str | datetime, ...]


def query_digest(*parts: object) -> bytes:
    """A digest of everything that shapes a list but its page: parent, filter, order."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=_DIGEST_BYTES).digest()


def encode(position: Position, query_digest: bytes) -> str:
    """The token for the rows after `position`, which holds the sort key's integers, texts and aware times."""
    tagged = [["t", part.isoformat()] if isinstance(part, datetime) else part for part in position]
    body = _VERSION + _bound(query_digest) + msgspec.json.encode(tagged)
    return base64.urlsafe_b64encode(body + _checksum(body)).decode().rstrip("=")


def decode(token: str, query_digest: bytes, types: Sequence[type] | None = None) -> Position:
    """The position in a token, its parts of exactly these `types` when given.

    Raises InvalidPageToken for a broken token and for one of another query.
    """
    body = _checked_body(token)
    head, payload = body[: 1 + _DIGEST_BYTES], body[1 + _DIGEST_BYTES :]
    if head[:1] != _VERSION:
        raise _refusal("is of another version")
    if head[1:] != _bound(query_digest):
        raise _refusal("belongs to another query; repeat the first page's arguments")
    try:
        tagged = msgspec.json.decode(payload, type=list[int | str | tuple[str, str]])
        position = tuple(datetime.fromisoformat(part[1]) if isinstance(part, tuple) else part for part in tagged)
    except (ValueError, msgspec.DecodeError) as error:
        raise _refusal("is broken") from error
    # The door, which refuses NUL in what a request says, sees this as base64.
    if any(isinstance(part, str) and "\0" in part for part in position):
        raise _refusal("is broken")
    if types is not None and [type(part) for part in position] != list(types):
        raise _refusal("is broken")
    return position


def decode_number(token: str, query_digest: bytes) -> int | None:
    """The position of a list that is ordered by one number; None for the first page, whose token is empty.

    Raises InvalidPageToken as `decode`.
    """
    if not token:
        return None
    (number,) = decode(token, query_digest, (int,))
    assert isinstance(number, int), "decode has checked the type"
    return number


def page_size(requested: int, default: int = 50, maximum: int = 1000) -> int:
    """Rows of a page: 0 asks for the default, too many get the maximum. Raises InvalidArgument below 0."""
    if requested < 0:
        raise InvalidArgument.of("page_size", "must not be negative")
    return min(requested or default, maximum)


def _checked_body(token: str) -> bytes:
    if len(token) > _LENGTH_MAX:
        raise _refusal("is broken")
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refusal("is broken") from error
    body, checksum = raw[:-_CHECKSUM_BYTES], raw[-_CHECKSUM_BYTES:]
    if len(body) <= _DIGEST_BYTES or checksum != _checksum(body):
        raise _refusal("is broken")
    return body


def _bound(query_digest: bytes) -> bytes:
    return query_digest[:_DIGEST_BYTES].ljust(_DIGEST_BYTES, b"\0")


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _refusal(why: str) -> InvalidPageToken:
    return InvalidPageToken(f"page_token: {why}", violations=[Violation("page_token", why)])
