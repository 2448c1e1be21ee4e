"""Deletions under a running comparison are no differences, and nothing of what was deleted comes back."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger as ControlPurger
from control_silo.reconciliation.domain import RepairMode
from region_silo.deletions.purging import Purger as RegionPurger
from tests.integration.callbacks.silos import Silos, reservations, rows
from tests.integration.deletions.deleting import ask_delete, left_in_control, left_in_region
from tests.integration.provisioning.asking import id_of, made
from tests.integration.reconciliation.comparing import Reconciling
from tests.invariants import check_quiet

pytestmark = pytest.mark.integration


class Deletion:
    """One deletion, step by step as the processes of both silos carry it out."""

    def __init__(self, silos: Silos) -> None:
        self.silos = silos
        self.organization = id_of(made(silos))
        self.other = id_of(made(silos, slug="other"))
        control = ControlPurger(silos.control, Deletions())
        region = RegionPurger(silos.regions["us"])
        self.steps: tuple[Callable[[], object], ...] = (
            lambda: ask_delete(silos, self.organization, grace=timedelta()),
            lambda: silos.drain("control"),
            control.run_once,
            lambda: silos.drain("control"),
            region.run_once,
            lambda: silos.drain("us"),
            control.run_once,
            silos.drain,
        )

    def is_over(self) -> None:
        assert left_in_control(self.silos, self.organization) == {}
        assert left_in_region(self.silos.regions["us"], self.organization) == {}
        held = {slug: row[0] for slug, row in reservations(self.silos.control).items()}
        assert held == {"acme": None, "other": self.other}
        mapped = rows(self.silos.control, "SELECT organization_id FROM organization_mapping")
        assert mapped == [(self.other,)]
        check_quiet(self.silos.control, self.silos.regions)


def test_a_comparison_after_each_step_of_a_deletion_finds_and_revives_nothing(silos: Silos) -> None:
    deletion = Deletion(silos)
    reconciling = Reconciling(silos, repair=RepairMode.ALL)
    reconciling.go()
    for step in deletion.steps:
        step()
        reconciling.go()
        assert reconciling.told() == []
    deletion.is_over()
    reconciling.go()
    assert reconciling.differences(pending=True) == []
    silos.drain()
    deletion.is_over()


@pytest.mark.parametrize("method", ["digest_ranges", "list_rows", "read_rows"])
def test_a_deletion_between_the_looks_of_a_comparison_is_no_difference(silos: Silos, method: str) -> None:
    deletion = Deletion(silos)
    reconciling = Reconciling(silos, repair=RepairMode.ALL, range_rows=1)
    left = list(deletion.steps)
    if method != "digest_ranges":
        left.pop(0)()  # so that a range differs on the way and rows are looked at
        for _ in range(4):
            left.pop(0)()

    def go_on(called: str) -> None:
        if called == method and left:
            left.pop(0)()

    reconciling.regions.before = go_on
    for _ in range(10):
        reconciling.go()
        assert reconciling.told() == []
    assert len(left) <= 1, "the last delivery is nobody's to look at"
    silos.drain()
    deletion.is_over()
    assert reconciling.differences(pending=True) == []
