"""Addresses to listen on, and the one clear line for each way in which listening can fail."""

import ipaddress
import socket
from pathlib import Path

PROCESS_HEADER = "X-Siloway-Process"
"""The pid of the process that gave an answer of the admin door."""


class CannotServe(Exception):  # a statement, like the other refusals
    """The process cannot listen as told. The text is one line for whoever started it."""


def split(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises CannotServe."""
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or int(port) > 65535 or not host:
        raise CannotServe(f"{address!r} is no address: write host:port.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. Names other than localhost count as reachable from outside."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_free(address: str) -> None:
    """Raise CannotServe when the port is taken or the address is not this machine's."""
    host, port = split(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise CannotServe(f"Cannot listen on {address}: {(error.strerror or str(error)).lower()}.") from error


def read_pem(file: Path) -> bytes:
    """A certificate's or key's file. Raises CannotServe when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotServe(f"Cannot read {file}: {(error.strerror or str(error)).lower()}.") from error
