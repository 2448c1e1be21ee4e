"""Members of an import follow what the region knows of their users, once, before their organizations open."""

import json
import threading
from collections.abc import Callable

from sqlalchemy import text

from region_silo.imports.domain import State
from region_silo.imports.opening import OpeningLimits
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.users.usecases import apply_users
from shared import barrier, delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import REGION, ImportStack

_PEOPLE = 10
_BATCHES = _PEOPLE // 2
_ACTIVE = "SELECT user_id, user_is_active FROM organization_member ORDER BY user_id"


def _runner(stack: ImportStack, followers_max: int = 2) -> ImportRunner:
    settings = RunnerSettings(opening=OpeningLimits(followers_max=followers_max))
    return ImportRunner(stack.region, stack.spool, stack.peer, stack.ids[REGION], settings)


def _upload(stack: ImportStack, slug: str = "acme") -> int:
    people = range(1, _PEOPLE + 1)
    data = [rows.organization(1, slug), *map(rows.user, people), *(rows.member(pk, 1, pk) for pk in people)]
    return stack.upload(json.dumps(data).encode()).id


def _once(act: Callable[[], None]) -> Callable[[int], None]:
    return lambda times: act() if times == 1 else None


def _run_to_its_end(stack: ImportStack, import_id: int, runner: ImportRunner) -> list[bool]:
    """Whether each member counts when the organization opens, by user: before control tells anew of the users."""
    found: list[bool] = []
    look = _once(lambda: found.extend(row["user_is_active"] for row in stack.all_in("region", _ACTIVE)))
    with barrier.registered("import.in_finish", look):
        assert stack.run(import_id, runner).state is State.SUCCEEDED
    return found


def _users(stack: ImportStack) -> list[int]:
    return [row["user_id"] for row in stack.all_in("region", _ACTIVE)]


def test_each_member_follows_what_is_known_of_its_user_and_keeps_what_the_file_says_where_nothing_is(
    stack: ImportStack,
) -> None:
    """Every standing with either value in the file, and users that nobody has heard of, mixed in every batch."""
    import_id = _upload(stack)

    def know() -> None:
        for place, user_id in enumerate(_users(stack)):
            standing, in_file = place // 2, place % 2 == 0
            written = f"UPDATE organization_member SET user_is_active = {in_file} WHERE user_id = {user_id}"
            stack.change_in("region", written)
            if standing < 4:
                known = f"INSERT INTO known_user (id, state, version) VALUES ({user_id}, {standing}, 9)"
                stack.change_in("region", known)

    with barrier.registered("import.before_following", _once(know)):
        found = _run_to_its_end(stack, import_id, _runner(stack, followers_max=3))
    followed = {0: [True, False], 1: [True, True], 2: [False, False], 3: [False, False], 4: [True, False]}
    assert found == [value for standing in range(5) for value in followed[standing]]


def test_a_member_follows_its_user_whose_standing_changes_at_the_same_moment(stack: ImportStack) -> None:
    """The change does not see the member, for it began before; so the import has to wait for the change."""
    import_id = _upload(stack)
    user_written, may_end = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def suspend() -> None:
        user_id = _users(stack)[-1]
        stack.change_in("region", f"INSERT INTO known_user (id, state, version) VALUES ({user_id}, 1, 1)")

        def change(transaction: Transaction) -> None:
            transaction.execute(text(f"UPDATE known_user SET state = 2, version = 2 WHERE id = {user_id}"))
            user_written.set()
            assert may_end.wait(20)

        threads.append(threading.Thread(target=stack.region.transact, args=(change,)))
        threads[0].start()
        assert user_written.wait(20)
        threads.append(threading.Thread(target=let_it_end))
        threads[1].start()

    def let_it_end() -> None:
        wait_for_a_blocked_session(stack.region)
        may_end.set()

    with barrier.registered("import.before_following", _once(suspend)):
        found = _run_to_its_end(stack, import_id, _runner(stack))
    for thread in threads:
        thread.join(20)
    assert found == [True] * (_PEOPLE - 1) + [False]


def test_who_has_followed_is_not_looked_at_again_by_the_same_process_but_by_another_one(stack: ImportStack) -> None:
    import_id, other_id = _upload(stack), _upload(stack, "other")
    times: list[int] = []
    with barrier.registered("import.between_followings", times.append):
        assert stack.run(import_id, _runner(stack)).state is State.SUCCEEDED
        assert len(times) == _BATCHES, "its slugs came in another stretch than it had asked for them"

        asked, goes_on = _runner(stack), _runner(stack)
        asked.run_once()
        assert len(times) == 2 * _BATCHES
        assert stack.run(other_id, goes_on).state is State.SUCCEEDED
        assert len(times) == 3 * _BATCHES


def test_followings_are_cut_short_when_the_process_is_to_stop_and_are_done_by_another_one(stack: ImportStack) -> None:
    """They are done while the file is still written, between its batches."""
    import_id = _upload(stack)
    stop, times = threading.Event(), list[int]()

    def stop_it(number: int) -> None:
        times.append(number)
        stop.set()

    with barrier.registered("import.between_followings", stop_it):
        _runner(stack).run(stop)
    assert times == [1]
    assert stack.report(import_id).data_import.state is State.WRITING
    assert _run_to_its_end(stack, import_id, _runner(stack)) == [True] * _PEOPLE


def test_what_control_tells_of_a_user_after_the_following_reaches_the_member_before_it_opens(
    stack: ImportStack,
) -> None:
    import_id = _upload(stack)
    runner = _runner(stack)
    runner.run_once()
    assert stack.report(import_id).data_import.state is State.RESERVING
    user_id = _users(stack)[0]
    told = delivery.encode(delivery.UserState(is_active=False, addresses=()))
    message = Message(f"users/{user_id}", 1, delivery.USER.name, str(user_id), told, version=5)
    stack.region.transact(lambda transaction: apply_users(transaction, [message]))

    assert _run_to_its_end(stack, import_id, runner) == [False] + [True] * (_PEOPLE - 1)
