"""What clients may do with imports: upload a file, and see what became of it.

An upload leaves a row before its first byte is spooled, so that a crash leaves a trace to clean up. Its request record
and its place in the queue are one commit: a repeat of the same bytes gets the same import, and nothing is queued twice.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from region_silo.imports import finding_store, organization_store, store
from region_silo.imports.domain import DataImport, ImportReport, ModelTotal, Scope, State, import_name
from region_silo.imports.options import NO_OPTIONS, ImportOptions
from region_silo.imports.writer import Ids, in_order_of_writing, refuse_others
from region_silo.slugs.usecases import IMPORTS_CHANNEL
from shared import audit, deadline, errors, requests
from shared.database import Database, Transaction
from shared.importing.decisions import BatchFinding, Counts
from shared.importing.scanner import ScanLimits
from shared.importing.spool import Spool
from shared.importing.upload import ReceivedUpload, Upload
from shared.requests import Mutation
from shared.requests.domain import check_same_request
from shared.rpc.call import Caller, current_call, current_caller

_log = structlog.get_logger("siloway.imports")

_OPERATE = "silo:operate"
_ORGANIZATIONS_SHOWN = 100
_FORGET_S = 5.0


@dataclass(frozen=True)
class UploadHeader:
    """How an upload begins. `size_bytes` 0 and `sha256` "" are not known."""

    scope: Scope
    request_id: str
    size_bytes: int = 0
    sha256: str = ""
    options: ImportOptions = NO_OPTIONS


@dataclass(frozen=True)
class ImportUseCases:
    """All of them, for one region. A file has at most `file_bytes_max` bytes.

    `wake(channel)` tells `work` that an import is queued; without it `work` polls.
    """

    database: Database
    spool: Spool
    ids: Ids
    limits: ScanLimits | None = None
    file_bytes_max: int = 2 * 1024**3
    wake: Callable[[str], None] = lambda _: None

    def upload(self, header: UploadHeader, chunks: Iterator[bytes | None]) -> DataImport:
        """Take a file and queue its import; `chunks` ends with None when the client said that it has sent everything.

        Raises ScopeMissing, RequestIdReused, InvalidUpload, LimitExceeded, SpoolFull, UploadIncomplete,
        SiloHoldsOrganizations, Unavailable (the spool cannot be used). A refused or broken upload leaves nothing.
        """
        caller = current_caller()
        _check_upload(caller, header)
        _check_size(header.size_bytes, self.file_bytes_max, "header.size_bytes")
        earlier = self._earlier(caller, header)
        if earlier is not None:
            return earlier
        self._refuse_full_silo(caller, header)
        import_id = self.ids.take(1)[0]
        self.database.transact(
            lambda transaction: store.insert_uploading(
                transaction, import_id, caller.principal, header.request_id, header.scope, options=header.options
            )
        )
        try:
            with Upload(self.spool, str(import_id), self.limits) as upload:
                _receive(upload, header, chunks, self.file_bytes_max)
                received = upload.finish()
            _check_received(header, received)
            answer = self._queue(import_id, header, _mutation(caller, header, received.sha256.hex()), received)
        except errors.OutcomeUnknown:
            raise  # it may be queued: the cleaner removes what is not
        except OSError as error:
            self._forget(import_id)
            raise errors.Unavailable("uploads cannot be stored at present", retry_after_s=60) from error
        except BaseException:
            self._forget(import_id)
            raise
        if answer.id != import_id:
            self._forget(import_id)
        return answer

    def get(self, import_id: int) -> ImportReport:
        """One import with its counts and first organizations. Raises ImportNotFound, also for another's import."""
        caller = current_caller()

        def work(transaction: Transaction) -> ImportReport:
            return _report(transaction, _visible(transaction, import_id, caller))

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
            _visible(transaction, import_id, caller)
            return finding_store.findings_page(transaction, import_id, kind, after_id, rows_max)

        return self.database.read(work)

    def _earlier(self, caller: Caller, header: UploadHeader) -> DataImport | None:
        """The import of an earlier call with this request id, when the header tells enough to know."""
        if not header.sha256:
            return None

        def work(transaction: Transaction) -> DataImport | None:
            record = requests.find(transaction, caller.principal, header.request_id)
            if record is None:
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

    def _queue(self, import_id: int, header: UploadHeader, mutation: Mutation, received: ReceivedUpload) -> DataImport:
        models = [ModelTotal(each.model, each.rows) for each in in_order_of_writing(received.models)]

        def work(transaction: Transaction) -> DataImport:
            started = requests.start(transaction, mutation, import_name(import_id))
            answer_id = _id_of(started.resource)
            if started.first:
                if _must_be_alone(header):
                    refuse_others(transaction, import_id)
                queued = store.queue(
                    transaction,
                    import_id,
                    size_bytes=received.length,
                    sha256=received.sha256.hex(),
                    models=models,
                )
                audit.record(
                    transaction,
                    action="import.start",
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

    def _forget(self, import_id: int) -> None:
        """Remove the trace of an upload that does not become an import; the cleaner does what fails here."""
        try:
            with deadline.afresh(_FORGET_S):  # the call's own time may be what ran out
                self.database.transact(lambda transaction: store.delete_uploading(transaction, import_id))
            self.spool.remove(str(import_id))
        except (OSError, errors.ServiceError):
            _log.exception("upload_not_forgotten", data_import=import_name(import_id))


def clean_spool(database: Database, spool: Spool, *, keep: timedelta) -> int:
    """Remove uploads that nobody needs: broken off or failed for longer than `keep`, succeeded, or without an import.

    Returns how many imports' files went. Uploads under way are younger than `keep`, which must exceed a stream's
    longest time.
    """
    older_than = database.clock.now() - keep
    dropped = set(database.transact(lambda transaction: store.delete_stale_uploads(transaction, older_than)))
    here = [int(each) for each in spool.import_ids()]
    states = database.read(lambda transaction: store.states_of(transaction, here))
    removed = 0
    for import_id in here:
        state, changed_at = states.get(import_id, (None, older_than))
        over = state is State.FAILED and changed_at < older_than
        if state in (None, State.SUCCEEDED) or over or import_id in dropped:
            spool.remove(str(import_id))
            removed += 1
    return removed


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


def _check_size(size_bytes: int, size_bytes_max: int, field: str) -> None:
    if size_bytes > size_bytes_max:
        raise errors.LimitExceeded(
            f"a file may have at most {size_bytes_max} bytes",
            metadata={"limit": "file_bytes", "maximum": str(size_bytes_max)},
            violations=[errors.Violation(field, f"must be at most {size_bytes_max}")],
        )


def _receive(upload: Upload, header: UploadHeader, chunks: Iterator[bytes | None], file_bytes_max: int) -> None:
    """Take all bytes; raises UploadIncomplete unless the client said that these were all."""
    finished = False
    for chunk in chunks:
        if finished:
            raise errors.InvalidArgument.of("part", "something follows the finish")
        if chunk is None:
            finished = True
            continue
        if header.size_bytes and upload.length + len(chunk) > header.size_bytes:
            raise errors.InvalidUpload.of("chunk", f"more bytes came than the {header.size_bytes} announced")
        _check_size(upload.length + len(chunk), file_bytes_max, "chunk")
        upload.write(chunk)
    announced = header.size_bytes or upload.length
    if not finished or upload.length < announced:
        metadata = {"received_bytes": str(upload.length)}
        raise errors.UploadIncomplete(metadata=metadata)


def _check_received(header: UploadHeader, received: ReceivedUpload) -> None:
    if header.sha256 and received.sha256.hex() != header.sha256:
        raise errors.InvalidUpload.of("header.sha256", "is not the SHA-256 of the bytes that came")


def _visible(transaction: Transaction, import_id: int, caller: Caller) -> DataImport:
    found = store.find(transaction, import_id)
    if found is None or (found.principal != caller.principal and _OPERATE not in caller.scopes):
        raise errors.ImportNotFound(resource=errors.Resource("siloway/Import", import_name(import_id)))
    return found


def _report(transaction: Transaction, found: DataImport) -> ImportReport:
    counts = store.counts_by_model(transaction, found.id)
    organizations = organization_store.made_by(transaction, found.id, _ORGANIZATIONS_SHOWN)
    by_model = tuple((total, counts.get(total.model, Counts())) for total in found.models)
    return ImportReport(found, by_model, tuple(organizations))


def _id_of(resource: str) -> int:
    return int(resource.removeprefix("imports/"))
