"""Each user whom an import wrote is known by an own address: the file's, or one that control makes where it lacks."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_silo.model_imports import own_addresses
from control_silo.model_imports import servicer as model_imports
from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.sharing import ShareSettings
from region_silo.imports.writer import BatchLimits
from shared import barrier, errors
from shared.database import Transaction
from shared.importing.handover import HandedAnswer, HandedBatch, UsersToComplete
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors
from tests.integration.imports.living import ask
from tests.integration.imports.planned import apply, digests, ledger, plan
from tests.integration.imports.stack import OPERATOR, REGION, ImportStack
from tests.integration.imports.undone import contents, settle, undo

_TERMS = Terms(ImportScope.ORGANIZATION)
_ADDRESSES = "SELECT email, date_added FROM email_address ORDER BY lower(email)"
_OF_USERS = """
    SELECT u.username, e.email, e.is_verified, e.validation_hash, e.date_hash_added
    FROM user_email e JOIN user_account u ON u.id = e.user_id ORDER BY u.username, lower(e.email)
"""
_MADE = "SELECT model, count(*) FROM import_row WHERE model LIKE 'sentry.user %' GROUP BY model ORDER BY model"
_IN_FILE = "2023-06-22T22:59:55.521000+00:00"
_MIXED = [
    *(rows.user(pk, f"user{pk}@example.com") for pk in range(1, 5)),
    rows.user(5, "nameless", email=""),
    rows.user(6, "shares", email="USER4@example.com"),
    rows.email(1, "User1@Example.com"),
    rows.email(2, "user2@example.com"),
    rows.user_email(1, 1, "USER1@example.com"),
    rows.user_email(2, 3, "user3@example.com"),
]
"""Users with both rows, an address alone, a user's address alone, neither, no address, and that of another one."""
_PAIRS = {
    ("user1@example.com", "USER1@example.com"),
    *((f"user{pk}@example.com", f"user{pk}@example.com") for pk in (2, 3, 4)),
    ("shares", "USER4@example.com"),
}


class Killed(BaseException):
    """Stands for the end of the process."""


def _of_users(stack: ImportStack) -> set[tuple[str, str]]:
    return {(row["username"], row["email"]) for row in stack.all_in("control", _OF_USERS)}


def _addresses(stack: ImportStack) -> list[str]:
    return [row["email"] for row in stack.all_in("control", _ADDRESSES)]


def _made(stack: ImportStack) -> dict[str, int]:
    """How many rows of users' own are made and entered in control's ledger, by their name there."""
    return {row["model"].partition(" ")[2]: row["count"] for row in stack.all_in("control", _MADE)}


def _of_earlier_version(stack: ImportStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The region promises nothing with its batches, and never asks."""
    hand = stack.peer.import_batch

    def import_batch(batch: HandedBatch) -> HandedAnswer:
        return hand(replace(batch, own_addresses_later=False))

    monkeypatch.setattr(stack.peer, "import_batch", import_batch)
    monkeypatch.setattr("region_silo.imports.writer.with_own_addresses", lambda tasks, _taken: tasks)


def test_what_the_file_brings_stands_as_it_says_and_only_what_it_lacks_is_made(stack: ImportStack) -> None:
    done = stack.do_import(_MIXED)
    assert done.state is State.SUCCEEDED
    times = {row["email"]: row["date_added"].isoformat() for row in stack.all_in("control", _ADDRESSES)}
    assert set(times) == {"User1@Example.com", "user2@example.com", "user3@example.com", "user4@example.com"}
    assert {email for email, time in times.items() if time == _IN_FILE} == {"User1@Example.com", "user2@example.com"}
    assert _of_users(stack) == _PAIRS
    found = stack.all_in("control", _OF_USERS)
    assert not any(row["is_verified"] for row in found)
    assert len({row["validation_hash"] for row in found}) == 5
    assert {len(row["validation_hash"]) for row in found} == {32}
    assert _made(stack) == {"email": 2, "useremail": 3}
    told = ledger(stack, done.id)
    assert {told[f"sentry.{name}", pk][0] for name in ("email", "useremail") for pk in (1, 2)} == {1}


def test_a_file_without_users_asks_for_no_addresses(stack: ImportStack) -> None:
    stack.do_import([rows.organization(1), rows.email(1, "a@example.com")])
    assert stack.peer.completed == []


def test_users_that_are_left_out_or_merged_get_nothing(stack: ImportStack) -> None:
    stack.do_import([rows.user(1, "there", email="old@example.com")])
    file = [rows.user(1, "there"), rows.user(2, "new"), rows.user(3, "unwanted")]
    options = ImportOptions(merge_users=True, usernames=("there", "new"))
    assert stack.do_import(file, scope=Scope.USER, caller=OPERATOR, options=options).state is State.SUCCEEDED
    assert _of_users(stack) == {("there", "old@example.com"), ("new", "new")}
    assert _addresses(stack) == ["new", "old@example.com"]


@pytest.mark.parametrize("pages_max", [1, 3])
def test_users_are_gone_through_page_by_page_and_again_with_nothing_to_do(stack: ImportStack, pages_max: int) -> None:
    stack.peer.completing = replace(stack.peer.completing, rows_max=2, pages_max=pages_max)
    done = stack.do_import(_MIXED)
    afters = [wanted.after for wanted in stack.peer.completed]
    assert afters == ([0, 2, 4, 6] if pages_max == 1 else [0, 6])
    assert _of_users(stack) == _PAIRS
    assert _made(stack) == {"email": 2, "useremail": 3}
    before, books = contents(stack), stack.all_in("control", "SELECT * FROM import_row ORDER BY model, old_pk")
    for after in (0, 1, 6, 900):
        page = stack.peer.completing.complete_users(REGION, replace(stack.peer.completed[0], after=after))
        assert (page.last, page.has_more) == (max(after, min(6, after + 2 * pages_max)), after + 2 * pages_max <= 6)
    assert contents(stack) == before
    assert stack.all_in("control", "SELECT * FROM import_row ORDER BY model, old_pk") == books
    assert done.state is State.SUCCEEDED


def test_a_user_who_has_another_address_by_now_gets_no_second_one(stack: ImportStack) -> None:
    done = stack.do_import([rows.user(1, "ann", email="ann@example.com")])
    stack.change_in("control", "UPDATE user_account SET email = 'other@example.com'")
    stack.peer.complete_users(UsersToComplete(done.id, "tokens/7", _TERMS, 0))
    assert _of_users(stack) == {("ann", "ann@example.com")}


@pytest.mark.parametrize("rows_of", ["_OF_SPAN", "_OF_BATCH"])
def test_all_that_is_looked_up_is_looked_up_by_index_whatever_is_known_of_the_tables(
    stack: ImportStack, rows_of: str
) -> None:
    """Without statistics, as of a ledger that has just grown, and with them."""
    done = stack.do_import([rows.user(pk) for pk in range(1, 400)])
    parameters = {"import_id": done.id, "after": 0, "last": 200, "pks": list(range(1, 200))}

    def plan_of(transaction: Transaction) -> str:
        own_addresses.page_of_users(transaction, done.id, 0, 1)
        explain = b"EXPLAIN " + getattr(own_addresses, rows_of)[False]
        found = transaction.driver.execute(explain, {**parameters, "now": transaction.now}).fetchall()
        return "\n".join(line for (line,) in found)

    for statistics in ("SELECT 1", "ANALYZE import_row, user_account, user_email, email_address"):
        stack.change_in("control", statistics)
        planned = stack.control.transact(plan_of)
        assert planned.count("Index") >= 5, planned
        assert not [each for each in ("Seq Scan", "Hash", "Merge", "Bitmap") if each in planned], planned


@pytest.mark.parametrize(
    ("region", "changes", "refusal"),
    [
        ("de", {}, errors.PeerRefused),
        (REGION, {"import_id": 5}, errors.PeerRefused),
        (REGION, {"principal": "tokens/404"}, errors.ScopeMissing),
        (REGION, {"terms": Terms(ImportScope.GLOBAL)}, errors.ScopeMissing),
        (REGION, {"terms": replace(_TERMS, merge_users=True)}, errors.ScopeMissing),
    ],
)
def test_what_is_not_allowed_is_refused_and_makes_nothing(
    stack: ImportStack, region: str, changes: dict[str, Any], refusal: type[errors.ServiceError]
) -> None:
    done = stack.do_import([rows.user(1)])
    stack.change_in("control", "DELETE FROM user_email; DELETE FROM import_row WHERE model LIKE 'sentry.user %'")
    wanted = UsersToComplete(done.id, "tokens/7", _TERMS, 0)
    with pytest.raises(refusal):
        stack.peer.completing.complete_users(region, replace(wanted, **changes))
    assert _of_users(stack) == set()


def test_addresses_are_asked_for_through_controls_door(doors: Doors) -> None:
    done = doors.stack.do_import([rows.user(1), rows.user(7)])
    doors.stack.change_in("control", "DELETE FROM user_email; DELETE FROM import_row WHERE model LIKE 'sentry.user %'")
    answer = doors.peer().complete_users(UsersToComplete(done.id, "tokens/7", _TERMS, 1))
    assert (answer.last, answer.has_more) == (7, False)
    assert len(_of_users(doors.stack)) == 1
    with pytest.raises(Exception, match="Internal error"):
        doors.peer("de").complete_users(UsersToComplete(done.id, "tokens/7", _TERMS, 0))


def test_an_import_waits_for_a_process_of_control_that_is_not_upgraded_yet(
    stack: ImportStack, doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = stack.upload(json.dumps([rows.user(1)]).encode())
    older = tuple(each for each in model_imports.METHODS if not each.name.endswith("/CompleteUsers"))
    monkeypatch.setattr(model_imports, "METHODS", older)
    with ExitStack() as cleanup:
        runner = Doors(stack, tmp_path, cleanup).runner()
        for _ in range(20):
            runner.run_once()
            stack.clock.advance(60)
    assert stack.report(queued.id).data_import.state is State.WRITING
    assert _of_users(stack) == set()
    assert stack.run(queued.id, doors.runner()).state is State.SUCCEEDED
    assert len(_of_users(stack)) == 1


def test_a_plan_and_what_applies_it_decide_as_an_import_does(make_stack: Callable[[], ImportStack]) -> None:
    importing, planning = make_stack(), make_stack()
    wanted = ledger(importing, importing.do_import(_MIXED).id)
    planning.do_import([rows.user(1, "before")])
    before = digests(planning)
    planned = plan(planning, json.dumps(_MIXED).encode())
    assert planned.state is State.PLANNED
    assert ledger(planning, planned.id) == wanted
    assert digests(planning) == before
    applied = planning.run(apply(planning, planned.id).id)
    assert (applied.state, ledger(planning, applied.id)) == (State.SUCCEEDED, wanted)
    assert _of_users(planning) == {*_PAIRS, ("before", "before")}
    assert set(_addresses(planning)) == {*_addresses(importing), "before"}


@pytest.mark.parametrize("is_plan", [False, True])
def test_users_of_a_region_of_an_earlier_version_have_theirs_with_their_batch(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch, is_plan: bool
) -> None:
    _of_earlier_version(stack, monkeypatch)
    if is_plan:
        planned = plan(stack, json.dumps(_MIXED).encode())
        assert ledger(stack, planned.id)["sentry.email", 1] == (2, None), "it meets the user's own"
        assert _of_users(stack) == set()
        done = stack.run(apply(stack, planned.id).id)
    else:
        done = stack.run(stack.upload(json.dumps(_MIXED).encode()).id, stack.runner(rows_max=2))
    assert done.state is State.SUCCEEDED
    assert {(name, email.lower()) for name, email in _of_users(stack)} == {
        (name, email.lower()) for name, email in _PAIRS
    }
    assert len(_addresses(stack)) == 4
    told = ledger(stack, done.id)
    assert [told[f"sentry.{name}", 1][0] for name in ("email", "useremail")] == [2, 1]
    assert stack.peer.completed == []


@pytest.mark.parametrize("point", ["import.completing", "model_import.completed_page", "import.after_batch"])
def test_an_import_that_was_killed_before_or_between_pages_does_them_again(stack: ImportStack, point: str) -> None:
    stack.peer.completing = replace(stack.peer.completing, rows_max=2, pages_max=1)
    import_id = stack.upload(json.dumps(_MIXED).encode()).id

    def kill(_times: int) -> None:
        if point != "import.after_batch" or len(stack.peer.completed) == 2:
            raise Killed

    with barrier.registered(point, kill), pytest.raises(Killed):
        stack.run(import_id)
    assert len(_of_users(stack)) < len(_PAIRS), "it was in the middle"
    stack.clock.advance(BatchLimits().lease_s + 10)
    assert stack.run(import_id).state is State.SUCCEEDED
    assert _of_users(stack) == _PAIRS
    assert _made(stack) == {"email": 2, "useremail": 3}


def test_an_import_that_is_paused_before_its_users_have_addresses_gives_them_when_it_goes_on(
    stack: ImportStack,
) -> None:
    stack.peer.completing = replace(stack.peer.completing, rows_max=2, pages_max=1)
    import_id = stack.upload(json.dumps(_MIXED).encode()).id

    def pause() -> None:
        if stack.peer.completed == []:
            return
        stack.peer.before = lambda: None
        ask(stack, "pause", import_id)

    stack.peer.before = pause
    assert stack.run(import_id).state is State.PAUSED
    assert len(stack.peer.completed) == 2, "the page at hand was the last"
    ask(stack, "resume", import_id)
    assert stack.run(import_id).state is State.SUCCEEDED
    assert [wanted.after for wanted in stack.peer.completed] == [0, 2, 0, 2, 4, 6]
    assert _of_users(stack) == _PAIRS


def test_users_of_a_cancelled_import_may_have_none(stack: ImportStack) -> None:
    import_id = stack.upload(json.dumps(_MIXED).encode()).id

    def cancel(times: int) -> None:
        if times == 1:
            ask(stack, "cancel", import_id)

    with barrier.registered("import.before_batch", cancel):
        assert stack.run(import_id).state is State.CANCELLED
    assert stack.all_in("control", "SELECT count(*) FROM user_account")[0]["count"] == 6
    assert _of_users(stack) == set()


def test_all_users_are_gone_through_in_one_turn(stack: ImportStack) -> None:
    """Otherwise a turn that is shorter than that would never see its end."""
    stack.peer.completing = replace(stack.peer.completing, rows_max=2, pages_max=1)
    first = stack.upload(json.dumps(_MIXED).encode()).id
    second = stack.upload(json.dumps([rows.user(1, "of another")]).encode(), caller=OPERATOR).id
    settings = RunnerSettings(share=ShareSettings(turn_s=0.0))
    stack.run(first, ImportRunner(stack.region, stack.spool, stack.peer, stack.ids[REGION], settings), rounds_max=200)
    assert stack.run(second).state is State.SUCCEEDED
    of_first = [wanted.after for wanted in stack.peer.completed if wanted.import_id == first]
    assert of_first in ([0, 2, 4, 6], [0, 2, 4, 6] * 2)


def test_addresses_that_come_with_a_retry_meet_those_that_were_made(stack: ImportStack) -> None:
    file = [*_MIXED, rows.user_email(3, 4, "user4@example.com"), rows.email(3, "USER3@example.com")]
    unreadable = {("sentry.useremail", 3), ("sentry.email", 3)}
    broken = [{**row, "fields": {**row["fields"], "email": None}} if (row["model"], row["pk"]) in unreadable else row
              for row in file]  # fmt: skip
    partly = stack.do_import(broken, continue_on_error=True)
    assert (partly.state, partly.error_count) == (State.SUCCEEDED, 2)
    assert _of_users(stack) == _PAIRS
    ask(stack, "retry", partly.id, None)
    assert stack.run(partly.id).state is State.SUCCEEDED
    assert _of_users(stack) == _PAIRS
    assert _made(stack) == {"email": 2, "useremail": 3}


def test_undoing_takes_away_what_was_made_and_what_was_brought(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    done = stack.do_import(_MIXED)
    settle(stack)
    undone = undo(stack, done.id)
    assert (undone.state, undone.undo.kept_count) == (State.UNDONE, 0)
    assert contents(stack) == before
