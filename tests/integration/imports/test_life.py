"""Imports are paused, resumed, cancelled and stopped between two batches, and end with an undisturbed run's rows."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from region_silo.imports.cleaner import clean_spool
from region_silo.imports.domain import DataImport, Scope, State
from shared import barrier, errors
from shared.rpc.call import Caller
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask
from tests.integration.imports.stack import CALLER, OPERATOR, ImportStack

_TEAMS = [rows.team(pk, 1, f"team-{pk}") for pk in range(1, 7)]
_ROWS = [rows.organization(1), rows.user(1, last_active=rows.TIME), rows.member(1, 1, 1), *_TEAMS]
_BAD_TEAM = rows.team(3, 1, "third")
_BAD_TEAM["fields"] = {**_BAD_TEAM["fields"], "organization": "one"}
_FILE = json.dumps(_ROWS).encode()
_LIMITS = {"rows_max": 2}


def _run_until(stack: ImportStack, import_id: int, batch: int, do: Callable[[], object]) -> DataImport:
    """Work, and do something behind that batch, while the import is leased."""

    def at(times: int) -> None:
        if times == batch:
            do()

    with barrier.registered("import.after_batch", at):
        stack.runner(**_LIMITS).run_once()
    return stack.report(import_id).data_import


def _wanted(make_stack: Callable[[], ImportStack], file: list[dict[str, Any]]) -> Any:
    undisturbed = make_stack()
    return undisturbed.natural_rows(undisturbed.do_import(file).id)


def _requests(stack: ImportStack) -> list[dict[str, Any]]:
    return stack.all_in(
        "region",
        "SELECT state, error->>'reason' AS reason FROM request_record WHERE method LIKE '%UploadImport'",
    )


def test_a_pause_comes_behind_the_batch_at_hand_and_a_resumed_import_ends_like_any_other(
    make_stack: Callable[[], ImportStack],
) -> None:
    wanted = _wanted(make_stack, _ROWS)
    stack = make_stack()
    import_id = stack.upload(_FILE).id
    seen: list[DataImport] = []
    paused = _run_until(stack, import_id, 2, lambda: seen.append(ask(stack, "pause", import_id)))
    assert (seen[0].state, seen[0].wanted) == (State.WRITING, State.PAUSED)
    assert (paused.state, paused.wanted, paused.ended_at) == (State.PAUSED, None, None)
    assert seen[0].done_count < paused.done_count < paused.object_count
    assert stack.all_in("region", "SELECT lease_token FROM data_import") == [{"lease_token": None}]
    assert not stack.runner().run_once(), "a paused import was taken up"
    assert _requests(stack) == [{"state": "RUNNING", "reason": None}]
    assert ask(stack, "pause", import_id).state is State.PAUSED

    assert ask(stack, "resume", import_id).state is State.QUEUED
    assert stack.run(import_id, stack.runner(**_LIMITS)).state is State.SUCCEEDED
    assert stack.natural_rows(import_id) == wanted
    assert _requests(stack) == [{"state": "SUCCEEDED", "reason": None}]


def test_an_import_on_which_nobody_works_is_paused_at_once_and_a_pause_can_be_taken_back(stack: ImportStack) -> None:
    """Without rows of control, whose batches come between by themselves: one of them could find the pause wanted."""
    import_id = stack.upload(json.dumps([rows.organization(1), *_TEAMS]).encode()).id
    assert ask(stack, "pause", import_id).state is State.PAUSED
    assert ask(stack, "resume", import_id).state is State.QUEUED
    assert ask(stack, "resume", import_id).state is State.QUEUED

    def hesitate() -> None:
        ask(stack, "pause", import_id)
        assert ask(stack, "resume", import_id).wanted is None

    assert _run_until(stack, import_id, 1, hesitate).state is State.RESERVING
    assert stack.run(import_id).state is State.SUCCEEDED


def test_a_repeated_request_does_nothing_again(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    request_id = str(uuid.uuid4())
    assert ask(stack, "pause", import_id, request_id=request_id).state is State.PAUSED
    ask(stack, "resume", import_id)
    assert ask(stack, "pause", import_id, request_id=request_id).state is State.QUEUED
    with pytest.raises(errors.RequestIdReused):
        ask(stack, "cancel", import_id, request_id=request_id)


def test_an_import_that_waits_for_its_slugs_can_be_paused_and_goes_on_from_there(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    stack.runner().run_once()
    assert stack.report(import_id).data_import.state is State.RESERVING
    assert ask(stack, "pause", import_id).state is State.PAUSED
    stack.silos.drain("control", "us")
    assert stack.all_in("region", "SELECT state, slug FROM organization") == [{"state": 0, "slug": "acme"}]
    ask(stack, "resume", import_id)
    assert stack.run(import_id).state is State.SUCCEEDED
    assert stack.all_in("region", "SELECT state, slug FROM organization") == [{"state": 1, "slug": "acme"}]


def test_a_wish_that_comes_while_the_import_is_being_finished_is_kept(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    stack.runner().run_once()
    stack.silos.drain("control", "us")
    stack.clock.advance(1)

    def cancel(_: int) -> None:
        ask(stack, "cancel", import_id)

    with barrier.registered("import.before_finish", cancel):
        stack.runner().run_once()
    assert stack.report(import_id).data_import.state is State.CANCELLED
    assert stack.all_in("region", "SELECT state FROM organization") == [{"state": 0}]


def test_what_a_process_that_died_was_asked_for_is_done_by_the_next_one(stack: ImportStack) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        ask(stack, "pause", import_id)
        raise Killed

    import_id = stack.upload(json.dumps([rows.organization(1), *_TEAMS]).encode()).id
    with pytest.raises(Killed):
        _run_until(stack, import_id, 2, die)
    stack.clock.advance(60)
    assert stack.runner().run_once()
    assert stack.report(import_id).data_import.state is State.PAUSED


def test_a_cancelled_import_keeps_its_rows_and_its_organizations_wait_for_their_removal(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    cancelled = _run_until(stack, import_id, 3, lambda: ask(stack, "cancel", import_id))
    assert cancelled.state is State.CANCELLED
    assert cancelled.ended_at is not None
    assert cancelled.error is not None
    assert cancelled.error.reason == "IMPORT_CANCELLED"
    assert 0 < cancelled.done_count < cancelled.object_count
    assert stack.all_in("region", "SELECT state, slug FROM organization") == [{"state": 0, "slug": None}]
    assert _requests(stack) == [{"state": "FAILED", "reason": "IMPORT_CANCELLED"}]
    assert stack.spool.import_ids() == []
    assert ask(stack, "cancel", import_id).state is State.CANCELLED
    for what, args in (("pause", ()), ("resume", ()), ("retry", (None,))):
        with pytest.raises(errors.WrongImportState) as caught:
            ask(stack, what, import_id, *args)
        assert caught.value.metadata == {"state": "CANCELLED"}


def test_what_has_succeeded_cannot_be_paused_cancelled_or_retried(stack: ImportStack) -> None:
    import_id = stack.do_import(_ROWS).id
    for what, args in (("pause", ()), ("resume", ()), ("cancel", ()), ("retry", (None,))):
        with pytest.raises(errors.WrongImportState):
            ask(stack, what, import_id, *args)


def test_an_import_is_in_the_hands_of_its_creator_and_of_operators_only(stack: ImportStack) -> None:
    import_id = stack.upload(_FILE).id
    stranger = Caller("tokens/99", frozenset({"import:write"}))
    for what, args in (("pause", ()), ("resume", ()), ("cancel", ()), ("retry", (None,))):
        with pytest.raises(errors.ImportNotFound):
            ask(stack, what, import_id, *args, caller=stranger)
    assert ask(stack, "pause", import_id, caller=OPERATOR).state is State.PAUSED
    assert ask(stack, "cancel", import_id, caller=CALLER).state is State.CANCELLED
    audited = stack.all_in("region", "SELECT principal, action, target FROM audit_entry ORDER BY id")
    assert [(each["principal"], each["action"]) for each in audited] == [
        (CALLER.principal, "import.start"),
        (OPERATOR.principal, "import.pause"),
        (CALLER.principal, "import.cancel"),
    ]
    assert {each["target"] for each in audited} == {f"imports/{import_id}"}


def test_an_error_stops_the_import_behind_its_batch_and_keeps_the_batchs_other_rows(stack: ImportStack) -> None:
    file = [rows.organization(1), rows.team(1, 1, "one"), rows.team(2, 1, "two"), _BAD_TEAM, rows.team(4, 1, "four")]
    file += [rows.team(5, 1, "five"), rows.member(1, 1, None, email="never@example.com")]
    stopped = stack.run(stack.upload(json.dumps(file).encode()).id, stack.runner(**_LIMITS))
    assert stopped.state is State.STOPPED
    assert stopped.error is not None
    assert (stopped.error.reason, stopped.error_count, stopped.done_count) == ("IMPORT_STOPPED", 1, 5)
    assert sorted(row["slug"] for row in stack.all_in("region", "SELECT slug FROM team")) == ["four", "one", "two"]
    (finding,) = stack.findings(stopped.id)
    assert (finding.kind, finding.ordinal, finding.severity.name) == ("INVALID_VALUE", 3, "ERROR")
    assert _requests(stack) == [{"state": "FAILED", "reason": "IMPORT_STOPPED"}]
    assert not stack.runner().run_once()
    assert ask(stack, "cancel", stopped.id).state is State.CANCELLED


def test_rows_that_a_rule_leaves_out_never_stop_an_import(stack: ImportStack) -> None:
    file = [rows.organization(1), rows.team(1, 9, "orphan"), rows.team(2, 1, "two"), rows.team(2, 1, "again")]
    done = stack.do_import(file)
    assert (done.state, done.error_count, done.finding_count) == (State.SUCCEEDED, 0, 2)
    assert {each.severity.name for each in stack.findings(done.id)} == {"SKIPPED"}


def test_the_same_file_is_not_imported_twice_at_one_time(stack: ImportStack) -> None:
    first = stack.upload(_FILE)
    headers: list[dict[str, Any]] = [{}, {"sha256": first.sha256}]
    for header in headers:
        with pytest.raises(errors.FileBeingImported) as caught:
            stack.upload(_FILE, caller=OPERATOR, **header)
        assert caught.value.metadata == {"import": first.name}
    assert stack.spool.import_ids() == [str(first.id)], "a refused upload left something"
    assert stack.upload(_FILE, scope=Scope.USER, caller=OPERATOR).state is State.QUEUED
    ask(stack, "pause", first.id)
    with pytest.raises(errors.FileBeingImported):
        stack.upload(_FILE)
    ask(stack, "resume", first.id)
    stack.run(first.id)
    assert stack.run(stack.upload(_FILE).id).state is State.SUCCEEDED


def test_the_files_of_what_rests_are_kept_as_long_as_they_are_of_use(stack: ImportStack) -> None:
    keep = timedelta(hours=2)
    paused = stack.upload(_FILE)
    ask(stack, "pause", paused.id)
    stopped = stack.do_import([rows.organization(1), _BAD_TEAM])
    partly = stack.do_import([rows.organization(2), _BAD_TEAM], continue_on_error=True)
    assert (stopped.state, partly.state, partly.error_count) == (State.STOPPED, State.SUCCEEDED, 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 0
    assert len(stack.spool.import_ids()) == 3
    stack.clock.advance(keep.total_seconds() + 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 2
    assert stack.spool.import_ids() == [str(paused.id)]
    with pytest.raises(errors.SpoolMissing):
        ask(stack, "retry", stopped.id, None)


def test_principals_get_their_turns_and_nobodys_second_import_overtakes_anothers_first(stack: ImportStack) -> None:
    def file(pk: int) -> bytes:
        return json.dumps([rows.organization(pk, f"slug-{pk}")]).encode()

    mine = [stack.upload(file(pk), caller=CALLER).id for pk in (1, 2, 3)]
    theirs = [stack.upload(file(pk), caller=OPERATOR).id for pk in (4, 5)]
    taken: list[int] = []

    def note(_: int) -> None:
        found = stack.all_in("region", "SELECT id FROM data_import WHERE state = 3 AND lease_token IS NOT NULL")
        taken.append(found[0]["id"])

    with barrier.registered("import.after_batch", note):
        for _ in range(5):
            stack.runner().run_once()
            stack.clock.advance(0.01)
    assert taken == [mine[0], theirs[0], mine[1], theirs[1], mine[2]]
