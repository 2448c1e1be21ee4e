"""A channel whose certificates change: calls begun after that go over a new connection, earlier ones end on theirs."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import grpc

_Credentials = TypeVar("_Credentials")


class Answers:
    """A stream of answers. Whoever asked for it cancels it in the end, however that came: it holds its connection."""

    def __init__(self, answers: Any, give_back: Callable[[], None]) -> None:
        self._answers = answers
        self._give_back = give_back
        self._is_over = False

    def __iter__(self) -> Iterator[Any]:
        return iter(self._answers)

    def cancel(self) -> None:
        """End it, if it has not ended; the connection may go."""
        if not self._is_over:
            self._is_over = True
            self._answers.cancel()
            self._give_back()


class RenewingChannel(Generic[_Credentials]):
    """What stubs need of a channel, for methods that answer with one message or with a stream. Thread-safe.

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

    def unary_stream(self, method: str, *given: Any, **options: Any) -> Callable[..., "Answers"]:
        def call(request: object, **how: Any) -> Answers:
            channel = self._take()
            try:
                answers = channel.unary_stream(method, *given, **options)(request, **how)
            except BaseException:
                self._give_back(channel)
                raise
            return Answers(answers, lambda: self._give_back(channel))

        return call

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
