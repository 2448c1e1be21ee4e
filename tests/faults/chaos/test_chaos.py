"""A thousand mixed provisions, renames and swaps from sixteen callers, while each process of a whole stack is killed in
turn, and stands still in turn. Run it with `make chaos`; CHAOS_SEED repeats what the callers draw, CHAOS_CHANGES,
CHAOS_CALLERS, CHAOS_ROUNDS (of kills) and CHAOS_HALTS (rounds too) make it longer, or calm when they are 0. A delivery
waits 10 s for its answer and a lease runs 30 s: with CHAOS_HALT_MAX_S above, whoever stood still acts too late.

Threads and processes take turns as they like: a seed repeats the plans, not the interleaving.
"""

import os
import random
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from siloway.control.v1 import token_service_pb2 as token_pb
from siloway.control.v1 import user_service_pb2 as user_pb

from shared.database import Database
from siloway_client.client import ControlClient, new_request_id
from tests.faults.chaos.callers import Caller
from tests.faults.chaos.checks import Watcher, await_quiet, check_at_rest, check_organizations, check_outcomes
from tests.faults.chaos.killer import Killer
from tests.faults.chaos.world import World
from tests.stack import RunningStack

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
CHANGES = int(os.environ.get("CHAOS_CHANGES") or 1000)
CALLERS = int(os.environ.get("CHAOS_CALLERS") or 16)
ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 1)
HALTS = int(os.environ.get("CHAOS_HALTS") or 1)
HALT_MAX_S = float(os.environ.get("CHAOS_HALT_MAX_S") or 14)
TIMEOUT_S = 1800
_USERS = 4


@pytest.mark.timeout(TIMEOUT_S)
def test_a_thousand_changes_of_sixteen_callers_keep_all_invariants_while_each_process_is_killed(
    stack: RunningStack, databases: tuple[Database, dict[str, Database]], pytestconfig: pytest.Config
) -> None:
    say = pytestconfig.get_terminal_writer().line
    say(f"CHAOS_SEED={SEED}")
    world = World(CHANGES)
    killer = Killer(stack, world, SEED, rounds=ROUNDS, halts=HALTS, halt_max_s=HALT_MAX_S)
    watcher = Watcher(world, *databases)
    with ExitStack() as open_clients:
        clients = {number: open_clients.enter_context(_client(stack, number)) for number in range(CALLERS)}
        users = _users(stack)
        callers = [
            Caller(number, SEED, world, client, users=users, killing=killer.done) for number, client in clients.items()
        ]
        began = time.monotonic()
        for thread in (watcher, killer, *callers):
            thread.start()
        for thread in (*callers, killer):
            thread.join(TIMEOUT_S)
        took_s = time.monotonic() - began
        watcher.end()
        told = _told(world, killer, watcher, took_s)
        say(told)
        assert world.wrong == [], f"CHAOS_SEED={SEED}\n{told}\n" + "\n".join(world.wrong)

        await_quiet(stack)
        say(f"quiet {time.monotonic() - began - took_s:.1f} s later")
        check_at_rest(*databases)
        check_outcomes(world, clients)
        check_organizations(stack, world)
        check_at_rest(*databases)
    assert (len(killer.killed), len(killer.halted)) == (ROUNDS * 8, HALTS * 6)


def _told(world: World, killer: Killer, watcher: Watcher, took_s: float) -> str:
    changes = world.count()
    kinds = Counter(asked.kind for asked in world.asked if asked.answers)
    return (
        f"{changes} changes in {took_s:.1f} s ({changes / took_s:.1f}/s), {len(world.asked)} asked for, "
        f"{world.again} sent again, {watcher.looks} looks\n{dict(kinds)}\n{dict(world.refused)}\n"
        f"killed: {', '.join(f'{name} back after {back_s:.1f} s' for name, back_s in killer.killed)}\n"
        f"halted: {', '.join(f'{name} for {halted_s:.1f} s' for name, halted_s in killer.halted)}"
    )


def _client(stack: RunningStack, number: int) -> ControlClient:
    token = token_pb.Token(display_name=f"caller {number}", scopes=["org:read", "org:admin"], audience=["control"])
    with stack.control() as control:
        made = control.tokens.CreateToken(token_pb.CreateTokenRequest(token=token, request_id=new_request_id()))
    return stack.control(made.secret)


def _users(stack: RunningStack) -> list[str]:
    with stack.control() as control:
        return [
            str(
                control.users.CreateUser(
                    user_pb.CreateUserRequest(user=user_pb.User(username=f"user-{number}"), request_id=new_request_id())
                ).name
            )
            for number in range(_USERS)
        ]
