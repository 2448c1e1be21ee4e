"""The Fernet format over streams: the same tokens as the library's, with memory that does not depend on their length.

No byte of plaintext is handed out before the signature over the whole token has been verified; for that the token is
spooled, decoded, into a file of the caller's and read twice.
"""

import base64
import binascii
import hmac
import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from shared.exports.errors import InvalidArchive, Tampered

KEY_TEXT_LENGTH = 44
"""Characters of a data key: 32 bytes in URL-safe base64."""

_VERSION = 0x80
_HEAD_BYTES = 1 + 8 + 16
_SIGNATURE_BYTES = 32
_BLOCK_BITS = 128
_BLOCK_BYTES = _BLOCK_BITS // 8
_PIECE_BYTES = 48 << 10  # a multiple of 3 and of the cipher's block
_SPACE = b" \t\r\n"
_BODY = re.compile(rb"[A-Za-z0-9_-]*")


class DataKey:
    """A Fernet key: 16 bytes to sign with, 16 to encrypt with."""

    def __init__(self, text: bytes) -> None:
        """From its 44 characters; InvalidArchive when they are no such key."""
        try:
            raw = base64.b64decode(text.translate(_TO_STANDARD), validate=True)
        except binascii.Error as error:
            raise InvalidArchive("data.key does not hold a data key") from error
        if len(raw) != 32:
            raise InvalidArchive("data.key does not hold a data key")
        self.text = text
        self._signing, self._encrypting = raw[:16], raw[16:]

    @classmethod
    def fresh(cls) -> "DataKey":
        """A new random key."""
        return cls(base64.urlsafe_b64encode(os.urandom(32)))

    def signature(self) -> HMAC:
        """A new signature over nothing yet."""
        return HMAC(self._signing, hashes.SHA256())

    def cipher(self, vector: bytes) -> "Cipher[modes.CBC]":
        """The cipher with this initialization vector."""
        return Cipher(algorithms.AES(self._encrypting), modes.CBC(vector))


_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def encrypt(chunks: Iterable[bytes], key: DataKey) -> Iterator[bytes]:
    """The token of the chunks' bytes, as pieces of ASCII text."""
    return _encoded(_signed(chunks, key))


def spool_token(token: Iterable[bytes], spool: BinaryIO) -> int:
    """Decode a token's text into `spool`; returns the length of what was written. InvalidArchive for what is none."""
    length = 0
    for piece in _decoded(token):
        if length == 0 and piece[0] != _VERSION:
            raise InvalidArchive("export.json does not begin like an encrypted export")
        spool.write(piece)
        length += len(piece)
    ciphertext = length - _HEAD_BYTES - _SIGNATURE_BYTES
    if ciphertext < _BLOCK_BYTES or ciphertext % _BLOCK_BYTES:
        raise InvalidArchive("export.json is not a complete encrypted export")
    return length


def verify(spool: BinaryIO, length: int, key: DataKey) -> None:
    """Check the signature of what `spool_token` has written; Tampered when it is another key's or nobody's."""
    signature = key.signature()
    spool.seek(0)
    for piece in _pieces(spool, length - _SIGNATURE_BYTES):
        signature.update(piece)
    if not hmac.compare_digest(signature.finalize(), spool.read(_SIGNATURE_BYTES)):
        raise Tampered("export.json was changed, or data.key belongs to another export")


def decrypted(spool: BinaryIO, length: int, key: DataKey) -> Iterator[bytes]:
    """The plaintext of what `verify` has accepted."""
    spool.seek(0)
    head = spool.read(_HEAD_BYTES)
    decryptor = key.cipher(head[9:]).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    for piece in _pieces(spool, length - _HEAD_BYTES - _SIGNATURE_BYTES):
        yield unpadder.update(decryptor.update(piece))
    try:
        yield unpadder.update(decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise Tampered("export.json ends wrongly although its signature is right") from error


def _pieces(spool: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        piece = spool.read(min(length, _PIECE_BYTES))
        if not piece:
            raise Tampered("the spooled content became shorter while it was read")
        length -= len(piece)
        yield piece


def _signed(chunks: Iterable[bytes], key: DataKey) -> Iterator[bytes]:
    signature = key.signature()
    vector = os.urandom(_BLOCK_BYTES)
    encryptor = key.cipher(vector).encryptor()
    padder = PKCS7(_BLOCK_BITS).padder()
    head = bytes([_VERSION]) + int(time.time()).to_bytes(8, "big") + vector
    signature.update(head)
    yield head
    for chunk in chunks:
        piece = encryptor.update(padder.update(chunk))
        signature.update(piece)
        yield piece
    last = encryptor.update(padder.finalize()) + encryptor.finalize()
    signature.update(last)
    yield last + signature.finalize()


def _encoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        held += piece
        whole = len(held) - len(held) % 3
        if whole >= _PIECE_BYTES:
            yield base64.urlsafe_b64encode(held[:whole])
            held = held[whole:]
    yield base64.urlsafe_b64encode(held)


def _decoded(token: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of base64 text; white space is skipped, anything else that does not belong is InvalidArchive."""
    held, ended = b"", False
    refused = InvalidArchive("export.json is not URL-safe base64 text")
    for chunk in token:
        text = chunk.translate(None, _SPACE)
        body = text.rstrip(b"=") if not ended else b""
        if not _BODY.fullmatch(body) or (ended and text.strip(b"=")):
            raise refused
        ended = ended or len(body) < len(text)
        held += text
        whole = len(held) - len(held) % 4
        if whole:
            try:
                piece = binascii.a2b_base64(held[:whole].translate(_TO_STANDARD), strict_mode=True)
            except binascii.Error as error:
                raise refused from error
            held = held[whole:]
            if piece:
                yield piece
    if held:
        raise refused
