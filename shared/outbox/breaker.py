"""Whether a target counts as down. One breaker a target: an outage slows it alone, and no message pays for it.

The longest wait is short, for what waits behind it may be a revocation, and a probe is one small call.
"""

from shared.clock import Clock

_WAIT_MAX_S = 5.0


class Breaker:
    """Closed while deliveries arrive. Each failure in a row doubles the wait, up to 5 s; after it one probe may go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """The last delivery failed: what goes now is a probe, and should be small."""
        return self._failures > 0

    def wait_s(self) -> float:
        """Seconds until something may be sent; 0 when it may now."""
        return max(0.0, self._probe_at - self._clock.monotonic()) if self._failures else 0.0

    def succeeded(self) -> None:
        """A delivery was answered: close."""
        self._failures = 0

    def failed(self) -> None:
        """A delivery did not arrive, or its answer did not: open, or wait longer."""
        self._failures += 1
        self._probe_at = self._clock.monotonic() + min(2.0 ** min(self._failures - 1, 10), _WAIT_MAX_S)
