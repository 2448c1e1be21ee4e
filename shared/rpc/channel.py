"""The channel to another silo: mutual TLS to one expected peer, the caller's deadline and request id passed on.

The target name is always fixed to the expected peer's, so no other silo's certificate passes for it. Only UNAVAILABLE
is retried, a few times; every mutation between silos carries its request id, so a repeat is harmless. Certificates that
are replaced are taken up by the next call.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from shared import deadline
from shared.errors import DeadlineExceeded
from shared.rpc.call import current_call
from shared.rpc.identity import dns_name_of
from shared.rpc.pem_files import PemFiles
from shared.rpc.renewing import RenewingChannel
from shared.rpc.status import from_rpc_error

_MARGIN_S = 0.02
"""Kept back from the time left, so that the peer's refusal can still be told to our own caller."""

_TIMEOUT_S = 10.0
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Credentials:
    """A silo's own certificate and key, and the authority that it and its peers are signed by; all PEM."""

    certificate: bytes
    key: bytes
    authority: bytes

    @classmethod
    def read(cls, *, certificate_file: Path, key_file: Path, authority_file: Path) -> "Credentials":
        """From files, once. Raises OSError."""
        return cls(certificate_file.read_bytes(), key_file.read_bytes(), authority_file.read_bytes())

    @staticmethod
    def following(*, certificate_file: Path, key_file: Path, authority_file: Path) -> "Callable[[], Credentials]":
        """What the files hold at each time. Raises CannotServe when they hold no fitting set at the start."""
        files = PemFiles(certificate_file, key_file, authority_file)

        def current() -> Credentials:
            pems = files.current()
            assert pems.authority is not None, "an authority's file was given"
            return Credentials(pems.certificate, pems.key, pems.authority)

        return current


class InternalChannel:
    """A channel to the silo `peer` ("control" or a region's name) at `address` (host:port).

    `credentials` may be a function that is asked before each call. `channel` is for building stubs; calls go through
    `invoke`. Connecting happens with the first call and after losses.
    """

    def __init__(
        self,
        address: str,
        *,
        peer: str,
        credentials: Credentials | Callable[[], Credentials],
        message_bytes_max: int = 4 * 1024 * 1024,
    ) -> None:
        self.peer = peer
        self._address = address
        self._message_bytes_max = message_bytes_max
        # Stubs are typed for grpc's own channel; they call nothing that a renewing one has not.
        self.channel: Any = (
            self._open(credentials)
            if isinstance(credentials, Credentials)
            else RenewingChannel(credentials, self._open)
        )

    def _open(self, credentials: Credentials) -> grpc.Channel:
        return grpc.secure_channel(
            self._address,
            grpc.ssl_channel_credentials(credentials.authority, credentials.key, credentials.certificate),
            options=[
                ("grpc.ssl_target_name_override", dns_name_of(self.peer)),
                ("grpc.service_config", _SERVICE_CONFIG),
                ("grpc.enable_retries", 1),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.max_send_message_length", self._message_bytes_max),
                ("grpc.max_receive_message_length", self._message_bytes_max),
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 5_000),
                # A proxy named in the environment is never between silos.
                ("grpc.enable_http_proxy", 0),
            ],
        )

    def invoke(self, method: Callable[..., _Answer], request: object, *, timeout_s: float = _TIMEOUT_S) -> _Answer:
        """Call a stub's method that answers with one message; a client stream takes an iterator as the request.

        Waits for `timeout_s` or until 20 ms before the current deadline. Raises DeadlineExceeded, and what
        status.from_rpc_error makes of the peer's refusal.
        """
        left = deadline.remaining_s()
        wait_s = timeout_s if left is None else min(timeout_s, left - _MARGIN_S)
        if wait_s <= 0:
            raise DeadlineExceeded
        try:
            return method(request, timeout=wait_s, metadata=_metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def stream(
        self, method: Callable[..., Iterable[_Answer]], request: object, *, timeout_s: float = _TIMEOUT_S
    ) -> Iterator[_Answer]:
        """Call a stub's method that answers with a stream, and give out its messages. Waits and raises as `invoke`, for
        the whole stream; one that is left early is cancelled.
        """
        left = deadline.remaining_s()
        wait_s = timeout_s if left is None else min(timeout_s, left - _MARGIN_S)
        if wait_s <= 0:
            raise DeadlineExceeded
        answers: Any = method(request, timeout=wait_s, metadata=_metadata())
        try:
            yield from answers
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            answers.cancel()

    def close(self) -> None:
        """End all calls and connections."""
        self.channel.close()

    def __enter__(self) -> "InternalChannel":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _metadata() -> tuple[tuple[str, str], ...]:
    call = current_call()
    return (("x-request-id", call.request_id),) if call is not None else ()
