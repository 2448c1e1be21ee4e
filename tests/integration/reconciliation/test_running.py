"""Who compares what and when: leases, regions that are down or lost, how many statements, the doors."""

import threading
import uuid

import pytest

from control_silo.reconciliation import usecases
from control_silo.reconciliation.domain import Nature, Repair
from shared.comparing.domain import Kind
from shared.requests import Mutation
from tests.integration.callbacks.silos import Silos, execute, rows
from tests.integration.provisioning.asking import id_of, made
from tests.integration.reconciliation.comparing import Reconciling
from tests.integration.reconciliation.test_kinds import minted
from tests.statements import counted

pytestmark = pytest.mark.integration


def add_tokens(silos: Silos, count: int) -> None:
    """Equal rows in control and both regions."""
    for database in (silos.control, *silos.regions.values()):
        execute(
            database,
            """
            INSERT INTO token (id, secret_hash, name, audience, scopes, version, created_at)
            SELECT 1000 + i, decode(md5(i::text), 'hex'), 'robot', '{*}', '{project:read}', 1, '2026-01-01Z'
            FROM generate_series(1, :count) AS i
            """,
            count=count,
        )


def test_a_region_that_is_down_holds_up_no_other_and_is_tried_again(silos: Silos) -> None:
    reconciling = Reconciling(silos)
    reconciling.regions.down.add("de")

    assert sorted(reconciling.go()) == ["de", "us"]

    assert reconciling.equal_up_to("us", Kind.SLUG)
    assert reconciling.states()["de", Kind.REGION].last_error == "PEER_UNREACHABLE"
    assert reconciling.states()["de", Kind.REGION].equal_up_to is None
    silos.clock.advance(29)  # type: ignore[attr-defined]  # the tests' clock
    assert reconciling.reconciler.compare_due(reconciling.stop) is None
    reconciling.regions.down.clear()
    silos.clock.advance(2)  # type: ignore[attr-defined]  # as above
    assert reconciling.reconciler.compare_due(reconciling.stop) == "de"
    assert reconciling.equal_up_to("de", Kind.SLUG)
    assert reconciling.states()["de", Kind.REGION].last_error == ""


def test_a_repair_that_the_region_could_not_be_told_is_due_again(silos: Silos) -> None:
    organization_id = id_of(made(silos))
    execute(
        silos.control, "UPDATE organization_mapping SET version = 0 WHERE organization_id = :id", id=organization_id
    )
    reconciling = Reconciling(silos)
    looks: list[str] = []

    def down_when_told(method: str) -> None:
        looks.append(method)
        if method == "read_rows" and looks.count("read_rows") == 2:
            reconciling.regions.down.add("us")

    reconciling.regions.before = down_when_told

    reconciling.go()

    (found,) = reconciling.differences()
    assert (found.nature, found.repair, found.repaired_at) == (Nature.OLDER, Repair.RESEND, None)
    reconciling.regions.down.clear()
    reconciling.go()
    silos.drain()
    reconciling.go()
    assert reconciling.told() == []


def test_a_region_that_was_declared_lost_is_not_called(silos: Silos) -> None:
    execute(silos.control, "UPDATE region_directory SET lost_at = now() WHERE name = 'de'")
    reconciling = Reconciling(silos)

    assert reconciling.go() == ["us"]
    assert {name for name, _ in reconciling.regions.calls} == {"us"}


def test_operators_are_told_how_far_regions_are_equal_though_there_is_always_one_to_compare(
    silos: Silos, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciling = Reconciling(silos)
    measured: list[int] = []
    monkeypatch.setattr(reconciling.reconciler, "measure", lambda: measured.append(len(reconciling.regions.calls)))

    def others_are_due(method: str) -> None:
        execute(silos.control, "UPDATE reconciliation_lease SET due_at = '2020-01-01' WHERE token IS NULL")
        if len(reconciling.regions.calls) == 20:
            reconciling.stop.set()

    reconciling.reconciler.compare_due(reconciling.stop)
    execute(silos.control, "UPDATE reconciliation_lease SET due_at = '2020-01-01'")
    reconciling.regions.before = others_are_due

    reconciling.reconciler.run(reconciling.stop)

    assert measured
    assert measured[0] < 10, "after the first region"


def test_a_repair_that_is_asked_for_while_its_region_is_compared_comes_next(silos: Silos) -> None:
    token_id = minted(silos, "us")
    reconciling = Reconciling(silos)
    execute(silos.regions["us"], "UPDATE token SET name = 'other' WHERE id = :id", id=token_id)
    reconciling.go()
    (found,) = reconciling.differences()

    def ask(method: str) -> None:
        if reconciling.states()["us", Kind.SLUG].started_at == silos.clock.now():
            asked = Mutation("tokens/1", str(uuid.uuid4()), "/repair", b"")
            silos.control.transact(lambda transaction: usecases.repair_differences(transaction, asked, [found.id]))
            reconciling.regions.before = lambda method: None

    reconciling.regions.before = ask

    assert reconciling.go() == ["de", "us", "us"], "it does not wait for its turn"

    assert [each.repaired_at for each in reconciling.differences()] == [silos.clock.now()]
    silos.drain()
    reconciling.go()
    assert reconciling.told() == []


def test_two_processes_compare_each_region_once(silos: Silos) -> None:
    first, second = Reconciling(silos), Reconciling(silos)
    first.reconciler.compare_due()
    silos.clock.advance(301)  # type: ignore[attr-defined]  # the tests' clock
    together = threading.Barrier(2)
    compared: list[str] = []

    def compare(each: Reconciling) -> None:
        together.wait()
        while (name := each.reconciler.compare_due(each.stop)) is not None:
            compared.append(name)

    threads = [threading.Thread(target=compare, args=(each,)) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(compared) == ["de", "us"]
    assert len([1 for call in (*first.regions.calls, *second.regions.calls) if call[1] == "digest_ranges"]) == 8


def test_a_lease_that_another_process_has_by_now_ends_the_comparison(silos: Silos) -> None:
    reconciling = Reconciling(silos)
    taken = "UPDATE reconciliation_lease SET token = gen_random_uuid(), lease_until = now() + interval '1 year'"
    reconciling.regions.before = lambda method: execute(silos.control, taken)

    reconciling.go()

    assert len(reconciling.regions.calls) == 1, "nothing is asked without the lease"
    assert all(found.finished_at is not None for found in reconciling.states().values())


def test_ten_thousand_equal_rows_cost_a_few_statements(silos: Silos) -> None:
    add_tokens(silos, 30_000)
    reconciling = Reconciling(silos)
    reconciling.reconciler.compare_due(reconciling.stop)
    silos.clock.advance(301)  # type: ignore[attr-defined]  # the tests' clock

    with counted(silos.control.engine) as control, counted(silos.regions["us"].engine) as us:
        while reconciling.reconciler.compare_due(reconciling.stop) is not None:
            pass

    assert reconciling.states()["us", Kind.TOKEN].row_count == 30_000
    assert reconciling.told() == []
    # For two regions and all kinds; what is not looked at ten thousand at a time is the same for any number of rows.
    assert len(us) <= 20
    assert len(control) <= 110
    tables = [statement for statement in control if "row_number()" in statement]
    assert len(tables) == 2 * (4 + 3), "one statement for each kind's rows, one more for each ten thousand"


def test_more_differences_than_are_kept_are_found_bit_by_bit(silos: Silos, monkeypatch: pytest.MonkeyPatch) -> None:
    add_tokens(silos, 50)
    monkeypatch.setattr("control_silo.reconciliation.comparison.DIFFERENCES_MAX", 20)
    execute(silos.regions["us"], "DELETE FROM token")
    reconciling = Reconciling(silos)
    reconciling.go()
    assert len(reconciling.told()) == 20
    for _ in range(8):
        silos.drain()
        reconciling.go()
    assert reconciling.told() == []
    assert rows(silos.regions["us"], "SELECT count(*) FROM token") == [(50,)]


def test_what_was_resolved_is_forgotten_after_its_retention(silos: Silos) -> None:
    from datetime import timedelta

    from control_silo.reconciliation import store

    token_id = minted(silos, "us")
    reconciling = Reconciling(silos)
    execute(silos.regions["us"], "DELETE FROM token WHERE id = :id", id=token_id)
    reconciling.go()
    silos.drain()
    reconciling.go()
    assert len(reconciling.differences(resolved=True)) == 1
    later = silos.clock.now() + timedelta(days=1)

    assert silos.control.transact(lambda transaction: store.clean(transaction, later, 1000)) == 1
    assert reconciling.differences(resolved=True) == []
