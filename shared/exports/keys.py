"""Whose keys protect an export's data key: what encrypting and decrypting need of a key, and RSA keys in local files.

A key management service is another implementation of the same two protocols. Private keys are read, never written,
and stand in no message.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from shared.exports.errors import InvalidArchive, InvalidKey, KeyHasPassphrase, WrongKey

KEY_FILE_BYTES_MAX = 64 << 10
KEY_BITS_MAX = 16_384

_PEM = re.compile(rb"-----BEGIN ((?:RSA )?PUBLIC KEY)-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class EncryptingKey(Protocol):
    """What encrypting needs."""

    def public_key_pem(self) -> bytes:
        """The public key as PEM: it goes into the archive, and the data key is encrypted with it."""


class DecryptingKey(Protocol):
    """What decrypting needs."""

    def decrypt_data_key(self, wrapped: bytes, public_key_pem: bytes) -> bytes:
        """The data key of an archive that carries this public key. Raises WrongKey."""


class LocalPublicKey:
    """An RSA public key in a PEM file."""

    def __init__(self, pem: bytes) -> None:
        """Raises InvalidKey."""
        load_public_key(pem)
        self._pem = pem

    @classmethod
    def read(cls, path: Path) -> "LocalPublicKey":
        """From a file; InvalidKey when it holds no such key."""
        return cls(_read_key(path))

    def public_key_pem(self) -> bytes:
        return self._pem


class LocalPrivateKey:
    """An RSA private key in a PEM file, without a passphrase."""

    def __init__(self, pem: bytes) -> None:
        """Raises InvalidKey and KeyHasPassphrase."""
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except TypeError as error:
            raise KeyHasPassphrase("the private key has a passphrase; give one without") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InvalidKey("the file holds no private key in PEM form") from error
        if not isinstance(key, RSAPrivateKey) or key.key_size > KEY_BITS_MAX:
            raise InvalidKey("the private key is not an RSA key")
        self._key = key

    @classmethod
    def read(cls, path: Path) -> "LocalPrivateKey":
        """From a file; InvalidKey or KeyHasPassphrase when it holds no key that can be used."""
        return cls(_read_key(path))

    def decrypt_data_key(self, wrapped: bytes, public_key_pem: bytes) -> bytes:
        """The keys are compared as numbers: white space and line ends of `key.pub` say nothing about a key."""
        try:
            theirs = load_public_key(public_key_pem)
        except InvalidKey as error:
            raise InvalidArchive("key.pub of the archive holds no RSA public key") from error
        if theirs.public_numbers() != self._key.public_key().public_numbers():
            raise WrongKey("the archive was encrypted for another key")
        try:
            return self._key.decrypt(wrapped, _OAEP)
        except ValueError as error:
            raise WrongKey("data.key of the archive was not encrypted with its key.pub") from error


def wrap_data_key(data_key: bytes, public_key_pem: bytes) -> bytes:
    """A data key's text encrypted with RSA-OAEP (SHA-256 both times, no label). Raises InvalidKey."""
    try:
        return load_public_key(public_key_pem).encrypt(data_key, _OAEP)
    except ValueError as error:
        raise InvalidKey("the public key is too short") from error


def load_public_key(pem: bytes) -> RSAPublicKey:
    """An RSA public key from PEM of any line length and line end. Raises InvalidKey."""
    found = _PEM.search(pem)
    if found is None:
        raise InvalidKey("the file holds no public key in PEM form")
    try:
        key = serialization.load_der_public_key(base64.b64decode(b"".join(found[2].split()), validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as error:
        raise InvalidKey("the file holds no public key in PEM form") from error
    if not isinstance(key, RSAPublicKey) or key.key_size > KEY_BITS_MAX:
        raise InvalidKey("the public key is not an RSA key")
    return key


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(KEY_FILE_BYTES_MAX + 1)
    if len(text) > KEY_FILE_BYTES_MAX:
        raise InvalidKey("the file is too large for a key")
    return text
