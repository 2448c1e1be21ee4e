"""RSA keys for the tests of encryption: made once a process, for making one takes a while."""

from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.exports.keys import LocalPrivateKey, LocalPublicKey


def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """A key of its own for every number."""
    return _made(number)


@cache
def _made(number: int) -> rsa.RSAPrivateKey:
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(number: int = 0, passphrase: bytes | None = None) -> bytes:
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase)
    return rsa_key(number).private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


def public_pem(number: int = 0) -> bytes:
    return (
        rsa_key(number)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def private_key(number: int = 0) -> LocalPrivateKey:
    return LocalPrivateKey(private_pem(number))


def public_key(number: int = 0) -> LocalPublicKey:
    return LocalPublicKey(public_pem(number))
