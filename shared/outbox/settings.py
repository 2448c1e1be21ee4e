"""How a drainer works, and within which bounds. A delivery must end well before its lease does.

After `refusals_max` refusals by the target's handler a message is parked; with 12 that is 70 minutes of trying.
"""

from dataclasses import dataclass

CLOCK_SKEW_S = 5.0


@dataclass(frozen=True)
class DrainerSettings:
    """Defaults suit a silo; a ValueError names what is out of bounds."""

    lease_s: float = 30.0
    deliver_timeout_s: float = 10.0
    shards_per_claim: int = 200
    messages_per_shard: int = 200
    messages_per_delivery: int = 2000
    bytes_per_delivery: int = 1 << 20
    poll_s: float = 1.0
    measure_every_s: float = 15.0
    refusals_max: int = 12

    def __post_init__(self) -> None:
        bounds = {
            "lease_s": (10, 600),
            "deliver_timeout_s": (0.1, self.lease_s - CLOCK_SKEW_S),
            "shards_per_claim": (1, 1000),
            "messages_per_shard": (1, 1000),
            "messages_per_delivery": (1, 10_000),
            "bytes_per_delivery": (1 << 10, 3 << 20),
            "poll_s": (0.01, 60),
            "measure_every_s": (1, 3600),
            "refusals_max": (1, 1000),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be between {low} and {high}")
