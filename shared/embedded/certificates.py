"""A throw-away certificate authority and the silos' certificates for the internal door of one machine.

The invariant: a certificate carries exactly one URI name, its silo's, and one DNS name that is no host, for gRPC's
client compares DNS names only. Whoever shows it is that silo and nothing else. Keys are readable by their owner only.
What ends soon is made again.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.rpc.identity import dns_name_of, silo_of

VALID_DAYS = 365
RENEW_BEFORE_DAYS = 30
_CLOCK_SKEW = timedelta(minutes=5)


def silo_uri(silo: str) -> str:
    """The identity of a silo by its name: `control`, or a region's name."""
    return "spiffe://siloway/control" if silo == "control" else f"spiffe://siloway/region/{silo}"


class Authority:
    """Issues certificates that `ca_file` vouches for."""

    def __init__(self, folder: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._key = key
        self._certificate = certificate

    def issue(self, uri: str, *, now: datetime | None = None) -> tuple[Path, Path]:
        """The certificate file and key file of `uri`; those that exist are kept until they are near their end."""
        now = now or datetime.now(UTC)
        name = uri.removeprefix("spiffe://siloway/").replace("/", "-")
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        if key_file.exists() and (known := _load(cert_file)) is not None and self._still_good(known, uri, now):
            return cert_file, key_file
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(name), self._certificate.subject, key.public_key(), now)
            .add_extension(x509.SubjectAlternativeName(_names(uri)), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        _write_pair(cert_file, certificate, key_file, key)
        return cert_file, key_file

    def _still_good(self, certificate: x509.Certificate, uri: str, now: datetime) -> bool:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            not _ends_soon(certificate, now)
            and list(names) == _names(uri)
            and certificate.issuer == self._certificate.subject
        )


def _names(uri: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(uri), x509.DNSName(dns_name_of(silo_of(uri)))]


def make_authority(folder: Path, *, now: datetime | None = None) -> Authority:
    """The authority of `folder`, made when there is none or it is near its end (what it issued is then issued anew)."""
    now = now or datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cert_file, key_file = folder / "ca.pem", folder / "ca.key"
    certificate = _load(cert_file)
    if certificate is not None and key_file.exists() and not _ends_soon(certificate, now):
        known = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if isinstance(known, ec.EllipticCurvePrivateKey) and known.public_key() == certificate.public_key():
            return Authority(folder, known, certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    # A number in the name tells this authority's certificates from those of the one before.
    name = _name(f"siloway throw-away authority {x509.random_serial_number():x}"[:64])
    certificate = (
        _builder(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signing_only(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(cert_file, certificate, key_file, key)
    return Authority(folder, key, certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _signing_only() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ends_soon(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc < now + timedelta(days=RENEW_BEFORE_DAYS)


def _load(cert_file: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _write_pair(
    cert_file: Path, certificate: x509.Certificate, key_file: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    # The certificate goes first and comes last: a write that was cut short leaves none, and is done again.
    cert_file.unlink(missing_ok=True)
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = key_file.with_name(key_file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(key_text)
    fresh.replace(key_file)
    fresh_cert = cert_file.with_name(cert_file.name + ".new")
    fresh_cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    fresh_cert.replace(cert_file)
