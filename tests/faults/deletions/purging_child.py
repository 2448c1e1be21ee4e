"""Purges a region, or carries control's deletions on, in a process of its own, for tests that kill it."""

import sys

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger as ControlPurger
from region_silo.deletions.purging import Purger as RegionPurger
from shared import barrier
from shared.clock import SystemClock
from shared.database import Database


def main() -> None:
    kind, url, spec = sys.argv[1:]
    database = Database.open(url, clock=SystemClock(), pool_size=2)
    barrier.arm(spec)
    if kind == "control":
        ControlPurger(database, Deletions()).run_once()
    else:
        RegionPurger(database).run_once()
    database.close()


if __name__ == "__main__":
    main()
