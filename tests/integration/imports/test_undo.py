"""An import that is undone leaves both silos as they were before it, but for what was changed or is in use since."""

from region_silo.imports.domain import State
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import ImportStack
from tests.integration.imports.undone import contents, kept, ledger_rows, settle, undo

FILE = [
    rows.user(1, "owner@example.com"),
    rows.email(1, "owner@example.com"),
    rows.user_email(1, 1, "owner@example.com"),
    rows.user(2, "other@example.com"),
    rows.organization(1),
    rows.member(1, 1, 1),
    rows.member(2, 1, 2, inviter_id=1),
    rows.team(1, 1, "team"),
    rows.member_team(1, 1, 1),
    rows.project(1, 1, "project"),
    rows.project_team(1, 1, 1),
    rows.project_key(1, 1, "a" * 32, "b" * 32),
    rows.row("sentry.useroption", 1, user=1, key="timezone", value="UTC", organization_id=None, project_id=None),
    rows.row("sentry.projectoption", 1, project=1, key="mail:subject", value="x"),
]


def test_an_import_that_nobody_touched_leaves_nothing(stack: ImportStack) -> None:
    settle(stack)
    before = contents(stack)
    done = stack.do_import(FILE)
    assert done.state is State.SUCCEEDED
    settle(stack)
    undone = undo(stack, done.id)
    assert (undone.state, undone.error) == (State.UNDONE, None)
    assert kept(stack, done.id) == []
    assert contents(stack) == before
    assert ledger_rows(stack, done.id) == {"control": [], "region": []}
    assert (undone.undo.undone_count, undone.undo.kept_count) == (len(FILE), 0)


def test_an_import_next_to_another_one_of_the_same_file_goes_alone(stack: ImportStack) -> None:
    first = stack.do_import(FILE)
    settle(stack)
    before = contents(stack)
    second = stack.do_import(FILE)
    settle(stack)
    assert undo(stack, second.id).state is State.UNDONE
    assert contents(stack) == before

    second = stack.do_import(FILE)
    settle(stack)
    assert undo(stack, first.id).state is State.UNDONE
    assert len(stack.all_in("region", "SELECT id FROM organization WHERE import_id = :id", id=second.id)) == 1
