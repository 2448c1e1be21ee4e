"""Rows D1 and D2 of the fault matrix: processes that are killed in a deletion, and others that get in its way.

A killed process is a real one; a crash in this process is a transaction that is rolled back.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from control_silo.deletions.purging import Purger as ControlPurger
from region_silo.deletions.purging import Purger as RegionPurger
from region_silo.organizations.lookup import hold_active
from shared import barrier
from shared.database import Database, Transaction
from shared.deletion import DeletionStage
from shared.errors import OrganizationNotFound
from shared.rpc.call import acting
from tests.clock import FakeClock
from tests.faults.deletions.steps import NOW, all_gone, begun
from tests.faults.provisioning.test_faults import CrashError, crash_at, down, lines_are_good, replies_are_lost
from tests.integration.callbacks.silos import (
    Silos,
    execute,
    pending,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.deletions.deleting import (
    AT_ONCE,
    SETTINGS,
    ask_delete,
    carry_on,
    fill,
    left_in_control,
    left_in_region,
)
from tests.integration.provisioning.asking import CALLER, id_of, made, renamed
from tests.invariants import check_always

pytestmark = [pytest.mark.faults, pytest.mark.integration]


def kill(kind: str, url: str, point: str) -> None:
    command = [sys.executable, "-m", "tests.faults.deletions.purging_child", kind, url, f"{point}=kill"]
    child = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert child.returncode == -signal.SIGKILL, child.stderr


def url_of(database: Database) -> str:
    return database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("point", "some"),
    [
        ("purge.in_batch:1", False),
        ("purge.in_batch:8", True),
        ("purge.batch_deleted:2", True),
        ("purge.finished", True),
        ("before_commit:3", True),
    ],
)
def test_fault_D1_a_purge_that_is_killed_goes_on_where_it_was(silos: Silos, point: str, some: bool) -> None:
    organization, other = id_of(made(silos)), id_of(made(silos, slug="other"))
    region = silos.regions["us"]
    fill(region, organization, commits=2500)
    begun(silos, organization)
    before = left_in_region(region, organization)

    kill("region", url_of(region), point)
    left = left_in_region(region, organization)
    assert left["organization"] == 1
    assert (left != before) is some, "it was in the middle"
    assert pending(region) == 0

    carry_on(silos)
    all_gone(silos, organization)
    assert region_slugs(region) == {other: "other"}


def test_fault_D1_a_region_that_dies_after_its_commit_has_told_control_by_its_outbox(silos: Silos) -> None:
    organization = id_of(made(silos))
    begun(silos, organization)
    region = silos.regions["us"]
    assert RegionPurger(region).run_once() == 1
    assert left_in_region(region, organization) == {}
    assert pending(region) == 1, "the process that would deliver it is gone"
    assert "organization_mapping" in left_in_control(silos, organization)
    carry_on(silos)
    all_gone(silos, organization)


def test_fault_D1_control_that_dies_while_it_hears_hears_it_again(
    silos: Silos, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = id_of(made(silos))
    begun(silos, organization)
    RegionPurger(silos.regions["us"]).run_once()
    with crash_at(monkeypatch, "deletion.heard"):
        silos.drainers["us"].drain_once()
    assert rows(silos.control, "SELECT deletion FROM organization_mapping") == [(2,)]
    clock.advance(60)
    carry_on(silos)
    all_gone(silos, organization)


def test_fault_D1_what_the_region_tells_twice_is_heard_once(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    begun(silos, organization)
    lost = replies_are_lost(silos, "control", "organization")
    RegionPurger(silos.regions["us"]).run_once()
    silos.drain()
    assert lost() == 1
    carry_on(silos, AT_ONCE)
    assert left_in_control(silos, organization) == {}
    again = made(silos)
    lines_are_good(silos, clock)
    assert (again.slug, rows(silos.control, "SELECT deletion FROM organization_mapping")) == ("acme", [(0,)])
    all_gone(silos, organization)


@pytest.mark.parametrize("point", ["deletion.begun", "deletion.tokens_taken", "deletion.forgotten", "before_commit:2"])
def test_fault_D1_control_that_is_killed_in_a_deletion_goes_on_where_it_was(silos: Silos, point: str) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "acme-2")
    execute(
        silos.control,
        """
        INSERT INTO token (id, secret_hash, name, audience, scopes, organization_id, version, created_at)
        SELECT n, decode(md5(CAST(n AS text)), 'hex'), 'ci', ARRAY['us'], ARRAY['x'], :id, 1, :now
        FROM generate_series(1, 1500) AS n
        """,
        id=organization,
        now=silos.clock.now(),
    )
    if point == "deletion.begun":
        ask_delete(silos, organization, grace=NOW)
    else:
        begun(silos, organization)
        RegionPurger(silos.regions["us"]).run_once()
        silos.drain()
    kill("control", silos.control_url, point)
    assert rows(silos.control, "SELECT slug FROM organization_mapping") == [("acme-2",)], "it was in the middle"
    check_always(silos.control, silos.regions)
    carry_on(silos)
    all_gone(silos, organization)
    assert {row[2] for row in reservations(silos.control).values()} == {2}


@pytest.mark.parametrize("place", ["deletion.written", "before_commit"])
def test_fault_D1_a_deletion_that_dies_before_its_commit_has_not_been(
    silos: Silos, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    organization = id_of(made(silos))
    with crash_at(monkeypatch, place), pytest.raises(CrashError):
        ask_delete(silos, organization)
    assert rows(silos.control, "SELECT deletion, purge_at FROM organization_mapping") == [(0, None)]
    assert pending(silos.control) == 0
    ask_delete(silos, organization)


def test_fault_D1_a_region_that_is_away_is_purged_when_it_is_back(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    down(silos, "us")
    ask_delete(silos, organization, grace=NOW)
    silos.drain()
    carry_on(silos)
    assert rows(silos.control, "SELECT deletion FROM organization_mapping") == [(DeletionStage.DELETING,)]
    assert region_slugs(silos.regions["us"]) == {organization: "acme"}
    lines_are_good(silos, clock)
    carry_on(silos)
    all_gone(silos, organization)


def test_fault_D1_a_region_that_lost_the_rows_says_so(silos: Silos) -> None:
    organization = id_of(made(silos))
    for table in ("organization_member_team", "organization_member", "team", "organization"):
        execute(silos.regions["us"], f"DELETE FROM {table}")
    ask_delete(silos, organization, grace=NOW)
    silos.drain()
    carry_on(silos)
    all_gone(silos, organization)


def insert_late(database: Database, organization: int, started: threading.Event, go_on: threading.Event) -> None:
    """A write below the organization that has passed its check, and stops before its row."""

    def work(transaction: Transaction) -> None:
        hold_active(transaction, organization)
        started.set()
        assert go_on.wait(30)
        transaction.execute(
            text("INSERT INTO repository (organization_id, name, date_added) VALUES (:id, 'late', :now)"),
            {"id": organization, "now": transaction.now},
        )

    with acting(CALLER, method="/test"):
        database.transact(work)


def waits_for_a_lock(database: Database) -> Callable[[], bool]:
    statement = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return lambda: bool(rows(database, statement))


def test_fault_D2_a_row_that_was_on_its_way_before_the_purge_goes_with_it(silos: Silos) -> None:
    organization = id_of(made(silos))
    region = silos.regions["us"]
    ask_delete(silos, organization, grace=NOW)
    ControlPurger(silos.control, SETTINGS).run_once()
    started, go_on = threading.Event(), threading.Event()
    writer = threading.Thread(target=insert_late, args=(region, organization, started, go_on))
    writer.start()
    assert started.wait(30)
    telling = threading.Thread(target=silos.drain, args=("control",))
    telling.start()
    is_waiting, pause = waits_for_a_lock(region), threading.Event()
    assert any(is_waiting() or pause.wait(0.02) for _ in range(500)), "the purge waits for the writer"
    assert rows(region, "SELECT deletion FROM organization") == [(0,)]
    go_on.set()
    writer.join()
    telling.join()
    assert rows(region, "SELECT name FROM repository") == [("late",)], "it was in the middle"
    carry_on(silos)
    all_gone(silos, organization)


def test_fault_D2_a_row_that_comes_after_the_purge_began_or_ended_is_refused(silos: Silos) -> None:
    organization = id_of(made(silos))
    begun(silos, organization)
    go_on = threading.Event()
    go_on.set()
    for _ in range(2):
        with pytest.raises(OrganizationNotFound):
            insert_late(silos.regions["us"], organization, threading.Event(), go_on)
        carry_on(silos)
    all_gone(silos, organization)


def test_fault_D2_a_row_that_no_lock_kept_out_is_found_before_the_end(
    silos: Silos, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if some write forgot the organization's lock: it lands between the last batch and the end, with a lower id too.
    organization = id_of(made(silos))
    region = silos.regions["us"]
    fill(region, organization)
    begun(silos, organization)
    late: list[int] = []
    with barrier.registered("purge.in_batch", late.append):
        tables = len(left_in_region(region, organization)) - 1
        monkeypatch.setattr("region_silo.deletions.purging.ROWS_MAX", 1000)

        def insert(times: int) -> None:
            if times == tables:
                execute(
                    region,
                    """
                    INSERT INTO commit (id, organization_id, repository_id, key, date_added)
                    OVERRIDING SYSTEM VALUE VALUES (-7, :id, 1, 'late', :now)
                    """,
                    id=organization,
                    now=silos.clock.now(),
                )

        barrier._actions["purge.in_batch"] = insert
        assert RegionPurger(region).run_once() == 0
    assert left_in_region(region, organization) == {"commit": 1, "organization": 1}, "it was in the middle"
    carry_on(silos)
    all_gone(silos, organization)


def test_fault_D2_a_reservation_for_an_organization_that_is_gone_ends_by_itself(silos: Silos) -> None:
    organization = id_of(made(silos))
    begun(silos, organization)
    carry_on(silos, AT_ONCE)
    silos.reserve("us", [(organization, "acme")])  # an importer that was asleep all the time
    assert "organization_mapping" in left_in_control(silos, organization)
    silos.drain()
    all_gone(silos, organization)


def test_fault_D2_a_deletion_that_overtakes_nothing_of_a_repeated_provision(silos: Silos) -> None:
    organization = id_of(made(silos))
    seen = [delivery for target, delivery in silos.transport.seen if target == "us"]
    begun(silos, organization)
    carry_on(silos, AT_ONCE)
    execute(silos.regions["us"], "DELETE FROM inbox_shard")
    for delivery in seen:
        silos.transport.receivers["us"](delivery)
    silos.drain()
    assert region_slugs(silos.regions["us"]) == {}
    all_gone(silos, organization)
