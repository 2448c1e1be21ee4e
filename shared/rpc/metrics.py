"""What a process counts about its calls, for Prometheus.

A label's values are bounded by the table of methods: names that are no method count together as "unknown".
"""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter("siloway_rpc_calls_total", "Calls ended, by method and code.", ("method", "code"))
DURATION_S = Histogram(
    "siloway_rpc_duration_seconds",
    "Time from admission to the end of a call.",
    ("method",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600),
)
PERMITS = Gauge("siloway_rpc_permits_in_use", "Permits taken, by door and budget.", ("door", "budget"))
REFUSED = Counter(
    "siloway_rpc_refused_total", "Calls refused for want of a permit, by door and budget.", ("door", "budget")
)
UNKNOWN_METHOD = "unknown"


class MethodMeter:
    """One method's counters, looked up once."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._duration = DURATION_S.labels(method)
        self._ok = CALLS.labels(method, "OK")

    def ended(self, code: str, duration_s: float) -> None:
        """Count one call."""
        (self._ok if code == "OK" else CALLS.labels(self._method, code)).inc()
        self._duration.observe(duration_s)
