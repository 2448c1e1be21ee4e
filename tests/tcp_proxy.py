"""A TCP proxy between a client and a server under test, whose line can be cut, slowed down or made deaf.

Deaf means: connections stay open and new ones are accepted, but no byte passes in either direction.
"""

import contextlib
import socket
import threading
import time
from types import TracebackType

_CHUNK_BYTES = 64 * 1024


class TcpProxy:
    """Listens on `port` of loopback and passes everything on to `target_port` until told otherwise."""

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1") -> None:
        self._target = (target_host, target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._refusing = False
        self._delay_s = 0.0
        self._hearing = threading.Event()
        self._hearing.set()
        self._closed = False
        threading.Thread(target=self._accept, name="tcp-proxy", daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections pass through it now."""
        with self._lock:
            return len(self._sockets) // 2

    def cut(self) -> None:
        """Break every connection, and each new one at once, until `mend()`."""
        with self._lock:
            self._refusing = True
        self.drop_connections()

    def drop_connections(self) -> None:
        """Break the present connections; new ones are served."""
        with self._lock:
            broken, self._sockets = self._sockets, set()
        for line in broken:
            _reset(line)

    def slow(self, delay_s: float) -> None:
        """Hold every chunk back by `delay_s`; 0 ends that."""
        self._delay_s = delay_s

    def deafen(self) -> None:
        """Let nothing pass until `mend()`."""
        self._hearing.clear()

    def mend(self) -> None:
        """Work as at the beginning. What deafness held back passes now."""
        with self._lock:
            self._refusing = False
        self._delay_s = 0.0
        self._hearing.set()

    def close(self) -> None:
        self._closed = True
        self._listener.close()
        self._hearing.set()
        self.cut()

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with self._lock:
                refusing = self._refusing
            if refusing:
                _reset(client)
                continue
            threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        self._hearing.wait()
        try:
            server = socket.create_connection(self._target, timeout=10)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        with self._lock:
            refusing = self._refusing
            if not refusing:
                self._sockets |= {client, server}
        if refusing:
            _reset(client)
            _reset(server)
            return
        back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
        back.start()
        self._pass_on(client, server)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        how = socket.SHUT_WR
        try:
            while chunk := source.recv(_CHUNK_BYTES):
                if self._delay_s:
                    time.sleep(self._delay_s)
                self._hearing.wait()
                sink.sendall(chunk)
        except OSError:
            how = socket.SHUT_RDWR
        with contextlib.suppress(OSError):
            sink.shutdown(how)


def _reset(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        line.shutdown(socket.SHUT_RDWR)
    line.close()
