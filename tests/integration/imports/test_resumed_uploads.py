"""An upload that breaks off keeps what came, and goes on from there to the same import as one that does not."""

import hashlib
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from region_silo.imports.cleaner import clean_spool
from region_silo.imports.domain import Scope, State, UploadProgress
from region_silo.imports.options import ImportOptions
from region_silo.imports.usecases import ImportUseCases, UploadHeader
from shared import deadline, errors
from shared.importing.spool import Spool
from shared.importing.upload import UploadedFile
from shared.rpc.call import Caller, acting
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask
from tests.integration.imports.stack import CALLER, METHOD, OPERATOR, ImportStack

FILE = json.dumps([rows.organization(1), rows.user(1, 'with "quotes" and \\ in it@example.com'), rows.user(2)]).encode()
SHA256 = hashlib.sha256(FILE).hexdigest()


def _upload(
    stack: ImportStack,
    request_id: str,
    chunks: Iterator[bytes | None] | list[bytes | None],
    *,
    caller: Caller = CALLER,
    usecases: ImportUseCases | None = None,
    **header: Any,
) -> Any:
    header = {"size_bytes": len(FILE), "sha256": SHA256, **header}
    with acting(caller, method=METHOD):
        made = UploadHeader(header.pop("scope", Scope.ORGANIZATION), request_id, **header)
        return (usecases or stack.usecases).upload(made, iter(chunks))


def _broken(stack: ImportStack, request_id: str, length: int, **header: Any) -> None:
    def parts() -> Iterator[bytes | None]:
        offset = header.get("offset", 0)
        yield FILE[offset:length]
        raise errors.Cancelled

    with pytest.raises(errors.Cancelled):
        _upload(stack, request_id, parts(), **header)


def _progress(stack: ImportStack, request_id: str, caller: Caller = CALLER) -> UploadProgress:
    with acting(caller, method=METHOD):
        return stack.usecases.find_upload(request_id)


@pytest.mark.parametrize("cut", [1, 2, 40, len(FILE) // 2, len(FILE) - 1, len(FILE)])
def test_what_came_is_kept_and_the_rest_makes_the_import_of_the_whole_file(stack: ImportStack, cut: int) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, cut)
    assert stack.all_in("region", "SELECT state FROM data_import") == [{"state": State.UPLOADING}]
    assert stack.all_in("region", "SELECT request_id FROM request_record") == []
    there = _progress(stack, request_id)
    assert (there.offset_bytes, there.size_bytes, there.sha256, there.complete) == (cut, len(FILE), SHA256, False)
    assert there.expires_at == stack.clock.now() + stack.usecases.keep
    queued = _upload(stack, request_id, [FILE[cut:], None] if FILE[cut:] else [None], offset=cut)
    assert (queued.state, queued.sha256, queued.object_count) == (State.QUEUED, SHA256, 3)
    assert _progress(stack, request_id).complete
    with UploadedFile(stack.spool, str(queued.id), len(FILE)) as file:
        data = [row.data for run in file.rows("sentry.user", 1, 10) for row in run]
    assert [json.loads(each)["pk"] for each in data] == [1, 2]
    assert stack.run(queued.id).state is State.SUCCEEDED


def test_an_upload_may_break_off_at_every_byte(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    for cut in range(1, len(FILE), 97):
        before = _progress(stack, request_id).offset_bytes if cut > 1 else 0
        _broken(stack, request_id, cut, offset=before)
    last = _progress(stack, request_id).offset_bytes
    assert _upload(stack, request_id, [FILE[last:], None], offset=last).sha256 == SHA256


def test_a_wrong_offset_is_told_the_right_one(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    with pytest.raises(errors.UploadOffsetWrong) as caught:
        _upload(stack, request_id, [FILE[7:], None], offset=7)
    assert caught.value.metadata == {"offset": "0"}
    _broken(stack, request_id, 50)
    with pytest.raises(errors.UploadOffsetWrong) as caught:
        _upload(stack, request_id, [FILE[51:], None], offset=51)
    assert caught.value.metadata == {"offset": "50"}
    assert [each.field for each in caught.value.violations] == ["header.offset"]
    assert _progress(stack, request_id).offset_bytes == 50, "a wrong offset cost what was there"


def test_bytes_that_are_sent_twice_do_no_harm_and_others_in_their_place_are_refused(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, 50)
    queued = _upload(stack, request_id, [FILE[20:40], FILE[40:60], FILE[60:], None], offset=20)
    assert queued.sha256 == SHA256
    stack.run(queued.id)
    other = str(uuid.uuid4())
    _broken(stack, other, 50)
    with pytest.raises(errors.InvalidUpload):
        _upload(stack, other, [b"#" * (len(FILE) - 20), None], offset=20)
    with pytest.raises(errors.UploadNotFound):
        _progress(stack, other)


def test_from_offset_0_an_upload_begins_anew_and_may_be_another_file(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, 50)
    other = json.dumps([rows.organization(5)]).encode()
    header: dict[str, Any] = {"size_bytes": len(other), "sha256": hashlib.sha256(other).hexdigest()}
    assert _upload(stack, request_id, [other, None], **header).object_count == 1
    assert len(stack.all_in("region", "SELECT id FROM data_import")) == 1


@pytest.mark.parametrize(
    "header",
    [
        {"sha256": "0" * 64},
        {"size_bytes": 5000},
        {"scope": Scope.USER},
        {"options": ImportOptions(continue_on_error=True)},
    ],
)
def test_an_upload_goes_on_as_what_it_began_as_or_not_at_all(stack: ImportStack, header: dict[str, Any]) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, 50, caller=OPERATOR)
    with pytest.raises(errors.RequestIdReused):
        _upload(stack, request_id, [FILE[50:], None], offset=50, caller=OPERATOR, **header)


def test_of_two_uploads_of_one_request_one_wins_and_the_other_hears_why(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    refused: list[Exception] = []

    def parts() -> Iterator[bytes | None]:
        yield FILE[:10]
        for offset in (0, 5):
            try:
                _upload(stack, request_id, [FILE[offset:], None], offset=offset)
            except errors.UploadInProgress as error:
                refused.append(error)
        yield FILE[10:]
        yield None

    assert _upload(stack, request_id, parts()).sha256 == SHA256
    assert len(refused) == 2
    assert len(stack.all_in("region", "SELECT id FROM data_import")) == 1


def test_many_uploads_of_one_request_at_once_make_one_import(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    begun = threading.Barrier(6)
    outcomes: list[Any] = []

    def run() -> None:
        begun.wait()
        try:
            outcomes.append(_upload(stack, request_id, [FILE[:30], FILE[30:], None]).id)
        except (errors.UploadInProgress, errors.Aborted) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    made = stack.all_in("region", "SELECT id FROM data_import")
    assert len(made) == 1
    assert {each for each in outcomes if isinstance(each, int)} == {made[0]["id"]}
    assert stack.run(made[0]["id"]).state is State.SUCCEEDED


def test_an_upload_whose_time_ran_out_can_go_on(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())

    with ExitStack() as time_left:

        def parts() -> Iterator[bytes | None]:
            yield FILE[:10]
            time_left.enter_context(deadline.within(0))
            deadline.check()

        with pytest.raises(errors.DeadlineExceeded):
            _upload(stack, request_id, parts())
    assert _progress(stack, request_id).offset_bytes == 10


def test_a_process_that_died_leaves_what_it_wrote_to_the_next_one(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim ends with it; its index was never finished, and what it spooled is scanned again."""

    class Killed(BaseException):
        pass

    request_id = str(uuid.uuid4())

    def parts() -> Iterator[bytes | None]:
        yield FILE[:60]
        raise Killed

    dying = replace(stack.usecases, spool=_Undying(stack.spool_folder))
    with monkeypatch.context() as patched:
        patched.setattr(ImportUseCases, "_keep", lambda *_: None)
        with pytest.raises(Killed):
            _upload(stack, request_id, parts(), usecases=dying)
    assert _progress(stack, request_id).offset_bytes == 60
    assert _upload(stack, request_id, [FILE[60:], None], offset=60).sha256 == SHA256


class _Undying(Spool):
    """Nothing is tidied up, as when a process is killed."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder, 1 << 30)

    def receive(self, import_id: str) -> Any:
        writer = super().receive(import_id)
        writer.abort = lambda: None  # type: ignore[method-assign]
        return writer

    def remove(self, import_id: str) -> None:
        del import_id


def test_a_part_is_counted_in_the_spools_limit_and_goes_at_the_end_of_its_time(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, 60)
    full = replace(stack.usecases, spool=Spool(stack.spool_folder, 60))
    with pytest.raises(errors.SpoolFull):
        _upload(stack, str(uuid.uuid4()), [FILE, None], usecases=full)
    keep = timedelta(hours=2)
    stack.clock.advance(keep.total_seconds() - 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 0
    _broken(stack, request_id, 70, offset=60)
    stack.clock.advance(keep.total_seconds() - 1)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 0, "it went on, so its time begins again"
    stack.clock.advance(2)
    assert clean_spool(stack.region, stack.spool, keep=keep) == 1
    assert stack.spool.import_ids() == []
    with pytest.raises(errors.UploadNotFound):
        _progress(stack, request_id)


def test_another_request_is_no_upload(stack: ImportStack) -> None:
    import_id = stack.upload(FILE).id
    request_id = str(uuid.uuid4())
    ask(stack, "pause", import_id, request_id=request_id)
    with pytest.raises(errors.UploadNotFound):
        _progress(stack, request_id)


def test_an_upload_is_known_to_its_own_principal_only(stack: ImportStack) -> None:
    request_id = str(uuid.uuid4())
    _broken(stack, request_id, 60)
    with pytest.raises(errors.UploadNotFound):
        _progress(stack, request_id, OPERATOR)
    assert _upload(stack, request_id, [FILE, None], caller=OPERATOR).sha256 == SHA256
    assert _progress(stack, request_id).offset_bytes == 60
