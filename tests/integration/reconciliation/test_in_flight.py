"""What is on its way is no difference: changes of every sort while silos are compared, and messages that do not go."""

import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from control_silo.reconciliation.domain import Nature, Repair, State
from shared.comparing.domain import Kind
from shared.errors import SlugChangePending
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    pending,
    rows,
)
from tests.integration.provisioning.asking import ask, ask_rename, ask_swap, id_of, made
from tests.integration.reconciliation.comparing import NoWaiting, Reconciling
from tests.integration.reconciliation.test_kinds import minted
from tests.invariants import check_quiet

pytestmark = pytest.mark.integration

SECOND = "SELECT name, state, version FROM organization_mapping WHERE organization_id = :id"


def test_a_change_at_any_point_of_its_way_is_no_difference(silos: Silos) -> None:
    first = id_of(made(silos))
    second = id_of(made(silos, region="de", slug="other"))
    reconciling = Reconciling(silos)
    steps: list[Callable[[], object]] = [
        lambda: ask(silos, slug="third"),
        lambda: silos.drain("control", rounds_max=500),
        lambda: silos.drain("us", rounds_max=500),
        lambda: ask_rename(silos, first, "renamed"),
        lambda: silos.drain("control", rounds_max=500),
        lambda: silos.drain("us", rounds_max=500),
        lambda: ask_swap(silos, {first: "other", second: "renamed"}),
        lambda: silos.drain("control", rounds_max=500),
        lambda: silos.drain("us", "de", rounds_max=500),
    ]
    for step in steps:
        step()
        reconciling.go()
        assert reconciling.told() == []
    silos.drain()
    reconciling.go()
    assert reconciling.differences(pending=True) == []
    assert {kind for name, kind in reconciling.states() if reconciling.equal_up_to(name, kind)} == set(Kind)


@pytest.mark.parametrize(
    "methods", [{"digest_ranges"}, {"digest_ranges", "list_rows", "read_rows"}], ids=["ranges", "looks"]
)
def test_a_change_that_is_delivered_between_two_looks_is_no_difference(silos: Silos, methods: set[str]) -> None:
    organization_id = id_of(made(silos))
    token_id = minted(silos)
    reconciling = Reconciling(silos)
    changed: list[str] = []

    def change(called: str) -> None:
        if called not in methods or len(changed) >= 40:
            return
        changed.append(called)
        execute(silos.control, "UPDATE token SET version = version + 1 WHERE id = :id", id=token_id)
        execute(silos.regions["us"], "UPDATE token SET version = version + 1 WHERE id = :id", id=token_id)
        execute(silos.regions["de"], "UPDATE token SET version = version + 1 WHERE id = :id", id=token_id)
        ask_rename(silos, organization_id, f"acme-{len(changed)}", redirect_ttl_s=0)
        silos.drain()

    reconciling.regions.before = change
    reconciling.go()
    assert reconciling.told() == []
    reconciling.regions.before = lambda called: None
    reconciling.go()
    assert set(changed) == methods, "nothing was looked at"
    assert reconciling.differences(pending=True) == []


def test_provisions_renames_and_deliveries_under_a_running_comparison_give_no_false_difference(silos: Silos) -> None:
    organizations = [id_of(made(silos, slug=f"first-{number}")) for number in range(4)]
    reconciling = Reconciling(silos, range_rows=3)
    stop = threading.Event()
    failures: list[BaseException] = []
    done: list[int] = []

    def forever(work: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    def change(number: int) -> None:
        tag = uuid.uuid4().hex[:8]
        with suppress(SlugChangePending):
            ask_rename(silos, organizations[number], f"to-{tag}", redirect_ttl_s=0)
        ask(silos, slug=f"new-{tag}", region="us" if number % 2 else "de")
        done.append(number)

    works: list[Callable[[], object]] = [partial(change, number) for number in range(2)]
    works += [silos.drainers[name].drain_once for name in ("control", "us", "de")]
    threads = [threading.Thread(target=forever, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            reconciling.go()
            assert reconciling.told() == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(done) > 6, "nothing happened meanwhile"
    silos.drain()
    reconciling.go()
    assert reconciling.differences(pending=True) == []
    assert rows(silos.control, "SELECT id FROM audit_entry WHERE action = 'reconciliation.repair'") == []
    check_quiet(silos.control, silos.regions)


def test_what_does_not_arrive_for_an_hour_is_told_as_a_difference(silos: Silos) -> None:
    organization_id = id_of(made(silos))
    execute(silos.regions["us"], "UPDATE organization SET name = 'New', version = 2 WHERE id = :id", id=organization_id)
    reconciling = Reconciling(silos)
    reconciling.regions.resend_organizations("us", {organization_id: 2})

    reconciling.go()
    assert reconciling.told() == []
    (waiting,) = reconciling.differences(pending=True)
    assert (waiting.state, waiting.subject) == (State.PENDING, str(organization_id))
    for _ in range(12):
        reconciling.go()

    assert reconciling.told() == [("us", Kind.ORGANIZATION, str(organization_id), Nature.OLDER, Repair.RESEND)]
    silos.drain()
    reconciling.go()
    assert reconciling.differences(pending=True) == []


def test_fault_P10_word_of_an_organization_without_a_mapping_waits_and_is_repaired_once_it_has_a_reservation(
    silos: Silos,
) -> None:
    (organization_id,) = organization_ids(1, 1)
    subject = str(organization_id)
    add_organizations(silos.regions["us"], [(organization_id, "acme")])
    execute(silos.regions["us"], "UPDATE organization SET slug = 'acme', state = 1 WHERE id = :id", id=organization_id)
    reconciling = Reconciling(silos)
    reconciling.regions.resend_organizations("us", {organization_id: 1})

    silos.drain()
    reconciling.go()

    assert pending(silos.regions["us"]) == 1, "it is refused, and kept"
    assert rows(silos.control, "SELECT organization_id FROM organization_mapping") == []
    assert reconciling.told() == [("us", Kind.SLUG, subject, Nature.GONE, Repair.NONE)]
    assert [found.subject for found in reconciling.differences(pending=True)] == [subject, subject]

    for _ in range(12):
        silos.clock.advance(4000)  # type: ignore[attr-defined]  # the tests' clock
        silos.drain()
    assert rows(silos.regions["us"], "SELECT subject FROM outbox_parked") == [(subject,)], "given up, and remembered"
    reconciling.go()
    assert ("us", Kind.ORGANIZATION, subject, Nature.MISSING, Repair.NONE) in reconciling.told()

    execute(
        silos.control,
        """
        INSERT INTO slug_reservation
            (slug, organization_id, holder, region, type, state, fence_version, created_at, updated_at)
        VALUES ('acme', :id, 'organizations/' || :id, 'us', 0, 1, 1, now(), now())
        """,
        id=organization_id,
    )
    reconciling.go()
    silos.drain()
    reconciling.go()

    assert rows(silos.control, SECOND, id=organization_id) == [("Name of acme", "active", 3)]
    assert rows(silos.regions["us"], "SELECT subject FROM outbox_parked") == []
    assert reconciling.differences(pending=True) == []
    check_quiet(silos.control, silos.regions)


def test_a_wait_that_is_interrupted_leaves_the_region_due(silos: Silos) -> None:
    token_id = minted(silos, "us")
    execute(silos.regions["us"], "DELETE FROM token WHERE id = :id", id=token_id)
    reconciling = Reconciling(silos)
    reconciling.stop = NoWaiting(lambda seconds: reconciling.stop.set())

    reconciling.go()

    assert reconciling.told() == []
    assert set(rows(silos.control, "SELECT lease_until FROM reconciliation_lease")) == {(None,)}
