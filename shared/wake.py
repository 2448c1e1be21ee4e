"""NOTIFY and LISTEN as a hint that something was saved. Nothing depends on it: whoever listens also polls.

A Waker sends from a thread and a connection of its own, beside the transaction that it tells of, and sends a channel
once however often it was woken meanwhile. A Listener that has lost its connection waits out its time, then connects.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
import structlog
from psycopg import sql

_log = structlog.get_logger("siloway.wake")

_CONNECT_TIMEOUT_S = 5
_RETRY_S = 1.0


class Waker:
    """Sends NOTIFY for channels; `wake` never blocks and never raises. Close it when the process stops."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._channels: set[str] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
        self._thread.start()

    def wake(self, channel: str) -> None:
        """Tell the listeners of `channel` soon."""
        with self._changed:
            self._channels.add(channel)
            self._changed.notify()

    def close(self) -> None:
        """Send what is noted, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while channels := self._next():
            try:
                if connection is None or connection.closed:
                    connection = _connect(self._url)
                    # A NOTIFY is a commit: without this every hint waits for the disk. It holds nothing to keep.
                    connection.execute("SET synchronous_commit = off")
                for channel in channels:
                    connection.execute(sql.SQL("NOTIFY {}").format(sql.Identifier(channel)))
            except psycopg.Error:
                _log.info("notify_failed", channels=channels)
                if connection is not None:
                    connection.close()
        if connection is not None:
            connection.close()

    def _next(self) -> list[str]:
        """The channels to tell; waits for some, and is empty at the end."""
        with self._changed:
            while not self._channels and not self._closed:
                self._changed.wait()
            channels = sorted(self._channels)
            self._channels.clear()
            return channels


class Listener:
    """LISTENs on channels; for one thread. Connects when first waited on."""

    def __init__(self, database_url: str, channels: Sequence[str]) -> None:
        self._url = database_url
        self._channels = tuple(channels)
        self._connection: psycopg.Connection[Any] | None = None
        self._retry_at = 0.0

    def wait(self, timeout_s: float) -> set[str]:
        """The channels that were told of, as soon as one was; empty after `timeout_s`.

        All channels at once when the connection is new: what was told before is not known.
        """
        ends_at = time.monotonic() + timeout_s
        try:
            if self._connection is None:
                if time.monotonic() >= self._retry_at:
                    self._connection = self._listen()
                    return set(self._channels)
            else:
                return self._read(self._connection, timeout_s)
        except psycopg.Error:
            _log.info("listen_failed")
            self.close()
            self._retry_at = time.monotonic() + _RETRY_S
        time.sleep(max(0.0, ends_at - time.monotonic()))
        return set()

    def close(self) -> None:
        """Close the connection; a later wait opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _listen(self) -> "psycopg.Connection[Any]":
        connection = _connect(self._url)
        try:
            for channel in self._channels:
                connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _read(self, connection: "psycopg.Connection[Any]", timeout_s: float) -> set[str]:
        return {notice.channel for notice in connection.notifies(timeout=timeout_s, stop_after=1)}


def _connect(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT_S, keepalives_idle=30)
