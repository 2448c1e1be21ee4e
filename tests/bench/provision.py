"""ProvisionOrganization until both silos know the organization, beside the commits and calls that it cannot do without.

The floor is 6 commits of one row each, in a row, and 3 calls of an echo, by one caller: what a conversation of the
silos takes when nothing else costs anything.
"""

import statistics
import time
from typing import Any

import grpc
import psycopg

from tests.bench.echo import METHOD, echo_server
from tests.bench.environment import REGION, Environment
from tests.bench.measuring import Figure, from_runs

_COMMITS = 6
_ECHOES = 3
_BODY = bytes(100)


def run(environment: Environment) -> dict[str, Figure]:
    """provision_vs_floor, in seconds (p50); visible in both silos is checked outside of what is timed."""
    calls = int(environment.scaled(30, 8))
    with (
        echo_server() as address,
        grpc.insecure_channel(address) as channel,
        psycopg.connect(environment.stack.database_url(REGION), autocommit=True) as connection,
    ):
        echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        connection.execute("CREATE TABLE floor_provision (id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)")
        try:
            runs = []
            for number in range(environment.rounds + 1):
                pairs = [(_floor(connection, echo), _ours(environment)) for _ in range(calls)]
                if number:  # the first round warms up
                    runs.append((statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)))
        finally:
            connection.execute("DROP TABLE floor_provision")
    note = f"p50 of {calls} a round; floor: {_COMMITS} commits in a row + {_ECHOES} echoes"
    return {"provision_vs_floor": from_runs(runs, unit="s", note=note)}


def _floor(connection: "psycopg.Connection[Any]", echo: "grpc.UnaryUnaryMultiCallable[bytes, bytes]") -> float:
    began = time.perf_counter()
    for _ in range(_COMMITS):
        connection.execute("INSERT INTO floor_provision (body) VALUES ('x')")
    for _ in range(_ECHOES):
        echo(_BODY)
    return time.perf_counter() - began


def _ours(environment: Environment) -> float:
    began = time.perf_counter()
    name = environment.organization()
    took_s = time.perf_counter() - began
    organization_id = int(name.removeprefix("organizations/"))
    for silo, query in (
        ("control", "SELECT count(*) FROM organization_mapping WHERE organization_id = %s AND slug IS NOT NULL"),
        (REGION, "SELECT count(*) FROM organization WHERE id = %s AND slug IS NOT NULL"),
    ):
        assert environment.stack.value(silo, query, organization_id) == 1, f"{name} is not visible in {silo}"
    return took_s
