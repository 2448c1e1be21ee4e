import base64
import json
import stat
import tarfile
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from shared.exports.encryption import decrypt_file, encrypt_file, plain_file
from shared.exports.errors import (
    InvalidArchive,
    InvalidExport,
    InvalidKey,
    KeyHasPassphrase,
    Tampered,
    WrongKey,
)
from shared.exports.keys import LocalPrivateKey, LocalPublicKey
from tests.unit.exports.archives import PLAIN, parts_of, tar_of
from tests.unit.exports.keys_of import private_key, private_pem, public_key, public_pem, rsa_key

INDENTED = json.dumps(json.loads(PLAIN), indent=2).encode()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.json"
    path.write_bytes(INDENTED)
    return path


def archive(tmp_path: Path, parts: dict[str, bytes]) -> Path:
    path = tmp_path / "export.tar"
    path.write_bytes(tar_of(parts))
    return path


def test_a_file_comes_back_as_compact_json(tmp_path: Path, plain: Path) -> None:
    encrypt_file(plain, tmp_path / "sealed.tar", public_key())
    decrypt_file(tmp_path / "sealed.tar", tmp_path / "again.json", private_key())
    assert (tmp_path / "again.json").read_bytes() == PLAIN
    for name in ("sealed.tar", "again.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_others_can_open_what_we_encrypt(tmp_path: Path, plain: Path) -> None:
    encrypt_file(plain, tmp_path / "sealed.tar", public_key())
    with tarfile.open(tmp_path / "sealed.tar", "r:") as opened:
        parts = {each.name: opened.extractfile(each).read() for each in opened}  # type: ignore[union-attr]
    assert sorted(parts) == ["data.key", "export.json", "key.pub"]
    assert parts["key.pub"] == public_pem()
    oaep = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    assert Fernet(rsa_key().decrypt(parts["data.key"], oaep)).decrypt(parts["export.json"]) == PLAIN


def test_an_empty_export_can_be_encrypted(tmp_path: Path, plain: Path) -> None:
    plain.write_bytes(b" [ ]\n")
    encrypt_file(plain, tmp_path / "sealed.tar", public_key())
    decrypt_file(tmp_path / "sealed.tar", tmp_path / "again.json", private_key())
    assert (tmp_path / "again.json").read_bytes() == b"[]"


def rewrapped(pem: bytes) -> bytes:
    body = b"".join(pem.split(b"\n")[1:-2])
    lines = [body[start : start + 50] for start in range(0, len(body), 50)]
    return b"\n".join([b"-----BEGIN PUBLIC KEY-----", *lines, b"-----END PUBLIC KEY-----"])


@pytest.mark.parametrize("form", ["as it is", "CRLF", "no end of line", "rewrapped", "PKCS 1", "text around"])
def test_the_same_key_in_another_form_is_accepted(tmp_path: Path, form: str) -> None:
    pkcs1 = rsa_key().public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    forms = {
        "as it is": public_pem(),
        "CRLF": public_pem().replace(b"\n", b"\r\n"),
        "no end of line": public_pem().rstrip(),
        "rewrapped": rewrapped(public_pem()),
        "PKCS 1": pkcs1,
        "text around": b"\xef\xbb\xbf our key:\n" + public_pem() + b"\n\n",
    }
    decrypt_file(archive(tmp_path, parts_of(public=forms[form])), tmp_path / "out", private_key())
    assert (tmp_path / "out").read_bytes() == PLAIN


def test_the_wrong_key_is_told_plainly_and_leaves_nothing(tmp_path: Path) -> None:
    path = archive(tmp_path, parts_of())
    with pytest.raises(WrongKey, match="another key"):
        decrypt_file(path, tmp_path / "out", private_key(1))
    with pytest.raises(WrongKey, match=r"data\.key"):
        decrypt_file(archive(tmp_path, parts_of(public=public_pem(1))), tmp_path / "out", private_key(1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["export.tar"]


@pytest.mark.parametrize("part", ["export.json", "data.key", "key.pub"])
def test_a_damaged_part_is_told_and_leaves_nothing(tmp_path: Path, part: str) -> None:
    parts = parts_of()
    middle = len(parts[part]) // 2
    changed = b"A" if parts[part][middle : middle + 1] != b"A" else b"B"
    parts[part] = parts[part][:middle] + changed + parts[part][middle + 1 :]
    with pytest.raises((InvalidArchive, Tampered, WrongKey)):
        decrypt_file(archive(tmp_path, parts), tmp_path / "out", private_key())
    assert [entry.name for entry in tmp_path.iterdir()] == ["export.tar"]


def test_a_data_key_of_another_export_is_told(tmp_path: Path) -> None:
    mixed = {**parts_of(), "data.key": parts_of()["data.key"]}
    with pytest.raises(Tampered):
        decrypt_file(archive(tmp_path, mixed), tmp_path / "out", private_key())


def test_keys_that_cannot_be_used_are_told() -> None:
    with pytest.raises(KeyHasPassphrase, match="passphrase"):
        LocalPrivateKey(private_pem(passphrase=b"secret"))
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for junk in (b"", b"hello", public_pem(), pem):
        with pytest.raises(InvalidKey):
            LocalPrivateKey(junk)
    public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = b"-----BEGIN PUBLIC KEY-----" + base64.b64encode(b"junk") + b"-----END PUBLIC KEY-----"
    for junk in (
        b"",
        b"hello",
        private_pem(),
        public,
        b"-----BEGIN PUBLIC KEY-----" + body + b"-----END PUBLIC KEY-----",
    ):
        with pytest.raises(InvalidKey):
            LocalPublicKey(junk)


def test_a_key_file_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(private_pem() + b"\n" * (64 << 10))
    with pytest.raises(InvalidKey, match="large"):
        LocalPrivateKey.read(tmp_path / "key")


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"[{}", b'[{"model": }]', b'[{"model": tru}]'])
def test_what_is_no_export_is_not_encrypted(tmp_path: Path, plain: Path, text: bytes) -> None:
    plain.write_bytes(text)
    with pytest.raises(InvalidExport):
        encrypt_file(plain, tmp_path / "sealed.tar", public_key())
    assert [entry.name for entry in tmp_path.iterdir()] == ["plain.json"]


def test_a_plain_file_is_read_in_place_and_a_decrypted_copy_does_not_stay(tmp_path: Path, plain: Path) -> None:
    with plain_file(plain, None) as same:
        assert same == plain
    sealed = archive(tmp_path, parts_of())
    with plain_file(sealed, private_key()) as copy:
        assert copy.read_bytes() == PLAIN
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not copy.exists()
    with pytest.raises(InvalidKey, match="a key is needed"), plain_file(sealed, None):
        pass
