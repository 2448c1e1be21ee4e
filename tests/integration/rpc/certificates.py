"""Certificates of any shape, good ones and wrong ones, for the internal door."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.rpc.channel import Credentials
from shared.rpc.identity import dns_name_of, uri_of
from shared.rpc.server import Tls


@dataclass
class Authority:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, called: str = "test authority") -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()))

    def silo(self, silo: str) -> Credentials:
        """What a silo should have."""
        return self.issue([x509.UniformResourceIdentifier(uri_of(silo)), x509.DNSName(dns_name_of(silo))])

    def issue(self, names: Sequence[x509.GeneralName]) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a silo")])
        builder = _builder(subject, self.certificate.subject, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        return Credentials(
            certificate=builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
            key=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            authority=self.certificate.public_bytes(serialization.Encoding.PEM),
        )


def as_files(credentials: Credentials, folder: Path) -> Tls:
    """The files that a server reads; clients must be of the same authority."""
    folder.mkdir(exist_ok=True)
    tls = Tls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    tls.certificate_file.write_bytes(credentials.certificate)
    tls.key_file.write_bytes(credentials.key)
    (folder / "ca.pem").write_bytes(credentials.authority)
    return tls


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
    )
