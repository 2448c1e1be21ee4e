"""Applications of plans are paused, taken up again and ended like other imports, with a file that is their plan's."""

import json
from typing import Any

import pytest

from region_silo.imports.cleaner import clean_spool
from region_silo.imports.domain import DataImport, State
from region_silo.imports.usecases import ImportUseCases
from region_silo.verification.domain import Verification
from region_silo.verification.usecases import VerificationUseCases
from shared.errors import FileBeingImported, PlanApplied
from shared.rpc.call import acting
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors
from tests.integration.imports.living import ask
from tests.integration.imports.planned import apply, plan
from tests.integration.imports.stack import CALLER, METHOD, ImportStack

pytestmark = pytest.mark.integration

_KEEP = ImportUseCases.keep
_BAD_TEAM = rows.team(2, 1, "two")
_BAD_TEAM["fields"] = {**_BAD_TEAM["fields"], "organization": "one"}
_ROWS = [rows.user(1, "ann"), rows.organization(1), rows.member(1, 1, 1), rows.team(1, 1, "one")]
_FILE = json.dumps(_ROWS).encode()


def _slugs(stack: ImportStack, applied: DataImport) -> list[str | None]:
    return [each.slug for each in stack.report(applied.id).organizations]


def _failed(stack: ImportStack, plan_id: int) -> DataImport:
    """An application that control refused."""
    scopes = dict(stack.scopes)
    stack.scopes.clear()
    failed = stack.run(apply(stack, plan_id).id)
    stack.scopes.update(scopes)
    assert failed.state is State.FAILED
    return failed


def test_what_was_paused_while_its_slugs_came_goes_on_with_them(stack: ImportStack) -> None:
    applied = apply(stack, plan(stack, _FILE).id)
    stack.runner().run_once()
    assert ask(stack, "pause", applied.id).state is State.PAUSED
    ask(stack, "resume", applied.id)
    done = stack.run(applied.id)
    assert (done.state, _slugs(stack, done)) == (State.SUCCEEDED, ["acme"]), stack.findings(applied.id)


def test_what_went_on_behind_errors_is_retried_with_the_slugs_that_it_has(stack: ImportStack) -> None:
    data = json.dumps([*_ROWS, _BAD_TEAM]).encode()
    planned = plan(stack, data, continue_on_error=True)
    partly = stack.run(apply(stack, planned.id).id)
    assert (partly.state, partly.error_count) == (State.SUCCEEDED, 1)
    ask(stack, "retry", partly.id, None)
    again = stack.run(partly.id)
    assert (again.state, again.error_count, _slugs(stack, again)) == (State.SUCCEEDED, 1, ["acme"])


def test_an_application_is_verified_with_its_plans_file(doors: Doors) -> None:
    stack = doors.stack
    done = stack.run(apply(stack, plan(stack, _FILE).id).id)
    verification = VerificationUseCases(stack.region, stack.spool, doors)
    with acting(CALLER, method=METHOD):
        *_, result = verification.verify(done.id)
    assert isinstance(result, Verification)
    assert (result.done, result.compared, result.differences) == (True, len(_ROWS), 0)


def test_the_file_stays_while_the_application_is_paused(stack: ImportStack) -> None:
    applied = apply(stack, plan(stack, _FILE).id)
    ask(stack, "pause", applied.id)
    stack.clock.advance(_KEEP.total_seconds() + 1)
    assert clean_spool(stack.region, stack.spool, keep=_KEEP) == 0
    ask(stack, "resume", applied.id)
    assert stack.run(applied.id).state is State.SUCCEEDED
    stack.clock.advance(_KEEP.total_seconds() + 1)
    assert clean_spool(stack.region, stack.spool, keep=_KEEP) == 1


def test_a_plan_that_is_cancelled_leaves_its_file_to_its_application(stack: ImportStack) -> None:
    planned = plan(stack, _FILE)
    applied = apply(stack, planned.id)
    assert ask(stack, "cancel", planned.id).state is State.CANCELLED
    assert clean_spool(stack.region, stack.spool, keep=_KEEP) == 0
    assert stack.run(applied.id).state is State.SUCCEEDED


def _cancelled_at_rest(stack: ImportStack, applied: DataImport) -> None:
    ask(stack, "cancel", applied.id)


def _cancelled_at_work(stack: ImportStack, applied: DataImport) -> None:
    def cancel() -> None:
        stack.peer.before = lambda: None
        ask(stack, "cancel", applied.id)

    stack.peer.before = cancel
    stack.runner().run_once()


@pytest.mark.parametrize("cancel", [_cancelled_at_rest, _cancelled_at_work])
def test_a_plan_can_be_applied_when_its_first_application_was_cancelled(stack: ImportStack, cancel: Any) -> None:
    planned = plan(stack, _FILE)
    first = apply(stack, planned.id)
    cancel(stack, first)
    assert stack.report(first.id).data_import.state is State.CANCELLED
    done = stack.run(apply(stack, planned.id).id)
    assert (done.state, _slugs(stack, done)) == (State.SUCCEEDED, ["acme"]), stack.findings(done.id)


def test_an_application_that_failed_is_not_retried_beside_another_one(stack: ImportStack) -> None:
    planned = plan(stack, _FILE)
    failed = _failed(stack, planned.id)
    second = apply(stack, planned.id)
    with pytest.raises(FileBeingImported):
        ask(stack, "retry", failed.id, None)
    ask(stack, "cancel", failed.id)
    assert stack.run(second.id).state is State.SUCCEEDED


def test_an_application_that_failed_is_not_retried_after_another_one(stack: ImportStack) -> None:
    planned = plan(stack, _FILE)
    failed = _failed(stack, planned.id)
    second = stack.run(apply(stack, planned.id).id)
    with pytest.raises(PlanApplied) as refused:
        ask(stack, "retry", failed.id, None)
    assert refused.value.metadata == {"import": second.name}


def test_what_failed_is_not_retried_while_its_file_is_imported_anew(stack: ImportStack) -> None:
    scopes = dict(stack.scopes)
    stack.scopes.clear()
    failed = stack.run(stack.upload(_FILE).id)
    stack.scopes.update(scopes)
    anew = stack.upload(_FILE)
    with pytest.raises(FileBeingImported) as refused:
        ask(stack, "retry", failed.id, None)
    assert refused.value.metadata == {"import": anew.name}
