"""What clients may do with imports: upload a file, and see what became of it.

An upload leaves a row before its first byte is spooled, so that a crash leaves a trace to go on from or to clean up.
What came of one that breaks off stays for as long as `keep`; one that is refused leaves nothing. Its request record and
its place in the queue are one commit: a repeat of the same bytes gets the same import, and nothing is queued twice. One
process at a time writes a file, from its first byte until its import is queued. No file is imported twice at one time.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from region_silo.imports import finding_store, same_file, store
from region_silo.imports.domain import (
    DataImport,
    ImportReport,
    ModelTotal,
    Scope,
    State,
    UploadProgress,
    import_name,
)
from region_silo.imports.global_scope import refuse_others
from region_silo.imports.options import NO_OPTIONS, ImportOptions
from region_silo.imports.peers import Ids
from region_silo.imports.reports import report, visible
from region_silo.imports.store import UploadRow
from region_silo.imports.writing_order import in_order_of_writing
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import audit, barrier, deadline, errors, requests
from shared.database import Database, Transaction
from shared.importing.decisions import BatchFinding
from shared.importing.scanner import ScanLimits
from shared.importing.spool import Spool
from shared.importing.upload import ReceivedUpload, Upload
from shared.requests import Mutation
from shared.requests.domain import check_same_request
from shared.rpc.call import Caller, current_call, current_caller

_log = structlog.get_logger("siloway.imports")

_OPERATE = "silo:operate"
_UPLOADS = ("/UploadImport", "/PlanImport")
_FORGET_S = 5.0
_REFUSED_FOR_GOOD = (errors.InvalidArgument, errors.LimitExceeded, errors.RequestIdReused, errors.FileBeingImported)


@dataclass(frozen=True)
class UploadHeader:
    """How an upload begins. `size_bytes` 0 and `sha256` "" are not known; above `offset` 0 it goes on."""

    scope: Scope
    request_id: str
    size_bytes: int = 0
    sha256: str = ""
    options: ImportOptions = NO_OPTIONS
    offset: int = 0
    is_plan: bool = False

    @property
    def row(self) -> UploadRow:
        """What stands in the upload's row."""
        return UploadRow(self.request_id, self.scope, self.size_bytes, self.sha256, self.options, self.is_plan)


@dataclass(frozen=True)
class ImportUseCases:
    """All of them, for one region. A file has at most `file_bytes_max` bytes; `keep` is how long a broken upload stays.

    `wake(channel)` tells `work` that an import is queued; without it `work` polls.
    """

    database: Database
    spool: Spool
    ids: Ids
    limits: ScanLimits | None = None
    file_bytes_max: int = 2 * 1024**3
    wake: Callable[[str], None] = lambda _: None
    keep: timedelta = timedelta(hours=24)

    def upload(self, header: UploadHeader, chunks: Iterator[bytes | None]) -> DataImport:
        """Take a file, or the rest of it, and queue its import; `chunks` ends with None when the client said that it
        has sent everything.

        Raises ScopeMissing, RequestIdReused, InvalidUpload, LimitExceeded, UploadOffsetWrong, UploadInProgress,
        FileBeingImported, SiloHoldsOrganizations, SpoolFull, UploadIncomplete, Unavailable (the spool cannot be used).
        """
        caller = current_caller()
        _check_upload(caller, header)
        _check_size(header.size_bytes, self.file_bytes_max, "header.size_bytes")
        earlier = self._earlier(caller, header)
        if earlier is not None:
            return earlier
        self._refuse_full_silo(caller, header)
        import_id = self._begin(caller, header)
        try:
            with self.spool.claim(str(import_id)):
                return self._take(import_id, caller, header, chunks)
        except OSError as error:
            self._forget_empty(import_id)
            raise errors.Unavailable("uploads cannot be stored at present", retry_after_s=60) from error

    def find_upload(self, request_id: str) -> UploadProgress:
        """How far the caller's upload came. Raises UploadNotFound."""
        caller = current_caller()

        def work(transaction: Transaction) -> DataImport | None:
            record = requests.find(transaction, caller.principal, request_id.lower())
            if record is not None and record.method.endswith(_UPLOADS):
                return store.find(transaction, _id_of(record.resource))
            return store.find_uploading(transaction, caller.principal, request_id)

        found = self.database.read(work)
        if found is None:
            raise errors.UploadNotFound(resource=errors.Resource("siloway/Upload", request_id))
        complete = found.state is not State.UPLOADING
        return UploadProgress(
            found.id,
            request_id,
            found.size_bytes if complete else self.spool.part_length(str(found.id)),
            found.size_bytes,
            found.sha256,
            complete,
            None if complete else found.updated_at + self.keep,
        )

    def get(self, import_id: int) -> ImportReport:
        """One import with its counts and first organizations. Raises ImportNotFound, also for another's import."""
        caller = current_caller()

        def work(transaction: Transaction) -> ImportReport:
            return report(transaction, visible(transaction, import_id, caller))

        return self.database.read(work)

    def page(self, before_id: int | None, rows_max: int) -> list[DataImport]:
        """The caller's imports, newest first; with silo:operate those of all."""
        caller = current_caller()
        principal = None if _OPERATE in caller.scopes else caller.principal
        return self.database.read(lambda transaction: store.page(transaction, principal, before_id, rows_max))

    def findings(self, import_id: int, kind: str, after_id: int, rows_max: int) -> Sequence[tuple[int, BatchFinding]]:
        """Findings with their keys, in the order in which they were found. Raises ImportNotFound."""
        caller = current_caller()

        def work(transaction: Transaction) -> Sequence[tuple[int, BatchFinding]]:
            visible(transaction, import_id, caller)
            return finding_store.findings_page(transaction, import_id, kind, after_id, rows_max)

        return self.database.read(work)

    def _earlier(self, caller: Caller, header: UploadHeader) -> DataImport | None:
        """The import of an earlier call with this request id, when the header tells enough to know."""
        if not header.sha256:
            return None

        def work(transaction: Transaction) -> DataImport | None:
            record = requests.find(transaction, caller.principal, header.request_id)
            if record is None:
                if not header.is_plan:
                    same_file.refuse_same_file(transaction, header.sha256, header.scope)
                return None
            check_same_request(record, _mutation(caller, header, header.sha256))
            return store.find(transaction, _id_of(record.resource))

        return self.database.read(work)

    def _refuse_full_silo(self, caller: Caller, header: UploadHeader) -> None:
        """Before any byte is taken; a repeat is not asked, for the silo may hold what the first call brought."""

        def work(transaction: Transaction) -> None:
            if requests.find(transaction, caller.principal, header.request_id) is None:
                refuse_others(transaction, 0)

        if _must_be_alone(header):
            self.database.read(work)

    def _begin(self, caller: Caller, header: UploadHeader) -> int:
        """The id of the upload's row, a new one when no earlier call has left one."""

        def find(transaction: Transaction) -> DataImport | None:
            return store.find_uploading(transaction, caller.principal, header.request_id)

        found = self.database.read(find)
        if found is not None:
            return found.id
        if header.offset:
            raise _wrong_offset(0)
        import_id = self.ids.take(1)[0]
        made = self.database.transact(
            lambda transaction: store.insert_uploading(transaction, import_id, caller.principal, header.row)
        )
        if made is None:
            raise errors.UploadInProgress(retry_after_s=1)
        return import_id

    def _take(self, import_id: int, caller: Caller, header: UploadHeader, chunks: Iterator[bytes | None]) -> DataImport:
        """Receive and queue, under the claim."""
        self._go_on(import_id, header)
        barrier.reach("upload.begun")
        try:
            with Upload(self.spool, str(import_id), self.limits, goes_on=header.offset > 0) as upload:
                try:
                    _receive(upload, header, chunks, self.file_bytes_max)
                    received = upload.finish()
                    barrier.reach("upload.spooled")
                except _REFUSED_FOR_GOOD:
                    raise
                except BaseException:
                    self._keep(import_id, upload)
                    raise
            _check_received(header, received)
            answer = self._queue(import_id, header, _mutation(caller, header, received.sha256.hex()), received)
        except errors.OutcomeUnknown:
            raise  # it may be queued: the cleaner removes what is not
        except BaseException:
            if not self.spool.part_length(str(import_id)):
                self._forget(import_id)
            raise
        barrier.reach("upload.queued")
        if answer.id != import_id:
            self._forget(import_id)
        return answer

    def _go_on(self, import_id: int, header: UploadHeader) -> None:
        """Check what the upload goes on from. Raises UploadOffsetWrong, RequestIdReused, UploadInProgress."""
        here = self.spool.part_length(str(import_id))
        if header.offset > here:
            raise _wrong_offset(here)

        def work(transaction: Transaction) -> None:
            found = store.find(transaction, import_id)
            if found is None or found.state is not State.UPLOADING:  # another call was faster
                raise errors.UploadInProgress(retry_after_s=1)
            announced = UploadRow(
                found.request_id, found.scope, found.size_bytes, found.sha256, found.options, found.is_plan
            )
            if header.offset and announced != replace(header.row, request_id=found.request_id):
                raise errors.RequestIdReused(metadata={"request_id": header.request_id})
            store.touch_uploading(transaction, import_id, header.row)

        self.database.transact(work)

    def _keep(self, import_id: int, upload: Upload) -> None:
        """Keep what came of an upload that broke off, counted from now; nothing when nothing came."""
        if not upload.length:
            return
        upload.keep()
        barrier.reach("upload.kept")
        try:
            with deadline.afresh(_FORGET_S):  # the call's own time may be what ran out
                self.database.transact(lambda transaction: store.touch_uploading(transaction, import_id))
        except errors.ServiceError:
            _log.exception("upload_kept_from_its_begin_only", data_import=import_name(import_id))

    def _queue(self, import_id: int, header: UploadHeader, mutation: Mutation, received: ReceivedUpload) -> DataImport:
        models = [ModelTotal(each.model, each.rows) for each in in_order_of_writing(received.models)]

        def work(transaction: Transaction) -> DataImport:
            started = requests.start(transaction, mutation, import_name(import_id))
            answer_id = _id_of(started.resource)
            if started.first:
                if _must_be_alone(header):
                    refuse_others(transaction, import_id)
                if not header.is_plan:
                    same_file.lock_file(transaction, received.sha256.hex(), header.scope)
                    same_file.refuse_same_file(transaction, received.sha256.hex(), header.scope)
                queued = store.queue(
                    transaction,
                    import_id,
                    size_bytes=received.length,
                    sha256=received.sha256.hex(),
                    models=models,
                )
                audit.record(
                    transaction,
                    action="import.plan" if header.is_plan else "import.start",
                    target=started.resource,
                    request_id=mutation.request_id,
                    detail={"size_bytes": received.length, "sha256": received.sha256.hex()},
                )
                transaction.after_commit(lambda: self.wake(IMPORTS_CHANNEL))
                if not queued:
                    raise errors.UploadIncomplete("the upload took too long and was given up", retry_after_s=1)
            found = store.find(transaction, answer_id)
            if found is None:
                raise errors.ImportNotFound(resource=errors.Resource("siloway/Import", started.resource))
            return found

        return self.database.transact(work)

    def _forget_empty(self, import_id: int) -> None:
        if not self.spool.part_length(str(import_id)):
            self._forget(import_id)

    def _forget(self, import_id: int) -> None:
        """Remove the trace of an upload that does not become an import; the cleaner does what fails here."""
        try:
            with deadline.afresh(_FORGET_S):  # the call's own time may be what ran out
                self.database.transact(lambda transaction: store.delete_uploading(transaction, import_id))
            self.spool.remove(str(import_id))
        except (OSError, errors.ServiceError):
            _log.exception("upload_not_forgotten", data_import=import_name(import_id))


def _check_upload(caller: Caller, header: UploadHeader) -> None:
    header.options.check(header.scope.takes)
    needed = header.options.terms(header.scope.takes).permission
    if needed not in caller.scopes:
        raise errors.ScopeMissing(metadata={"scope": needed})
    if caller.organization_id is not None:
        raise errors.PermissionDenied("a token that is bound to an organization cannot import")
    try:
        uuid.UUID(header.request_id)
    except ValueError:
        raise errors.InvalidArgument.of("header.request_id", "must be a UUID") from None


def _must_be_alone(header: UploadHeader) -> bool:
    return header.scope is Scope.GLOBAL and not header.options.add_to_silo


def _mutation(caller: Caller, header: UploadHeader, sha256: str) -> Mutation:
    call = current_call()
    method = "" if call is None else call.method
    fingerprint = requests.fingerprint(header.scope.name, sha256, header.options)
    return Mutation(caller.principal, header.request_id, method, fingerprint)


def _wrong_offset(offset: int) -> errors.UploadOffsetWrong:
    return errors.UploadOffsetWrong(
        f"The upload can go on from byte {offset} at most.",
        metadata={"offset": str(offset)},
        violations=[errors.Violation("header.offset", f"must be at most {offset}")],
    )


def _check_size(size_bytes: int, size_bytes_max: int, field: str) -> None:
    if size_bytes > size_bytes_max:
        raise errors.LimitExceeded(
            f"a file may have at most {size_bytes_max} bytes",
            metadata={"limit": "file_bytes", "maximum": str(size_bytes_max)},
            violations=[errors.Violation(field, f"must be at most {size_bytes_max}")],
        )


def _receive(upload: Upload, header: UploadHeader, chunks: Iterator[bytes | None], file_bytes_max: int) -> None:
    """Take all bytes; raises UploadIncomplete unless the client said that these were all."""
    finished, offset = False, header.offset
    for chunk in chunks:
        if finished:
            raise errors.InvalidArgument.of("part", "something follows the finish")
        if chunk is None:
            finished = True
            continue
        if header.size_bytes and offset + len(chunk) > header.size_bytes:
            raise errors.InvalidUpload.of("chunk", f"more bytes came than the {header.size_bytes} announced")
        _check_size(offset + len(chunk), file_bytes_max, "chunk")
        upload.write_at(offset, chunk)
        barrier.reach("upload.part_written")
        offset += len(chunk)
    announced = header.size_bytes or upload.length
    if not finished or upload.length < announced:
        metadata = {"received_bytes": str(upload.length)}
        raise errors.UploadIncomplete(metadata=metadata)


def _check_received(header: UploadHeader, received: ReceivedUpload) -> None:
    if header.sha256 and received.sha256.hex() != header.sha256:
        raise errors.InvalidUpload.of("header.sha256", "is not the SHA-256 of the bytes that came")


def _id_of(resource: str) -> int:
    return int(resource.removeprefix("imports/"))
