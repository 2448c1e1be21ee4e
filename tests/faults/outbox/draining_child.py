"""Drains control's outbox into the region's inbox until it is empty: a process of its own, for tests that kill it."""

import sys

from shared import barrier
from tests.clock import FakeClock
from tests.integration.outbox.silos import Silo, Wires, drain_all


def main() -> None:
    control_url, us_url, spec = sys.argv[1:]
    clock = FakeClock()
    control, us = (Silo.opened(name, url, clock) for name, url in (("control", control_url), ("us", us_url)))
    barrier.arm(spec)
    drain_all(control.drainer(Wires(us), shards_per_claim=2, messages_per_shard=3))
    control.close()
    us.close()


if __name__ == "__main__":
    main()
