"""ReserveSlugs of many organizations through control's internal door, beside one statement that inserts the slugs.

One slug in ten is taken by the organization before. The floor gives each of those a suffix and inserts all in one
statement, into a table made like ours with all its indexes: it neither looks for a free suffix again, nor writes
mappings, nor queues what the region has to apply.
"""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Any

import psycopg
from siloway.internal.v1 import control_callback_service_pb2_grpc as control_rpc

from control_silo.callbacks.servicer import METHODS, ControlCallbackServicer
from control_silo.regions.domain import Region
from control_silo.regions.usecases import register_regions
from region_silo.slugs.reservations import SlugReservations, SlugWish
from shared.clock import SystemClock
from shared.database import Database
from shared.snowflake.domain import LAYOUT_2
from tests.bench.doors import channel, internal_door
from tests.bench.environment import REGION, Environment
from tests.bench.measuring import Figure, in_turn, seconds

_NUMBER = 1
_EMPTY = "TRUNCATE slug_reservation, organization_mapping, outbox_message, outbox_shard, floor_slug"
_FLOOR = """
    INSERT INTO floor_slug
        (slug, organization_id, holder, region, type, state, fence_version, created_at, updated_at)
    SELECT CASE place WHEN 1 THEN slug ELSE slug || '-' || substr(md5(id), 1, 6) END, id::bigint, 'imports/1', 'us',
        3, 1, 1, clock_timestamp(), clock_timestamp()
    FROM (
        SELECT slug, id, row_number() OVER (PARTITION BY slug ORDER BY id) AS place
        FROM ROWS FROM (unnest(string_to_array(%s, ',')), unnest(string_to_array(%s, ','))) AS wished (slug, id)
    ) AS wished
    ON CONFLICT DO NOTHING
"""


def run(environment: Environment) -> dict[str, Figure]:
    """slugs_vs_one_statement, in slugs a second."""
    count = int(environment.scaled(100_000, 10_000))
    url = environment.empty_control_database()
    database = Database.open(url, clock=SystemClock())
    region = Region(REGION, _NUMBER, "127.0.0.1:1", "127.0.0.1:2")
    database.transact(lambda transaction: register_regions(transaction, [region]))
    wishes = _wishes(count)
    add = control_rpc.add_ControlCallbackServiceServicer_to_server
    try:
        with (
            psycopg.connect(url, autocommit=True) as connection,
            internal_door(environment.stack, "control", METHODS, add, ControlCallbackServicer(database)) as address,
            channel(environment.stack, address, caller=REGION, peer="control") as to_control,
        ):
            connection.execute("CREATE TABLE floor_slug (LIKE slug_reservation INCLUDING ALL)")
            figure = in_turn(
                partial(_floor, connection, wishes),
                partial(_ours, connection, SlugReservations(to_control), wishes),
                rounds=environment.rounds,
                unit="slugs/s",
                note=f"{count} organizations, one slug in ten taken; the door in this process, calls of 5,000",
            )
    finally:
        database.close()
    return {"slugs_vs_one_statement": figure}


def _wishes(count: int) -> list[SlugWish]:
    return [
        SlugWish(LAYOUT_2.encode(1000 + n // LAYOUT_2.per_second, _NUMBER, n % LAYOUT_2.per_second), slug, "Name")
        for n in range(count)
        for slug in [f"organization-{n - (n % 10 == 9)}"]
    ]


def _floor(connection: "psycopg.Connection[Any]", wishes: Sequence[SlugWish]) -> float:
    connection.execute(_EMPTY)
    slugs = ",".join(wish.base_slug for wish in wishes)
    ids = ",".join(str(wish.organization_id) for wish in wishes)
    took_s = seconds(partial(connection.execute, _FLOOR, (slugs, ids)))
    _check(connection, "floor_slug", len(wishes))
    return len(wishes) / took_s


def _ours(connection: "psycopg.Connection[Any]", asking: SlugReservations, wishes: Sequence[SlugWish]) -> float:
    connection.execute(_EMPTY)
    took_s = seconds(partial(asking.reserve, f"imports/{1 + secrets.randbits(40)}", wishes))
    _check(connection, "slug_reservation", len(wishes))
    return len(wishes) / took_s


def _check(connection: "psycopg.Connection[Any]", table: str, count: int) -> None:
    found = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert found == (count,), f"{table} has {found} rows instead of {count}"
