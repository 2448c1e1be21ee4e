"""Sweeps a region's deploys, or drains its outbox into control, in a process of its own, for tests that kill it."""

import sys
from datetime import datetime

from region_silo.deploys.sweeping import Sweep
from shared import barrier
from shared.database import Database
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos


def main() -> None:
    kind, region_url, control_url, now, spec = sys.argv[1:]
    clock = FakeClock(datetime.fromisoformat(now))
    region, control = (Database.open(url, clock=clock, pool_size=4) for url in (region_url, control_url))
    barrier.arm(spec)
    if kind == "sweep":
        Sweep(region).run_once()
    else:
        Silos(control, {"us": region}, clock).drain("us")
    region.close()
    control.close()


if __name__ == "__main__":
    main()
