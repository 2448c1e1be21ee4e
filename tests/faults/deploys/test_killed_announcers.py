"""A process that announces, or carries announcements to control, is killed: each deploy is still announced once."""

import signal
import subprocess
import sys

import pytest

from region_silo.deploys.sweeping import Sweep
from shared.database import Database
from tests.clock import FakeClock
from tests.integration.callbacks.silos import pending
from tests.integration.deploys.announcing import Announcing
from tests.integration.deploys.asking import activities, add_fetch, add_head, announcements, deployed
from tests.invariants import check_quiet

pytestmark = [pytest.mark.faults, pytest.mark.integration]

DEPLOYS = 3


def kill(announcing: Announcing, kind: str, point: str) -> None:
    urls = [_url(announcing.silos.regions["us"]), _url(announcing.silos.control)]
    given = [*urls, announcing.silos.clock.now().isoformat(), f"{point}=kill"]
    command = [sys.executable, "-m", "tests.faults.deploys.announcing_child", kind, *given]
    child = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr


def _url(database: Database) -> str:
    return database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def waiting(announcing: Announcing) -> list[int]:
    """Deploys whose reason to wait has ended, and nobody has announced them."""
    features = announcing.features
    features.client.create("1.0")
    add_head(features)
    add_fetch(features)
    made = [int(deployed(features.client).uid) for _ in range(DEPLOYS)]
    features.rows("UPDATE commit_fetch SET state = 'failed'")
    assert announcements(features) == []
    return made


@pytest.mark.parametrize("point", ["deploys.announced", "before_commit"])
def test_a_sweep_that_is_killed_before_its_commit_has_announced_nothing(announcing: Announcing, point: str) -> None:
    made = waiting(announcing)
    kill(announcing, "sweep", point)
    assert (announcements(announcing.features), activities(announcing.features)) == ([], [])
    assert Sweep(announcing.silos.regions["us"]).run_once() == DEPLOYS
    announcing.silos.drain()
    assert announcing.kept() == made
    assert len(activities(announcing.features)) == DEPLOYS


@pytest.mark.parametrize(
    ("point", "arrived"),
    [("after_claim", False), ("inbox_handled", False), ("after_deliver", True), ("before_settle", True)],
)
def test_a_drainer_that_is_killed_between_commit_and_settlement_announces_each_deploy_once(
    announcing: Announcing, clock: FakeClock, point: str, *, arrived: bool
) -> None:
    announcing.client.create("1.0")
    made = [int(deployed(announcing.client).uid) for _ in range(DEPLOYS)]
    kill(announcing, "drain", point)
    assert announcing.kept() == (made if arrived else [])
    assert pending(announcing.silos.regions["us"]) == DEPLOYS
    clock.advance(120)
    announcing.silos.drain()
    assert announcing.kept() == made
    check_quiet(announcing.silos.control, announcing.silos.regions)
