"""Takes an export's file from a region: a broken download goes on at the byte where it ended, and the whole is checked.

Nothing but the file's bytes is handed on, each once and in order.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
from siloway.region.v1 import export_service_pb2 as export_pb

from siloway_client.client import RegionClient
from siloway_client.refusal import refusal_of

LOST_MAX_S = 30.0
_CALL_S = 900.0
_PAUSE_S = 0.5
_READ_BYTES = 1 << 20
_PASSING = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN"}
"""INTERNAL and UNKNOWN are what gRPC itself makes of a connection that breaks inside a message."""


class DownloadFailed(Exception):
    """What came is not the file that was announced."""


def chunks_of(
    client: RegionClient,
    name: str,
    *,
    begun: Iterable[bytes] = (),
    on_taken: Callable[[int, int], None] = lambda _taken, _whole: None,
    lost_max_s: float = LOST_MAX_S,
) -> Iterator[bytes]:
    """The file's bytes behind `begun`, which an earlier download has taken; `on_taken` gets bytes so far and in all.

    A region that is away is waited for `lost_max_s`. Raises DownloadFailed and grpc.RpcError.
    """
    digest, taken = hashlib.sha256(), 0
    for piece in begun:
        digest.update(piece)
        taken += len(piece)
    header: export_pb.DownloadExportResponse.Header | None = None
    lost_at: float | None = None
    while header is None or taken < header.size_bytes:
        request = export_pb.DownloadExportRequest(name=name, offset=taken)
        try:
            for part in client.exports.DownloadExport(request, timeout=_CALL_S):
                lost_at = None
                if part.WhichOneof("part") == "header":
                    header = part.header
                    continue
                digest.update(part.chunk)
                taken += len(part.chunk)
                yield part.chunk
                assert header is not None, "the header comes first"
                on_taken(taken, header.size_bytes)
        except grpc.RpcError as error:
            lost_at = lost_at or time.monotonic()
            if refusal_of(error).code not in _PASSING or time.monotonic() - lost_at > lost_max_s:
                raise
            time.sleep(_PAUSE_S)
    if digest.hexdigest() != header.sha256:
        raise DownloadFailed(f"{name}: the bytes that came are not the file's; its SHA-256 is {header.sha256}")


def save(
    client: RegionClient,
    name: str,
    destination: Path,
    *,
    change: Callable[[Iterator[bytes]], Iterator[bytes]] = lambda chunks: chunks,
    on_taken: Callable[[int, int], None] = lambda _taken, _whole: None,
) -> None:
    """Write the file to `destination`, which is whole or untouched and its owner's alone; `change` makes other bytes.

    What a broken download has taken stays in a file beside it, and the next call goes on there. Raises as `chunks_of`,
    and OSError.
    """
    part = destination.with_name(f"{destination.name}.{name.removeprefix('exports/')}.part")
    begun = _read(part) if part.exists() else iter(())
    with open(part, "ab", opener=_private) as file:
        try:
            for chunk in chunks_of(client, name, begun=begun, on_taken=on_taken):
                file.write(chunk)
        except BaseException as error:
            if isinstance(error, DownloadFailed) or file.tell() == 0:
                part.unlink()
            raise
    made = destination.with_name(f"{part.name}.new")
    try:
        with open(made, "wb", opener=_private) as file:
            for chunk in change(_read(part)):
                file.write(chunk)
        made.replace(destination)
    finally:
        made.unlink(missing_ok=True)
    part.unlink()


def indented(chunks: Iterator[bytes], indent: int) -> Iterator[bytes]:
    """The same array, written with so many spaces a level, as exports of the imported system are."""
    space = " " * indent
    for line in _lines(chunks):
        text = line.decode()
        if not text.startswith("{"):
            yield line + b"\n"
            continue
        comma = "," if text.endswith(",") else ""
        shown = text.removesuffix(",")
        with suppress(ValueError):  # a number that no double holds: such an object stays on its line
            shown = json.dumps(json.loads(shown), indent=indent, ensure_ascii=False, allow_nan=False)
        yield ("\n".join(space + each for each in shown.split("\n")) + comma + "\n").encode()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        *lines, left = (left + chunk).split(b"\n")
        yield from lines
    if left:
        yield left


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece
