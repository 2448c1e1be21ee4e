"""A channel whose certificates change: calls begun after that go over a new connection, earlier ones end on theirs."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

_Credentials = TypeVar("_Credentials")


class RenewingChannel(Generic[_Credentials]):
    """What stubs need of a channel, for methods that answer with one message. Thread-safe.

    `source` is asked before each call; `open_` makes a channel of what it says.
    """

    def __init__(self, source: Callable[[], _Credentials], open_: Callable[[_Credentials], grpc.Channel]) -> None:
        self._source = source
        self._open = open_
        self._lock = threading.Lock()
        self._running: Counter[grpc.Channel] = Counter()
        self._credentials = source()
        self._channel = open_(self._credentials)
        self._is_closed = False

    def unary_unary(self, method: str, *given: Any, **options: Any) -> Callable[..., Any]:
        return self._method("unary_unary", method, given, options)

    def stream_unary(self, method: str, *given: Any, **options: Any) -> Callable[..., Any]:
        return self._method("stream_unary", method, given, options)

    def close(self) -> None:
        """End all calls and connections."""
        with self._lock:
            self._is_closed = True
            channels = {self._channel, *self._running}
        for channel in channels:
            channel.close()

    def _method(self, kind: str, method: str, given: tuple[Any, ...], options: dict[str, Any]) -> Callable[..., Any]:
        made: dict[grpc.Channel, Callable[..., Any]] = {}

        def call(request: object, **how: Any) -> Any:
            channel = self._take()
            try:
                callable_ = made.get(channel)
                if callable_ is None:
                    callable_ = getattr(channel, kind)(method, *given, **options)
                    made.clear()
                    made[channel] = callable_
                return callable_(request, **how)
            finally:
                self._give_back(channel)

        return call

    def _take(self) -> grpc.Channel:
        credentials = self._source()
        with self._lock:
            if credentials != self._credentials and not self._is_closed:
                former, self._channel = self._channel, self._open(credentials)
                self._credentials = credentials
                if not self._running[former]:
                    former.close()
            self._running[self._channel] += 1
            return self._channel

    def _give_back(self, channel: grpc.Channel) -> None:
        with self._lock:
            self._running[channel] -= 1
            if self._running[channel]:
                return
            del self._running[channel]
            is_over = channel is not self._channel
        if is_over:
            channel.close()
