"""Silos in which one side refuses what the other tells it, until it is parked; and what operators do then."""

from collections.abc import Iterator
from contextlib import contextmanager

from control_silo.callbacks import registry as control_callbacks
from control_silo.changes.domain import Change
from control_silo.recovery.losing import declare_lost
from region_silo.callbacks import registry as region_callbacks
from shared.database import Database
from shared.outbox import operating
from shared.requests import RequestState
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, execute, rows
from tests.integration.provisioning.asking import at_end, new_id, record_state
from tests.invariants import check_always

SENDS = {"control": control_callbacks.sending_registry(), "us": region_callbacks.sending_registry()}


@contextmanager
def poisoned(database: Database, what: str) -> Iterator[None]:
    """Inside the block the database refuses `what`, for example "INSERT ON organization"."""
    execute(
        database,
        """
        CREATE OR REPLACE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''poison''; END'
        """,
    )
    execute(database, f"CREATE TRIGGER poison BEFORE {what} FOR EACH ROW EXECUTE FUNCTION refuse_it()")
    try:
        yield
    finally:
        execute(database, f"DROP TRIGGER poison ON {what.rsplit(maxsplit=1)[-1]}")


def drain_until_parked(silos: Silos, clock: FakeClock, silo: str) -> str:
    """Let the silo deliver until it gives a message up; the shard that is parked."""
    for _ in range(20):
        silos.drain()
        parked = rows(silo_database(silos, silo), "SELECT aggregate FROM outbox_lease WHERE parked_at IS NOT NULL")
        if parked:
            silos.drain()  # what is told about it
            return str(parked[0][0])
        clock.advance(3601)
    raise AssertionError("nothing was parked")


def failed_and_held(silos: Silos, change: Change, *slugs: str) -> None:
    """The caller is told, and nobody gets the slugs."""
    ended = at_end(silos, change)
    assert ended.state is RequestState.FAILED
    assert ended.error is not None
    assert (ended.error.reason, record_state(silos, change)) == ("MESSAGE_PARKED", "FAILED")
    held = rows(silos.control, "SELECT slug FROM slug_reservation WHERE state = 0 ORDER BY slug")
    assert [row[0] for row in held] == sorted(slugs)
    check_always(silos.control, silos.regions)


def replay(silos: Silos, silo: str, aggregate: str) -> None:
    target = "us" if silo == "control" else "control"
    database = silo_database(silos, silo)
    database.transact(lambda t: operating.replay_shard(t, SENDS[silo], target=target, aggregate=aggregate))


def skip(silos: Silos, silo: str, aggregate: str) -> None:
    target = "us" if silo == "control" else "control"
    database = silo_database(silos, silo)
    ((sequence,),) = rows(
        database,
        "SELECT min(sequence) FROM outbox_message WHERE aggregate = :aggregate AND skip_reason IS NULL",
        aggregate=aggregate,
    )
    assert isinstance(sequence, int)
    database.transact(
        lambda t: operating.skip_message(
            t, SENDS[silo], target=target, aggregate=aggregate, sequence=sequence, reason="it is poison"
        )
    )


def lose(silos: Silos, region: str = "us") -> None:
    silos.control.transact(lambda t: declare_lost(t, SENDS["control"], region=region, request_id=new_id()))


def silo_database(silos: Silos, silo: str) -> Database:
    return silos.control if silo == "control" else silos.regions[silo]
