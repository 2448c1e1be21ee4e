"""How fast the outbox is drained, into the same database and into another silo, beside transactions without it.

Both sides move the same messages, ten a shard, and put them by the same statement into a table made for it. The floor
of the drain takes ten shards a transaction from a queue that is nothing but a table; that of the delivery upserts the
batches by one local connection. Between the runs the tables are vacuumed, so that no run pays for the one before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import psycopg
from siloway.internal.v1 import region_callback_service_pb2_grpc as region_rpc
from sqlalchemy import text

from control_silo.callbacks.transport import RegionTransport
from region_silo.callbacks.servicer import METHODS, RegionCallbackServicer
from shared import delivery
from shared.clock import SystemClock
from shared.database import Database, Transaction
from shared.identity import read_identity
from shared.outbox.domain import Delivery, Message, Outcome, ShardResult
from shared.outbox.drainer import Drainer, Transport
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from tests.bench.doors import credentials, internal_door
from tests.bench.environment import REGION, Environment
from tests.bench.measuring import Figure, in_turn, seconds

PER_SHARD = 10
_SHARDS_A_TRANSACTION = 10
_CATEGORY = delivery.APPLY_SLUGS
_PAYLOAD = delivery.encode(delivery.ApplySlugs("changes/1", (delivery.SlugPair(7_000_000_000_000_000, "acme", 1),)))
_TABLE = "CREATE TABLE applied (aggregate text, sequence int8, body text, PRIMARY KEY (aggregate, sequence))"
_UPSERT = """
    INSERT INTO applied (aggregate, sequence, body)
    SELECT aggregate, sequence::int8, body
    FROM ROWS FROM (
        unnest(string_to_array({aggregates}, ',')), unnest(string_to_array({sequences}, ',')),
        unnest(string_to_array({bodies}, E'\\n'))
    ) AS came (aggregate, sequence, body)
    ON CONFLICT (aggregate, sequence) DO UPDATE SET body = excluded.body
"""
_OURS_UPSERT = text(_UPSERT.format(aggregates=":aggregates", sequences=":sequences", bodies=":bodies"))
_FLOOR_UPSERT = _UPSERT.format(aggregates="%s", sequences="%s", bodies="%s")
_FLOOR_TABLES = (
    "CREATE TABLE queue_shard (aggregate text PRIMARY KEY)",
    "CREATE TABLE queue (LIKE outbox_message INCLUDING ALL EXCLUDING IDENTITY)",
)
_FLOOR_TAKE = """
    WITH shard AS (
        SELECT aggregate FROM queue_shard ORDER BY aggregate LIMIT %(shards)s FOR UPDATE SKIP LOCKED
    ), done AS (
        DELETE FROM queue_shard USING shard WHERE queue_shard.aggregate = shard.aggregate
    ), taken AS (
        DELETE FROM queue USING shard WHERE queue.target = %(target)s AND queue.aggregate = shard.aggregate
        RETURNING queue.aggregate, queue.sequence, queue.payload
    )
    INSERT INTO applied (aggregate, sequence, body) SELECT aggregate, sequence, payload::text FROM taken
    ON CONFLICT (aggregate, sequence) DO UPDATE SET body = excluded.body
"""


def drain(environment: Environment) -> dict[str, Figure]:
    """outbox_drain_vs_floor, in messages a second."""
    messages = _messages(environment)
    with draining(environment) as ours, psycopg.connect(environment.empty_control_database(), autocommit=True) as queue:
        for statement in (_TABLE, *_FLOOR_TABLES):
            queue.execute(statement.encode())
        figure = in_turn(
            partial(_drain_floor, queue, messages),
            ours,
            rounds=environment.rounds,
            unit="messages/s",
            note=f"{messages} messages, {PER_SHARD} a shard; floor: {_SHARDS_A_TRANSACTION} shards a transaction",
        )
    return {"outbox_drain_vs_floor": figure}


@contextmanager
def draining(environment: Environment) -> Iterator[Callable[[], float]]:
    """Fills the outbox of a silo of its own and drains it into the same database; gives messages a second."""
    with _opened(environment.empty_control_database()) as (database, connection):
        connection.execute(_TABLE.encode())
        drainer = _drainer(database, _Local(database), DrainerSettings())
        yield lambda: _drain_ours(connection, drainer, _messages(environment))


def cross_silo(environment: Environment) -> dict[str, Figure]:
    """outbox_cross_silo_vs_floor, in messages a second, claim and settlement included."""
    messages = int(environment.scaled(30_000, 5_000))
    add = region_rpc.add_RegionCallbackServiceServicer_to_server
    with (
        _opened(environment.empty_control_database()) as (control, connection),
        _opened(environment.empty_region_database()) as (region, there),
    ):
        there.execute(_TABLE.encode())
        registry = Registry(receives={_CATEGORY: _upsert})
        servicer = RegionCallbackServicer(region, registry, take_ids=lambda _: [])
        with internal_door(environment.stack, REGION, METHODS, add, servicer) as address:
            transport = RegionTransport({REGION: address}, credentials(environment.stack, "control"))
            batch = PER_SHARD * _SHARDS_A_TRANSACTION
            drainer = _drainer(control, transport, DrainerSettings(messages_per_delivery=batch))
            try:
                figure = in_turn(
                    partial(_upsert_floor, there, messages),
                    lambda: _drain_ours(connection, drainer, messages, there),
                    rounds=environment.rounds,
                    unit="messages/s",
                    note=f"{messages} messages, {PER_SHARD} a shard, {batch} a call; both silos in this process",
                )
            finally:
                transport.close()
    return {"outbox_cross_silo_vs_floor": figure}


def _messages(environment: Environment) -> int:
    return int(environment.scaled(100_000, 10_000))


class _Local:
    """The transport of the drain: the messages go into a table of the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deliver(self, target: str, given: Delivery, timeout_s: float) -> Sequence[ShardResult]:
        messages = [message for shard in given.shards for message in shard.messages]
        self._database.transact(lambda transaction: _upsert(transaction, messages))
        return [
            ShardResult(shard.aggregate, Outcome.APPLIED, last_sequence=shard.last_sequence) for shard in given.shards
        ]


def _upsert(transaction: Transaction, messages: Sequence[Message]) -> None:
    transaction.execute(
        _OURS_UPSERT,
        {
            "aggregates": ",".join(message.aggregate for message in messages),
            "sequences": ",".join(str(message.sequence) for message in messages),
            "bodies": "\n".join(msgspec.json.encode(message.payload).decode() for message in messages),
        },
    )


def _drainer(database: Database, transport: Transport, settings: DrainerSettings) -> Drainer:
    return Drainer(
        database,
        Registry(sends={_CATEGORY: None}),
        transport,
        clock=SystemClock(),
        origin="control",
        epoch=database.read(read_identity).epoch,
        settings=settings,
    )


def _drain_ours(
    connection: "psycopg.Connection[Any]",
    drainer: Drainer,
    messages: int,
    there: "psycopg.Connection[Any] | None" = None,
) -> float:
    target = connection if there is None else there
    target.execute("TRUNCATE applied")
    _fill_outbox(connection, messages)

    def work() -> None:
        while drainer.drain_target(REGION).more:
            pass

    took_s = seconds(work)
    _check(target, messages)
    left = connection.execute("SELECT count(*) FROM outbox_message").fetchone()
    assert left == (0,), f"{left} messages were left"
    return messages / took_s


def _drain_floor(connection: "psycopg.Connection[Any]", messages: int) -> float:
    connection.execute("TRUNCATE applied, queue, queue_shard")
    _fill_queue(connection, messages)
    parameters = {"shards": _SHARDS_A_TRANSACTION, "target": REGION}

    def work() -> None:
        while connection.execute(_FLOOR_TAKE, parameters).rowcount:
            pass

    took_s = seconds(work)
    _check(connection, messages)
    return messages / took_s


def _upsert_floor(connection: "psycopg.Connection[Any]", messages: int) -> float:
    connection.execute("TRUNCATE applied")
    body = msgspec.json.encode(_PAYLOAD).decode()
    batches = []
    for start in range(0, messages // PER_SHARD, _SHARDS_A_TRANSACTION):
        names = [_name(number) for number in range(start, start + _SHARDS_A_TRANSACTION) for _ in range(PER_SHARD)]
        sequences = [str(sequence) for _ in range(_SHARDS_A_TRANSACTION) for sequence in range(1, PER_SHARD + 1)]
        batches.append((",".join(names), ",".join(sequences), "\n".join([body] * len(names))))

    def work() -> None:
        for batch in batches:
            connection.execute(_FLOOR_UPSERT, batch)

    took_s = seconds(work)
    _check(connection, messages)
    return messages / took_s


def _fill_outbox(connection: "psycopg.Connection[Any]", messages: int) -> None:
    """The next messages of each shard, as transactions would have left them."""
    shards = messages // PER_SHARD
    connection.execute(
        "INSERT INTO outbox_shard SELECT %s, 'bench/' || lpad(n::text, 8, '0'), %s FROM generate_series(0, %s) AS n"
        " ON CONFLICT ON CONSTRAINT outbox_shard_pkey"
        " DO UPDATE SET last_sequence = outbox_shard.last_sequence + excluded.last_sequence",
        (REGION, PER_SHARD, shards - 1),
    )
    connection.execute(
        "INSERT INTO outbox_message (target, aggregate, sequence, category, subject, payload, created_at)"
        " SELECT target, aggregate, last_sequence - %s + n, %s, 'changes/1', %s::jsonb, clock_timestamp()"
        " FROM outbox_shard CROSS JOIN generate_series(1, %s) AS n ORDER BY n, aggregate",
        (PER_SHARD, _CATEGORY.name, msgspec.json.encode(_PAYLOAD).decode(), PER_SHARD),
    )
    connection.execute("VACUUM ANALYZE outbox_message, outbox_shard, outbox_lease")


def _fill_queue(connection: "psycopg.Connection[Any]", messages: int) -> None:
    connection.execute(
        "INSERT INTO queue_shard SELECT 'bench/' || lpad(n::text, 8, '0') FROM generate_series(0, %s) AS n",
        (messages // PER_SHARD - 1,),
    )
    connection.execute(
        "INSERT INTO queue (id, target, aggregate, sequence, category, subject, payload, created_at)"
        " SELECT row_number() OVER (), %s, aggregate, n, %s, 'changes/1', %s::jsonb, clock_timestamp()"
        " FROM queue_shard CROSS JOIN generate_series(1, %s) AS n ORDER BY n, aggregate",
        (REGION, _CATEGORY.name, msgspec.json.encode(_PAYLOAD).decode(), PER_SHARD),
    )
    connection.execute("VACUUM ANALYZE queue, queue_shard")


def _check(connection: "psycopg.Connection[Any]", messages: int) -> None:
    found = connection.execute("SELECT count(*) FROM applied").fetchone()
    assert found == (messages,), f"{found} messages were applied instead of {messages}"


def _name(number: int) -> str:
    return f"bench/{number:08d}"


Opened = tuple[Database, "psycopg.Connection[Any]"]


@contextmanager
def _opened(url: str) -> Iterator[Opened]:
    """A silo's database as the silo has it, and a connection beside."""
    database = Database.open(url, clock=SystemClock())
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            yield database, connection
    finally:
        database.close()
