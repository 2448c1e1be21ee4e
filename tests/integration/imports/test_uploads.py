"""What an upload leaves: one queued import and a whole file, or nothing at all."""

import hashlib
import json
import shutil
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from control_silo.model_imports.cleaner import model_import_tasks
from region_silo.imports import store
from region_silo.imports.cleaner import clean_spool, import_tasks
from region_silo.imports.domain import Scope, State
from region_silo.imports.options import NO_OPTIONS, ImportOptions
from region_silo.imports.usecases import UploadHeader
from shared import errors
from shared.cleaner import Cleaner
from shared.importing.spool import Spool
from shared.rpc.call import Caller, acting
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import CALLER, METHOD, OPERATOR, ImportStack

FILE = json.dumps([rows.organization(1), rows.user(1)]).encode()


def _leaves_nothing(stack: ImportStack) -> None:
    assert stack.all_in("region", "SELECT id FROM data_import") == []
    assert stack.all_in("region", "SELECT request_id FROM request_record") == []
    assert stack.spool.import_ids() == []


def test_an_upload_is_queued_with_what_it_holds(stack: ImportStack) -> None:
    queued = stack.upload(FILE, size_bytes=len(FILE), sha256=hashlib.sha256(FILE).hexdigest())
    assert queued.state is State.QUEUED
    assert queued.size_bytes == len(FILE)
    assert queued.sha256 == hashlib.sha256(FILE).hexdigest()
    assert queued.object_count == 2
    assert [(each.model, each.rows) for each in queued.models] == [("sentry.organization", 1), ("sentry.user", 1)]
    assert stack.spool.import_ids() == [str(queued.id)]


@pytest.mark.parametrize("announced", [True, False])
def test_a_repeat_of_the_same_bytes_gets_the_same_import(stack: ImportStack, announced: bool) -> None:
    request_id = str(uuid.uuid4())
    header: dict[str, Any] = {"sha256": hashlib.sha256(FILE).hexdigest()} if announced else {}
    first = stack.upload(FILE, request_id=request_id, **header)
    again = stack.upload(FILE, request_id=request_id, **header)
    assert again.id == first.id
    assert stack.spool.import_ids() == [str(first.id)]
    done = stack.run(first.id)
    assert stack.upload(FILE, request_id=request_id, **header).state is done.state is State.SUCCEEDED
    assert len(stack.all_in("region", "SELECT id FROM data_import")) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_other_bytes_or_another_scope_under_the_same_request_id_are_refused(
    stack: ImportStack, announced: bool
) -> None:
    request_id = str(uuid.uuid4())
    first = stack.upload(FILE, request_id=request_id, caller=OPERATOR)
    other = FILE + b" "
    header: dict[str, Any] = {"sha256": hashlib.sha256(other).hexdigest()} if announced else {}
    with pytest.raises(errors.RequestIdReused):
        stack.upload(other, request_id=request_id, caller=OPERATOR, **header)
    with pytest.raises(errors.RequestIdReused):
        stack.upload(FILE, request_id=request_id, caller=OPERATOR, scope=Scope.USER)
    assert stack.spool.import_ids() == [str(first.id)]


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        ({"data": b"", "finish": False}, errors.UploadIncomplete),
        ({"data": FILE, "size_bytes": len(FILE) - 1}, errors.InvalidUpload),
        ({"data": FILE, "sha256": "0" * 64}, errors.InvalidUpload),
        ({"data": FILE[:-1]}, errors.InvalidUpload),
        ({"data": b'{"model": "sentry.user"}'}, errors.InvalidUpload),
        ({"data": b""}, errors.InvalidUpload),
        ({"data": b"[" * 100_000}, errors.InvalidUpload),
        ({"data": b'[{"a":' + b"[" * 100_000}, errors.LimitExceeded),
    ],
)
def test_a_wrong_upload_is_refused_and_leaves_nothing(
    stack: ImportStack, how: dict[str, Any], refusal: type[errors.ServiceError]
) -> None:
    with pytest.raises(refusal):
        stack.upload(**how)
    _leaves_nothing(stack)


def test_a_file_above_the_limit_is_refused_by_its_header_or_by_its_bytes(stack: ImportStack) -> None:
    small = replace(stack.usecases, file_bytes_max=len(FILE) - 1)
    for size_bytes, field in ((len(FILE), "header.size_bytes"), (0, "chunk")):
        header = UploadHeader(Scope.ORGANIZATION, str(uuid.uuid4()), size_bytes)
        with acting(CALLER, method=METHOD), pytest.raises(errors.LimitExceeded) as caught:
            small.upload(header, iter([FILE, None]))
        assert [violation.field for violation in caught.value.violations] == [field]
    _leaves_nothing(stack)


def test_without_its_spool_an_upload_is_refused_for_now(stack: ImportStack) -> None:
    shutil.rmtree(stack.spool_folder)
    with pytest.raises(errors.Unavailable):
        stack.upload(FILE)
    assert stack.all_in("region", "SELECT id FROM data_import") == []


def test_an_import_whose_file_is_gone_waits_an_hour_and_then_fails_with_the_reason(stack: ImportStack) -> None:
    import_id = stack.upload(FILE).id
    shutil.rmtree(stack.spool_folder)
    runner = stack.runner()
    assert runner.run_once()
    assert stack.report(import_id, CALLER).data_import.state is State.WRITING
    stack.clock.advance(3700)
    assert runner.run_once()
    ended = stack.report(import_id, CALLER).data_import
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error.reason == "SPOOL_MISSING"


def test_each_scope_needs_its_permission(stack: ImportStack) -> None:
    with pytest.raises(errors.ScopeMissing):
        stack.upload(FILE, scope=Scope.USER, caller=CALLER)
    with pytest.raises(errors.ScopeMissing):
        stack.upload(FILE, caller=Caller("tokens/9", frozenset({"silo:operate"})))
    with pytest.raises(errors.PermissionDenied):
        stack.upload(FILE, caller=Caller("tokens/9", frozenset({"import:write"}), organization_id=5))
    _leaves_nothing(stack)


def test_an_import_is_seen_by_its_creator_and_by_operators_only(stack: ImportStack) -> None:
    import_id = stack.upload(FILE).id
    stranger = Caller("tokens/99", frozenset({"import:write"}))
    assert stack.report(import_id, CALLER).data_import.id == import_id
    assert stack.report(import_id, OPERATOR).data_import.id == import_id
    with pytest.raises(errors.ImportNotFound):
        stack.report(import_id, stranger)
    with acting(stranger, method=METHOD):
        assert stack.usecases.page(None, 10) == []
        with pytest.raises(errors.ImportNotFound):
            stack.usecases.findings(import_id, "", 0, 10)
    with acting(OPERATOR, method=METHOD):
        assert [each.id for each in stack.usecases.page(None, 10)] == [import_id]


def test_the_file_of_an_import_that_succeeded_stays_for_a_while_and_goes_when_room_is_needed(
    stack: ImportStack,
) -> None:
    kept, keep = stack.upload(FILE), timedelta(hours=2)
    stack.run(kept.id)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 0
    assert stack.spool.import_ids() == [str(kept.id)]
    stack.spool = Spool(stack.spool_folder, len(FILE) * 2)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 1
    stack.run(stack.upload(FILE).id)
    assert stack.spool.import_ids() == []


def test_the_file_of_an_import_that_succeeded_goes_after_its_time(stack: ImportStack) -> None:
    import_id, keep = stack.upload(FILE).id, timedelta(hours=2)
    stack.run(import_id)
    stack.clock.advance(keep.total_seconds() + 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 1
    assert stack.spool.import_ids() == []


def test_the_cleaner_removes_what_a_crash_left_and_nothing_that_is_needed(stack: ImportStack) -> None:
    queued = stack.upload(FILE)
    request_id = str(uuid.uuid4())
    stack.region.transact(
        lambda transaction: store.insert_uploading(
            transaction, 777, "tokens/7", store.UploadRow(request_id, Scope.ORGANIZATION, 0, "", NO_OPTIONS)
        )
    )
    stack.spool.receive("12345").write(b"half of")
    stack.spool.receive("777").write(b"half of")
    keep = timedelta(hours=2)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 1
    assert stack.spool.import_ids() == ["777", str(queued.id)]
    stack.clock.advance(keep.total_seconds() + 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 1
    assert stack.spool.import_ids() == [str(queued.id)]
    assert [row["id"] for row in stack.all_in("region", "SELECT id FROM data_import")] == [queued.id]


def test_a_queued_import_wakes_those_who_work(stack: ImportStack) -> None:
    woken: list[str] = []
    usecases = replace(stack.usecases, wake=woken.append)
    with acting(CALLER, method=METHOD):
        usecases.upload(UploadHeader(Scope.ORGANIZATION, str(uuid.uuid4())), iter([FILE, None]))
    assert woken == ["imports"]


def test_what_ended_imports_recorded_goes_at_the_end_of_its_retention(stack: ImportStack) -> None:
    done = stack.run(stack.upload(FILE).id)
    queued = stack.upload(FILE)
    tasks = {"region": import_tasks(), "control": model_import_tasks()}
    for silo, database in (("region", stack.region), ("control", stack.control)):
        assert set(Cleaner(database, tasks[silo]).clean_once().values()) == {0}
    stack.clock.advance(timedelta(days=91).total_seconds())
    deleted = Cleaner(stack.region, tasks["region"]).clean_once()
    recorded = {"import_row": 2, "import_before_image": 0, "import_filter": 0, "import_choice": 0, "import_finding": 0}
    assert deleted == {**recorded, "import_chunk": 2, "data_import": 1, "plan": 0}
    # The user, and the address in two tables that each user is given.
    assert Cleaner(stack.control, tasks["control"]).clean_once() == {
        "import_before_image": 0,
        "import_row": 3,
        "import_chunk": 1,
    }
    assert [row["id"] for row in stack.all_in("region", "SELECT id FROM data_import")] == [queued.id]
    with pytest.raises(errors.ImportNotFound):
        stack.report(done.id)
    assert stack.all_in("region", "SELECT slug FROM organization") == [{"slug": "acme"}]


@pytest.mark.parametrize(("silo", "model"), [("region", "sentry.option"), ("control", "sentry.controloption")])
def test_what_overwritten_rows_held_goes_with_the_ledger_of_their_import(
    stack: ImportStack, silo: str, model: str
) -> None:
    how: dict[str, Any] = {"scope": Scope.CONFIG, "caller": OPERATOR, "options": ImportOptions(overwrite_configs=True)}
    for value in ("old", "new"):
        fields = {"key": "mail.from", "value": value, "last_updated": rows.TIME}
        stack.do_import([{"model": model, "pk": 1, "fields": fields}], **how)
    images = "SELECT image->'fields'->>'value' AS value FROM import_before_image"
    assert stack.all_in(silo, images) == [{"value": "old"}]
    stack.clock.advance(timedelta(days=91).total_seconds())
    tasks, database = (import_tasks(), stack.region) if silo == "region" else (model_import_tasks(), stack.control)
    assert Cleaner(database, tasks).clean_once()["import_before_image"] == 1
    assert stack.all_in(silo, images) == []
    assert [each["fields"]["value"] for each in stack.all_in(silo, "SELECT fields FROM kept_row")] == ["new"]
