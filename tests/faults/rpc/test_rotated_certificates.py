"""Changing the authority of all silos while they talk: old and new pass, nobody else does, nothing is restarted."""

import contextlib
import socket
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from shared.errors import PeerUnavailable
from shared.rpc import pem_files
from shared.rpc.addresses import CannotServe
from shared.rpc.channel import Credentials, InternalChannel
from shared.rpc.methods import Door
from shared.rpc.pem_files import PemFiles
from shared.rpc.server import RpcServer, Tls, build_server
from tests.integration.rpc.certificates import Authority, as_files
from tests.integration.rpc.words import SAY, SPLIT, Words, add_words, table
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.faults

KINDS: dict[str, Any] = {
    "request_serializer": StringValue.SerializeToString,
    "response_deserializer": StringValue.FromString,
}


class Silos:
    """A door and the channels to it. Whatever looks at files looks at once."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self.said: list[str] = []
        self.old, self.new = Authority.make("the old one"), Authority.make("the new one")
        self.both = self.old.silo("control").authority + self.new.silo("control").authority

    def serve(self, tls: Tls) -> RpcServer:
        def say(request: StringValue, _context: object) -> StringValue:
            self.said.append(request.value)
            return request

        server = build_server(
            address="127.0.0.1:0",
            table=table(Door.INTERNAL),
            door=Door.INTERNAL,
            servicers=[(add_words, Words(say=say))],
            tls=tls,
        )
        server.start()
        self._stack.callback(server.stop, 0)
        return server

    def channel(self, port: int, credentials: Any, *, peer: str = "control") -> InternalChannel:
        return self._stack.enter_context(InternalChannel(f"127.0.0.1:{port}", peer=peer, credentials=credentials))

    def trusting(self, credentials: Credentials, authority: bytes) -> Credentials:
        return replace(credentials, authority=authority)


@pytest.fixture
def silos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Silos]:
    monkeypatch.setattr(pem_files, "LOOK_S", 0.0)
    with ExitStack() as stack:
        yield Silos(stack, tmp_path)


def say(channel: InternalChannel, text: str = "hello") -> str:
    stub = channel.channel.unary_unary(SAY, **KINDS)
    answer: StringValue = channel.invoke(stub, StringValue(value=text), timeout_s=5)
    return answer.value


def split(channel: InternalChannel, words: str) -> Generator[str]:
    """The words, as a stream of answers."""
    stub = channel.channel.unary_stream(SPLIT, **KINDS)
    for answer in channel.stream(stub, StringValue(value=words), timeout_s=20):
        yield answer.value


def put(tls: Tls, credentials: Credentials) -> None:
    """Replace each file by renaming another one into its place."""
    assert tls.client_authority_file is not None
    for file, content in (
        (tls.key_file, credentials.key),
        (tls.certificate_file, credentials.certificate),
        (tls.client_authority_file, credentials.authority),
    ):
        fresh = file.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(file)


def following(tls: Tls) -> Any:
    assert tls.client_authority_file is not None
    return Credentials.following(
        certificate_file=tls.certificate_file, key_file=tls.key_file, authority_file=tls.client_authority_file
    )


def test_case_44_and_fault_R1_old_and_new_authority_pass_a_third_and_another_name_do_not(silos: Silos) -> None:
    server = silos.serve(as_files(silos.trusting(silos.old.silo("control"), silos.both), silos.folder / "control"))
    for authority in (silos.old, silos.new):
        assert say(silos.channel(server.port, silos.trusting(authority.silo("us"), silos.both))) == "hello"
    third = silos.trusting(Authority.make("a third one").silo("us"), silos.both)
    with pytest.raises(PeerUnavailable):
        say(silos.channel(server.port, third))
    with pytest.raises(PeerUnavailable):
        say(silos.channel(server.port, silos.trusting(silos.new.silo("us"), silos.both), peer="de"))
    impostor = silos.serve(as_files(silos.trusting(silos.new.silo("de"), silos.both), silos.folder / "de"))
    with pytest.raises(PeerUnavailable):
        say(silos.channel(impostor.port, silos.trusting(silos.old.silo("us"), silos.both)))
    assert silos.said == ["hello", "hello"]


def test_fault_R1_an_authority_is_changed_step_by_step_without_a_restart(silos: Silos) -> None:
    ours = as_files(silos.old.silo("control"), silos.folder / "control")
    theirs = as_files(silos.old.silo("us"), silos.folder / "us")
    server = silos.serve(ours)
    with TcpProxy(server.port) as line:
        us = silos.channel(line.port, following(theirs))

        def still_talks(step: str) -> None:
            line.drop_connections()  # as the connection's age does in the end
            end = time.monotonic() + 20
            while True:
                try:
                    assert say(us, step) == step
                    return
                except PeerUnavailable:
                    assert time.monotonic() < end, f"no line after: {step}"

        still_talks("old everywhere")
        put(ours, silos.trusting(silos.old.silo("control"), silos.both))
        put(theirs, silos.trusting(silos.old.silo("us"), silos.both))
        still_talks("both are trusted")
        put(ours, silos.trusting(silos.new.silo("control"), silos.both))
        still_talks("control has a new certificate")
        put(theirs, silos.trusting(silos.new.silo("us"), silos.both))
        still_talks("us has a new certificate")
        put(ours, silos.new.silo("control"))
        put(theirs, silos.new.silo("us"))
        still_talks("the old one is out")
    with pytest.raises(PeerUnavailable):
        say(silos.channel(server.port, silos.trusting(silos.old.silo("us"), silos.both)), "of the old one")
    assert "of the old one" not in silos.said


def test_a_call_that_runs_while_its_certificate_changes_ends_well(silos: Silos) -> None:
    go_on, began = threading.Event(), threading.Event()
    ours = as_files(silos.trusting(silos.old.silo("control"), silos.both), silos.folder / "control")
    theirs = as_files(silos.trusting(silos.old.silo("us"), silos.both), silos.folder / "us")

    def slow(request: StringValue, _context: object) -> StringValue:
        if request.value == "slow":
            began.set()
            assert go_on.wait(20)
        return request

    server = build_server(
        address="127.0.0.1:0",
        table=table(Door.INTERNAL),
        door=Door.INTERNAL,
        servicers=[(add_words, Words(say=slow))],
        tls=ours,
    )
    server.start()
    us = silos.channel(server.port, following(theirs))
    answers: list[str] = []
    calling = threading.Thread(target=lambda: answers.append(say(us, "slow")))
    calling.start()
    assert began.wait(20)
    put(theirs, silos.trusting(silos.new.silo("us"), silos.both))
    assert say(us, "next") == "next"
    go_on.set()
    calling.join(20)
    assert answers == ["slow"]
    server.stop(0)


def test_a_stream_of_answers_that_runs_while_its_certificate_changes_ends_well(silos: Silos) -> None:
    ours = as_files(silos.trusting(silos.old.silo("control"), silos.both), silos.folder / "control")
    theirs = as_files(silos.trusting(silos.old.silo("us"), silos.both), silos.folder / "us")
    us = silos.channel(silos.serve(ours).port, following(theirs))
    answers = split(us, "one two three")
    assert next(answers) == "one"
    put(theirs, silos.trusting(silos.new.silo("us"), silos.both))
    assert say(us) == "hello", "a call that begins later has the new certificate"
    assert list(answers) == ["two", "three"]
    left_early = split(us, "one two")
    assert next(left_early) == "one"
    left_early.close()
    assert say(us) == "hello"


def test_files_that_are_just_being_replaced_leave_the_former_in_use(silos: Silos) -> None:
    tls = as_files(silos.old.silo("us"), silos.folder / "us")
    files = PemFiles(tls.certificate_file, tls.key_file, tls.client_authority_file)
    former = files.current()
    fresh = silos.new.silo("us")
    for file, content in ((tls.certificate_file, fresh.certificate), (tls.key_file, b"half a k")):
        file.write_bytes(content)
        assert files.current() == former
    tls.key_file.unlink()
    assert files.current() == former
    tls.key_file.write_bytes(fresh.key)
    assert files.current().certificate == fresh.certificate
    assert tls.client_authority_file is not None
    tls.client_authority_file.write_bytes(b"nothing")
    assert files.current().authority == former.authority
    with pytest.raises(CannotServe):
        PemFiles(tls.certificate_file, tls.key_file, tls.client_authority_file)


def test_files_are_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    now = [0.0]
    tls = as_files(Authority.make().silo("us"), tmp_path / "us")
    files = PemFiles(tls.certificate_file, tls.key_file, monotonic=lambda: now[0])
    former = files.current()
    other = as_files(Authority.make().silo("us"), tmp_path / "other")
    other.key_file.replace(tls.key_file)
    other.certificate_file.replace(tls.certificate_file)
    now[0] = 0.9
    assert files.current() == former
    now[0] = 1.0
    assert files.current() != former


def test_fault_R2_what_was_captured_on_the_line_is_worth_nothing_when_it_is_sent_again(silos: Silos) -> None:
    server = silos.serve(as_files(silos.old.silo("control"), silos.folder / "control"))
    captured: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as tap:
        port: int = tap.getsockname()[1]

        def pass_on() -> None:
            near, _ = tap.accept()
            with near, socket.create_connection(("127.0.0.1", server.port)) as far:
                back = threading.Thread(target=_copy, args=(far, near, []))
                back.start()
                _copy(near, far, captured)
                back.join(10)

        tapping = threading.Thread(target=pass_on)
        tapping.start()
        with InternalChannel(f"127.0.0.1:{port}", peer="control", credentials=silos.old.silo("us")) as channel:
            assert say(channel, "pay once") == "pay once"
        tapping.join(20)
    assert sum(map(len, captured)) > 1000

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as again:
        again.sendall(b"".join(captured))
        again.shutdown(socket.SHUT_WR)
        while _received(again):
            pass
    assert say(silos.channel(server.port, silos.old.silo("us")), "after it") == "after it"
    assert silos.said == ["pay once", "after it"]


def _copy(source: socket.socket, target: socket.socket, kept: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # whoever hangs up first
        while chunk := _received(source):
            kept.append(chunk)
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionError:
        return b""
