"""A file is whole or it is not there: builds that are cut short, cancelled, overtaken; one moment; little memory."""

import os
import threading
import tracemalloc
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import text

from region_silo.exports.domain import FILE_KEEP, Scope, State
from region_silo.exports.usecases import clean_files
from shared import barrier, errors
from shared.rpc.call import acting
from tests.integration.exports.stack import METHOD, ExportStack, by_model, values
from tests.integration.exports.test_rules import two_organizations
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR

_POINTS = ("export.after_control", "export.row", "export.before_file", "export.before_end")


class _Killed(BaseException):
    """As if the process had died: nothing catches it."""


def _die(_times: int) -> None:
    raise _Killed


@pytest.mark.parametrize("point", _POINTS)
def test_a_build_that_dies_leaves_nothing_and_another_process_builds_it(stack: ExportStack, point: str) -> None:
    stack.import_all(two_organizations())
    export_id = stack.create().id
    with barrier.registered(point, _die), pytest.raises(_Killed):
        stack.runner().run_once()
    with pytest.raises(errors.ExportNotReady):
        stack.download(export_id)
    assert not stack.runner().run_once(), "its lease still holds"
    stack.clock.advance(70)
    assert stack.runner().run_once()
    found = stack.get(export_id)
    assert found.state is State.SUCCEEDED
    assert stack.download(export_id) == stack.build()
    assert found.object_count == sum(each.rows for each in found.models)


def test_a_process_that_stops_gives_the_export_back_at_once(stack: ExportStack) -> None:
    stack.import_all([rows.organization(1), *(rows.team(pk, 1, f"team{pk}") for pk in range(1, 600))])
    export_id = stack.create().id
    stop = threading.Event()
    with barrier.registered("export.row", lambda times: stop.set() if times == 100 else None):
        stack.runner().run(stop)
    assert stack.get(export_id).state is State.BUILDING
    assert stack.files.found() == []
    assert stack.runner().run_once(), "nobody has to wait for a lease"
    assert stack.get(export_id).state is State.SUCCEEDED


def test_the_progress_is_told_while_it_is_written(stack: ExportStack) -> None:
    stack.import_all([rows.organization(1), *(rows.team(pk, 1, f"team{pk}") for pk in range(1, 600))])
    export_id = stack.create().id
    told: list[int] = []

    def look(times: int) -> None:
        if times == 590:
            told.append(stack.get(export_id).object_count)

    with barrier.registered("export.row", look):
        assert stack.runner().run_once()
    assert 0 < told[0] < 590
    found = stack.get(export_id)
    assert {each.model: each.rows for each in found.models} == {"sentry.organization": 1, "sentry.team": 599}


def test_what_a_killed_process_left_on_disk_is_removed_and_what_is_needed_stays(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    done, waiting = stack.create().id, stack.create(Scope.GLOBAL).id
    assert stack.runner().run_once()
    data = stack.download(done)
    folder = stack.imports.spool_folder
    for export_id in (done, waiting, 5):
        for kind in ("export", "building", "handed", "handing"):
            (folder / f"{export_id}.{uuid.uuid4()}.{kind}").write_bytes(b"[")
    other = folder / "17.upload"
    other.write_bytes(b"[]")
    assert clean_files(stack.region, stack.files) == 12
    assert stack.download(done) == data
    assert other.exists(), "files of imports are not touched"
    assert stack.runner().run_once()
    assert stack.get(waiting).state is State.SUCCEEDED


def test_files_that_are_being_made_are_not_taken_for_left_behind(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    export_id = stack.create().id
    cleaned: list[int] = []
    for point in _POINTS:
        if point == "export.row":
            continue
        with barrier.registered(point, lambda _times: cleaned.append(clean_files(stack.region, stack.files))):
            stack.runner().run_once()
        if stack.get(export_id).state is State.SUCCEEDED:
            export_id = stack.create().id
    assert cleaned == [0, 0, 0]


def test_a_cancelled_export_is_not_built(stack: ExportStack) -> None:
    export_id = stack.create().id
    with acting(OPERATOR, method=METHOD):
        assert stack.usecases.cancel(stack.mutation(OPERATOR), export_id).state is State.CANCELLED
    assert not stack.runner().run_once()
    with pytest.raises(errors.ExportNotReady):
        stack.download(export_id)


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_an_export_that_is_ended_in_the_middle_leaves_nothing(stack: ExportStack, how: str) -> None:
    stack.import_all(two_organizations())
    export_id = stack.create().id

    def end(_times: int) -> None:
        with acting(OPERATOR, method=METHOD):
            getattr(stack.usecases, how)(stack.mutation(OPERATOR), export_id)

    with barrier.registered("export.before_file", end):
        assert stack.runner().run_once()
    assert stack.files.found() == []
    if how == "cancel":
        assert stack.get(export_id).state is State.CANCELLED
    else:
        with pytest.raises(errors.ExportNotFound):
            stack.get(export_id)


def test_to_cancel_what_has_ended_changes_nothing(stack: ExportStack) -> None:
    export_id = stack.create().id
    assert stack.runner().run_once()
    with acting(OPERATOR, method=METHOD):
        assert stack.usecases.cancel(stack.mutation(OPERATOR), export_id).state is State.SUCCEEDED
    assert stack.download(export_id) == b"[]\n"


def test_a_deleted_export_takes_its_file_with_it(stack: ExportStack) -> None:
    export_id = stack.create().id
    assert stack.runner().run_once()
    mutation = stack.mutation(OPERATOR)
    with acting(OPERATOR, method=METHOD):
        for _ in range(2):
            stack.usecases.delete(mutation, export_id)
    assert stack.files.found() == []


def test_an_export_waits_for_control_and_for_room(stack: ExportStack) -> None:
    export_id = stack.create().id

    def away() -> None:
        raise errors.PeerUnavailable(retry_after_s=1)

    stack.peer.before = away
    for _ in range(7):
        assert stack.runner().run_once()
        assert stack.get(export_id).state is State.BUILDING
        stack.clock.advance(31)
    stack.peer.before = lambda: None
    stack.imports.spool_folder.joinpath("1.upload").touch()
    os.truncate(stack.imports.spool_folder / "1.upload", 1 << 30)
    assert stack.runner().run_once()
    assert stack.get(export_id).state is State.BUILDING
    os.truncate(stack.imports.spool_folder / "1.upload", 0)
    stack.clock.advance(61)
    assert stack.runner().run_once()
    assert stack.get(export_id).state is State.SUCCEEDED


def test_an_export_that_never_works_fails_in_the_end(stack: ExportStack) -> None:
    export_id = stack.create().id

    def broken() -> None:
        raise RuntimeError("boom")

    stack.peer.before = broken
    for _ in range(5):
        assert stack.runner().run_once()
        stack.clock.advance(31)
    found = stack.get(export_id)
    assert found.state is State.FAILED
    assert found.error is not None
    assert found.error.reason == "INTERNAL"
    assert "boom" not in found.error.message


def test_rows_that_come_while_it_is_written_are_not_in_it_nor_half_of_them(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    before = stack.build()
    organization = stack.value("region", "SELECT id FROM organization WHERE slug = 'acme'")

    late = (
        "INSERT INTO team (id, organization_id, slug, name, status, idp_provisioned, date_added)"
        f" SELECT 5, {organization}, 'late', 'late', 0, false, date_added FROM team LIMIT 1"
    )

    def change(times: int) -> None:
        if times == 8:  # users are written, organizations and teams are not
            with stack.region.engine.connect() as connection:
                for statement in (
                    "BEGIN READ WRITE",
                    late,
                    "DELETE FROM kept_row WHERE model = 'sentry.projectoption'",
                    "COMMIT",
                ):
                    connection.execute(text(statement))

    export_id = stack.create().id
    with barrier.registered("export.row", change):
        assert stack.runner().run_once()
    assert stack.download(export_id) == before
    after = stack.export()
    assert "late" in values(after, "sentry.team", "slug")
    assert "sentry.projectoption" not in by_model(after)


def test_a_large_table_needs_no_more_memory_than_a_small_one(stack: ExportStack) -> None:
    stack.import_all([rows.organization(1), rows.project(1, 1, "web")])
    grown = []
    for count in (2_000, 8_000):
        stack.imports.change_in(
            "region",
            "INSERT INTO kept_row (organization_id, model, refs, fields)"
            " SELECT p.organization_id, 'sentry.projectoption', jsonb_build_object('project', p.id),"
            " jsonb_build_object('key', n::text, 'value', repeat('x', 500))"
            f" FROM project p, generate_series(1, {count}) n",
        )
        stack.imports.change_in(
            "control",
            "INSERT INTO kept_row (model, refs, fields) SELECT 'sentry.useroption',"
            ' \'{"user": null, "organization_id": null, "project_id": null}\'::jsonb,'
            f" jsonb_build_object('key', n::text, 'value', repeat('x', 500)) FROM generate_series(1, {count}) n",
        )
        export_id = stack.create().id
        tracemalloc.start()
        assert stack.runner().run_once()
        grown.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        found = stack.get(export_id)
        assert found.size_bytes > 1_000 * count
    assert grown[1] < grown[0] + 1_000_000, f"ten megabytes more took {grown} bytes"


def test_the_file_is_there_for_a_day(stack: ExportStack) -> None:
    export_id = stack.create().id
    assert stack.runner().run_once()
    expires_at = stack.get(export_id).expires_at
    assert expires_at is not None
    stack.clock.advance((FILE_KEEP - timedelta(seconds=1)).total_seconds())
    assert clean_files(stack.region, stack.files) == 0
    assert stack.download(export_id) == b"[]\n"
    stack.clock.advance(2)
    with pytest.raises(errors.ExportExpired):
        stack.download(export_id)
    assert clean_files(stack.region, stack.files) == 1
    assert stack.get(export_id).state is State.SUCCEEDED
