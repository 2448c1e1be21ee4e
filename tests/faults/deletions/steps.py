"""Steps of a deletion that the tests of its faults share."""

from datetime import timedelta

from control_silo.deletions.purging import Purger as ControlPurger
from tests.integration.callbacks.silos import (
    Silos,
)
from tests.integration.deletions.deleting import (
    SETTINGS,
    ask_delete,
    left_in_control,
    left_in_region,
)
from tests.invariants import check_quiet

NOW = timedelta()


def all_gone(silos: Silos, organization: int) -> None:
    for database in silos.regions.values():
        assert left_in_region(database, organization) == {}
    assert left_in_control(silos, organization) == {}
    check_quiet(silos.control, silos.regions)


def begun(silos: Silos, organization: int) -> None:
    """The region is told to purge, and has not begun."""
    ask_delete(silos, organization, grace=NOW)
    assert ControlPurger(silos.control, SETTINGS).run_once() == 1
    silos.drain()
