"""A silo's certificate is its identity and nothing more."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from shared.embedded.certificates import RENEW_BEFORE_DAYS, VALID_DAYS, make_authority, silo_uri

_NOW = datetime(2026, 5, 1, tzinfo=UTC)


def _read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_carries_exactly_one_uri_and_one_name_that_is_no_host(tmp_path: Path) -> None:
    cert_file, _ = make_authority(tmp_path).issue(silo_uri("us"))
    names = _read(cert_file).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [
        x509.UniformResourceIdentifier("spiffe://siloway/region/us"),
        x509.DNSName("us.region.siloway.internal"),
    ]
    assert silo_uri("control") == "spiffe://siloway/control"


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    _, key_file = authority.issue(silo_uri("control"))
    for file in (key_file, tmp_path / "ca.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_certificates_are_kept_until_near_their_end(tmp_path: Path) -> None:
    cert_file, _ = make_authority(tmp_path, now=_NOW).issue(silo_uri("us"), now=_NOW)
    first = cert_file.read_bytes()
    later = _NOW + timedelta(days=VALID_DAYS - RENEW_BEFORE_DAYS - 1)
    make_authority(tmp_path, now=later).issue(silo_uri("us"), now=later)
    assert cert_file.read_bytes() == first
    near_end = _NOW + timedelta(days=VALID_DAYS - RENEW_BEFORE_DAYS + 1)
    authority = make_authority(tmp_path, now=near_end)
    authority.issue(silo_uri("us"), now=near_end)
    renewed = _read(cert_file)
    assert renewed.not_valid_after_utc == near_end + timedelta(days=VALID_DAYS)
    renewed.verify_directly_issued_by(_read(authority.ca_file))


def test_a_certificate_without_its_key_is_made_again(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    cert_file, key_file = authority.issue(silo_uri("us"))
    first = cert_file.read_bytes()
    key_file.unlink()
    authority.issue(silo_uri("us"))
    assert cert_file.read_bytes() != first
    assert key_file.exists()


def test_two_silos_meet_over_mutual_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*authority.issue(silo_uri("control")))
    client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_side.check_hostname = False
    client_side.load_cert_chain(*authority.issue(silo_uri("de")))
    for side in (server_side, client_side):
        side.load_verify_locations(authority.ca_file)
        side.verify_mode = ssl.CERT_REQUIRED
        side.verify_flags |= ssl.VERIFY_X509_STRICT
    near, far = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        with server_side.wrap_socket(far, server_side=True) as secured:
            seen.append((secured.getpeercert() or {}).get("subjectAltName"))
            secured.recv(1)

    server = threading.Thread(target=serve)
    server.start()
    with client_side.wrap_socket(near) as secured:
        assert (secured.getpeercert() or {}).get("subjectAltName") == (
            ("URI", "spiffe://siloway/control"),
            ("DNS", "control.siloway.internal"),
        )
        secured.send(b"x")
    server.join(10)
    assert seen == [(("URI", "spiffe://siloway/region/de"), ("DNS", "de.region.siloway.internal"))]
