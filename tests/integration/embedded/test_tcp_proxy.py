"""The proxy of the fault tests does what their names say it does."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.tcp_proxy import TcpProxy


@pytest.fixture
def echo_port() -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(line: socket.socket) -> None:
        with line:
            try:
                while heard := line.recv(1024):
                    line.sendall(heard)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    acceptor.join(10)


def _dial(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def _echo(line: socket.socket, text: bytes) -> bytes:
    line.sendall(text)
    return line.recv(len(text), socket.MSG_WAITALL)


def test_passes_bytes_both_ways_and_forgets_closed_lines(echo_port: int) -> None:
    with TcpProxy(echo_port) as proxy:
        with _dial(proxy) as line:
            assert _echo(line, b"hello") == b"hello"
            assert proxy.connections == 1
        ends_at = time.monotonic() + 10
        while proxy.connections and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert proxy.connections == 0


def test_cut_breaks_lines_and_refuses_new_ones_until_mended(echo_port: int) -> None:
    with TcpProxy(echo_port) as proxy:
        with _dial(proxy) as line:
            assert _echo(line, b"a") == b"a"
            proxy.cut()
            assert _is_broken(line)
        # The reset may already meet the client while it connects.
        with contextlib.suppress(ConnectionError), _dial(proxy) as line:
            assert _is_broken(line)
        proxy.mend()
        with _dial(proxy) as line:
            assert _echo(line, b"b") == b"b"


def test_deaf_line_stays_open_and_says_nothing(echo_port: int) -> None:
    with TcpProxy(echo_port) as proxy, _dial(proxy) as line:
        assert _echo(line, b"a") == b"a"
        proxy.deafen()
        line.sendall(b"b")
        line.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.recv(1)
        proxy.mend()
        line.settimeout(10)
        assert line.recv(1) == b"b"


def test_slow_line_holds_bytes_back(echo_port: int) -> None:
    with TcpProxy(echo_port) as proxy, _dial(proxy) as line:
        assert _echo(line, b"a") == b"a"
        proxy.slow(0.1)
        began_at = time.monotonic()
        assert _echo(line, b"b") == b"b"
        assert time.monotonic() - began_at >= 0.2


def _is_broken(line: socket.socket) -> bool:
    try:
        line.sendall(b"x")
        return line.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True
