"""What the reconciliation tells Prometheus. Labels are regions and kinds only: both are few."""

from prometheus_client import Counter, Gauge

EQUAL_UP_TO_S = Gauge(
    "siloway_reconciliation_equal_up_to_seconds",
    "Unix time up to which everything committed was seen equal; 0 before the first time.",
    ["region", "kind"],
)
DIFFERENCES = Gauge("siloway_reconciliation_differences", "Differences that are open.", ["region", "kind"])
PENDING = Gauge("siloway_reconciliation_pending", "Subjects that could not be judged yet.", ["region", "kind"])
DURATION_S = Gauge("siloway_reconciliation_duration_seconds", "How long the last comparison took.", ["region", "kind"])
FAILED = Counter("siloway_reconciliation_failed_total", "Comparisons that broke off.", ["region", "reason"])
REPAIRS = Counter("siloway_reconciliation_repairs_total", "Repairs that were sent.", ["region", "kind"])
