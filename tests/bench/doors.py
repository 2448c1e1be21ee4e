"""Internal doors of silos that have databases of their own, in this process, with the running stack's certificates.

A measurement that needs a silo in a state of its choice opens one here, so that the stack's own processes do not take
part in it; the way there is the real one: mutual TLS, all interceptors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.methods import Door, Method, MethodTable
from shared.rpc.server import Tls, build_server
from tests.stack import RunningStack


@contextmanager
def internal_door(
    stack: RunningStack, silo: str, methods: Sequence[Method], add: Callable[..., None], servicer: object
) -> Iterator[str]:
    """The address of a door of `silo` that serves one service."""
    server = build_server(
        address="127.0.0.1:0",
        table=MethodTable.of(*methods),
        door=Door.INTERNAL,
        servicers=[(add, servicer)],
        tls=Tls(*_files(stack, silo)),
    )
    server.start()
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        server.stop(1)


def channel(stack: RunningStack, address: str, *, caller: str, peer: str) -> InternalChannel:
    """A channel of `caller` to the door of `peer`; the user of the channel closes it."""
    return InternalChannel(address, peer=peer, credentials=credentials(stack, caller))


def credentials(stack: RunningStack, silo: str) -> Credentials:
    """What the stack has made for the silo."""
    certificate, key, authority = _files(stack, silo)
    return Credentials.read(certificate_file=certificate, key_file=key, authority_file=authority)


def _files(stack: RunningStack, silo: str) -> tuple[Path, Path, Path]:
    """Its certificate, its key, and the authority."""
    environment = stack.environment(silo)
    prefix = "SILOWAY_CONTROL" if silo == "control" else f"SILOWAY_REGION_{silo.upper()}"
    names = (f"{prefix}_CERT_FILE", f"{prefix}_KEY_FILE", "SILOWAY_INTERNAL_CA_FILE")
    certificate, key, authority = (Path(environment[name]) for name in names)
    return certificate, key, authority
