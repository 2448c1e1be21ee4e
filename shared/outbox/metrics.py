"""What the outbox tells Prometheus. Labels are silo and category names only: both are few."""

from prometheus_client import Counter, Gauge, Histogram

SAVED = Counter("siloway_outbox_saved_total", "Messages written to the outbox.", ["target", "category"])
DELIVERED = Counter("siloway_outbox_delivered_total", "Messages that the target has applied.", ["target"])
REFUSED = Counter("siloway_outbox_refused_total", "Shards that the target refused.", ["target", "reason"])
FAILED = Counter("siloway_outbox_failed_total", "Deliveries that did not reach a target.", ["target", "reason"])
LEASE_LOST = Counter(
    "siloway_outbox_lease_lost_total", "Shards whose lease was gone when they were settled.", ["target"]
)
DELIVERY_S = Histogram("siloway_outbox_delivery_seconds", "How long a delivery took.", ["target"])
DEPTH = Gauge("siloway_outbox_depth", "Messages that wait, counted up to a limit.", ["target"])
OLDEST_S = Gauge("siloway_outbox_oldest_age_seconds", "Age of the oldest waiting message.", ["target"])
PARKED = Gauge("siloway_outbox_parked_groups", "Subjects and shards that were given up, for an operator.", ["target"])
BREAKER_OPEN = Gauge("siloway_outbox_breaker_open", "1 while the target counts as down.", ["target"])
APPLIED = Counter("siloway_inbox_applied_total", "Messages applied from another silo.", ["origin", "category"])
SKIPPED = Counter("siloway_inbox_skipped_total", "Messages whose sender gave them up.", ["origin"])
DROPPED = Counter("siloway_inbox_dropped_total", "Messages that were already known.", ["origin"])
INBOX_REFUSED = Counter("siloway_inbox_refused_total", "Shards refused to another silo.", ["origin", "reason"])
