"""Archives for the tests, built by other means than our own writer: the standard tarfile and the Fernet library."""

import io
import tarfile
from collections.abc import Iterable

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.unit.exports.keys_of import public_pem, rsa_key

_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
PLAIN = b'[{"model":"sentry.option","pk":1,"fields":{"key":"foo","value":"bar"}}]'


def parts_of(plain: bytes = PLAIN, public: bytes | None = None) -> dict[str, bytes]:
    """The three files as the original product makes them."""
    key = Fernet.generate_key()
    return {
        "export.json": Fernet(key).encrypt(plain),
        "data.key": rsa_key().public_key().encrypt(key, _OAEP),
        "key.pub": public_pem() if public is None else public,
    }


def tar_of(parts: dict[str, bytes], mode: str = "w", extra: Iterable[tarfile.TarInfo] = (), **options: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, **options) as archive:  # type: ignore[call-overload]
        for member in extra:
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
        for name, data in parts.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **changes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for attribute, value in changes.items():
        setattr(made, attribute, value)
    return made
