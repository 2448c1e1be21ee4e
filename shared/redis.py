"""The way to Redis: short time-outs and a breaker, because nothing that Redis does is needed for a right answer.

A failure is told by RedisUnavailableError and makes every caller skip Redis for a second, so that a dead server costs
one time-out a second and not one a call. Works with one Redis or Valkey server, or one primary with replicas; not a
cluster. The library and the connection come with the first call: many processes never make one.
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.clock import Clock

if TYPE_CHECKING:
    import redis

TIMEOUT_S = 0.05
SKIP_S = 1.0


class RedisUnavailableError(Exception):
    """Redis did not do it in time, refused it, or is being skipped. It may have done it all the same."""


class RedisLink:
    """A client, its connections and its breaker; one a process. Thread-safe."""

    def __init__(self, url: str, *, clock: Clock, timeout_s: float, skip_s: float = SKIP_S) -> None:
        self._url = url
        self._clock = clock
        self._timeout_s = timeout_s
        self._skip_s = skip_s
        self._lock = threading.Lock()
        self._skip_until_s = 0.0
        self._client: redis.Redis | None = None

    @classmethod
    def open(cls, url: str, *, clock: Clock, timeout_s: float = TIMEOUT_S) -> "RedisLink":
        """A link to the server of a redis:// URL. Does not connect yet."""
        return cls(url, clock=clock, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()

    @property
    def skipping(self) -> bool:
        """Whether a failure is so fresh that calls do not try."""
        with self._lock:
            return self._clock.monotonic() < self._skip_until_s

    def script(self, source: str) -> "Script":
        """A Lua script that `call` runs; it is sent whole only when the server does not know it."""
        return Script(self, source)

    def client(self) -> "redis.Redis":
        """The library's client, made once."""
        with self._lock:
            if self._client is None:
                # Here and not above: loading it is a fifteenth of a process's start.
                import redis  # noqa: PLC0415
                from redis.backoff import NoBackoff  # noqa: PLC0415
                from redis.retry import Retry  # noqa: PLC0415

                self._client = redis.Redis.from_url(
                    self._url,
                    socket_timeout=self._timeout_s,
                    socket_connect_timeout=self._timeout_s,
                    retry=Retry(NoBackoff(), 0),
                )
            return self._client

    def fail(self) -> None:
        """Note a failure: skip Redis for a while."""
        with self._lock:
            self._skip_until_s = self._clock.monotonic() + self._skip_s


class Script:
    """One Lua script on one link."""

    def __init__(self, link: RedisLink, source: str) -> None:
        self._link = link
        self._source = source
        self._registered: Any = None

    def call(self, keys: Sequence[str], args: Sequence[str | bytes | int] = (), *, insist: bool = False) -> Any:
        """Run it and return its answer. `insist` tries even while others skip. Raises RedisUnavailableError."""
        if not insist and self._link.skipping:
            raise RedisUnavailableError("skipped after a failure")
        if self._registered is None:
            self._registered = self._link.client().register_script(self._source)
        from redis.exceptions import RedisError  # noqa: PLC0415 - as in `client`; it is loaded by now

        try:
            return self._registered(keys=list(keys), args=list(args))
        except (RedisError, OSError) as exc:
            self._link.fail()
            raise RedisUnavailableError(str(exc)) from exc
