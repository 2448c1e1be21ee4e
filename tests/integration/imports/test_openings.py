"""The end of an import is made of small transactions, and one that is cut short anywhere is carried on."""

import json
from collections.abc import Callable

import pytest

from region_silo.imports.domain import State
from region_silo.imports.opening import OpeningLimits
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.members.retelling import Retelling
from shared import barrier
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import REGION, ImportStack

_ROWS_MAX = 2
_MEMBERS = 5
_UNTOLD = "SELECT import_id, after_id FROM member_retelling"


class Killed(BaseException):
    """Stands for the end of the process."""


def _kill_at(n: int) -> Callable[[int], None]:
    def kill(times: int) -> None:
        if times == n:
            raise Killed

    return kill


def _runner(stack: ImportStack) -> ImportRunner:
    settings = RunnerSettings(opening=OpeningLimits(rows_max=_ROWS_MAX, followers_max=_ROWS_MAX))
    return ImportRunner(stack.region, stack.spool, stack.peer, stack.ids[REGION], settings)


def _upload(stack: ImportStack, organizations: int = 1) -> int:
    """An import of five members of the first organization, with users that are active in the file."""
    people = range(1, _MEMBERS + 1)
    data = [rows.organization(pk, f"acme-{pk}") for pk in range(1, organizations + 1)]
    data += [rows.user(pk) for pk in people]
    data += [rows.member(pk, 1, pk) for pk in people]
    return stack.upload(json.dumps(data).encode()).id


def _mirrored(stack: ImportStack) -> list[int]:
    stack.silos.drain("control", REGION)
    told = stack.all_in("control", "SELECT member_id FROM organization_membership ORDER BY member_id")
    return [row["member_id"] for row in told]


def _members(stack: ImportStack) -> list[int]:
    return [row["id"] for row in stack.all_in("region", "SELECT id FROM organization_member ORDER BY id")]


def test_control_is_told_of_imported_members_a_bounded_number_in_each_transaction(stack: ImportStack) -> None:
    import_id = _upload(stack)
    noted: list[int] = []

    def count(_times: int) -> None:
        waiting = "SELECT count(*) AS n FROM outbox_message WHERE category = 'membership'"
        noted.append(stack.all_in("region", waiting)[0]["n"])

    with barrier.registered("import.between_tellings", count):
        assert stack.run(import_id, _runner(stack)).state is State.SUCCEEDED

    assert noted == [2, 4]
    assert _mirrored(stack) == _members(stack)
    assert stack.all_in("region", _UNTOLD) == []


@pytest.mark.parametrize("at", [1, 2])
def test_another_process_goes_on_to_tell_of_members_where_one_that_died_has_stopped(
    stack: ImportStack, at: int
) -> None:
    import_id = _upload(stack)
    with barrier.registered("import.between_tellings", _kill_at(at)), pytest.raises(Killed):
        stack.run(import_id, _runner(stack))

    members = _members(stack)
    assert stack.report(import_id).data_import.state is State.SUCCEEDED
    assert _mirrored(stack) == members[: at * _ROWS_MAX]
    assert stack.all_in("region", _UNTOLD) == [{"import_id": import_id, "after_id": members[at * _ROWS_MAX - 1]}]

    retelling = Retelling(stack.region, members_max=_ROWS_MAX)
    while retelling.run_once():
        pass
    assert _mirrored(stack) == members
    assert stack.all_in("region", _UNTOLD) == []


@pytest.mark.parametrize(
    ("point", "state", "opened_there"),
    [("import.between_followings", State.WRITING, 0), ("import.between_openings", State.FINISHING, 4)],
)
def test_organizations_open_in_small_transactions_that_go_on_when_a_process_dies_between_them(
    stack: ImportStack, point: str, state: State, opened_there: int
) -> None:
    import_id = _upload(stack, organizations=5)
    with barrier.registered(point, _kill_at(2)), pytest.raises(Killed):
        stack.run(import_id, _runner(stack))
    opened = "SELECT count(*) AS n FROM organization WHERE state = 1"
    assert stack.all_in("region", opened) == [{"n": opened_there}]
    assert stack.report(import_id).data_import.state is state

    stack.clock.advance(60)
    assert stack.run(import_id, _runner(stack)).state is State.SUCCEEDED
    assert stack.all_in("region", opened) == [{"n": 5}]
    assert _mirrored(stack) == _members(stack)


def test_members_of_a_user_who_may_not_act_are_inactive_when_their_organization_opens(stack: ImportStack) -> None:
    import_id = _upload(stack)

    def suspend(times: int) -> None:
        if times == 1:
            stack.change_in(
                "region",
                "INSERT INTO known_user (id, state, version)"
                " SELECT user_id, 2, 9 FROM organization_member ORDER BY id DESC LIMIT 1"
                " ON CONFLICT ON CONSTRAINT known_user_pkey DO UPDATE SET state = 2, version = 9",
            )

    found: list[bool] = []

    def look(_times: int) -> None:
        seen = "SELECT user_is_active FROM organization_member ORDER BY id"
        found[:] = [row["user_is_active"] for row in stack.all_in("region", seen)]

    with (
        barrier.registered("import.between_followings", suspend),
        barrier.registered("import.between_tellings", look),
    ):
        assert stack.run(import_id, _runner(stack)).state is State.SUCCEEDED
    assert found == [True] * (_MEMBERS - 1) + [False]
