"""The way to Redis: short time-outs and a breaker, because nothing that Redis does is needed for a right answer.

A failure is told by RedisUnavailableError and makes every caller skip Redis for a second, so that a dead server costs
one time-out a second and not one a call. Works with one Redis or Valkey server, or one primary with replicas; not a
cluster.
"""

import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.clock import Clock

TIMEOUT_S = 0.05
SKIP_S = 1.0


class RedisUnavailableError(Exception):
    """Redis did not do it in time, refused it, or is being skipped. It may have done it all the same."""


class RedisLink:
    """A client, its connections and its breaker; one a process. Thread-safe."""

    def __init__(self, client: redis.Redis, *, clock: Clock, skip_s: float = SKIP_S) -> None:
        self._client = client
        self._clock = clock
        self._skip_s = skip_s
        self._lock = threading.Lock()
        self._skip_until_s = 0.0

    @classmethod
    def open(cls, url: str, *, clock: Clock, timeout_s: float = TIMEOUT_S) -> "RedisLink":
        """A link to the server of a redis:// URL. Does not connect yet."""
        client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
        return cls(client, clock=clock)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def skipping(self) -> bool:
        """Whether a failure is so fresh that calls do not try."""
        with self._lock:
            return self._clock.monotonic() < self._skip_until_s

    def script(self, source: str) -> "Script":
        """A Lua script that `call` runs; it is sent whole only when the server does not know it."""
        return Script(self, self._client.register_script(source))

    def fail(self) -> None:
        """Note a failure: skip Redis for a while."""
        with self._lock:
            self._skip_until_s = self._clock.monotonic() + self._skip_s


class Script:
    """One Lua script on one link."""

    def __init__(self, link: RedisLink, registered: Any) -> None:
        self._link = link
        self._registered = registered

    def call(self, keys: Sequence[str], args: Sequence[str | bytes | int] = (), *, insist: bool = False) -> Any:
        """Run it and return its answer. `insist` tries even while others skip. Raises RedisUnavailableError."""
        if not insist and self._link.skipping:
            raise RedisUnavailableError("skipped after a failure")
        try:
            return self._registered(keys=list(keys), args=list(args))
        except (redis.RedisError, OSError) as exc:
            self._link.fail()
            raise RedisUnavailableError(str(exc)) from exc
