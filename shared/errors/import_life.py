"""Refusals for what an upload or an import is just doing."""

from shared.errors.arguments import InvalidArgument
from shared.errors.resources import NotFound
from shared.errors.states import Aborted, FailedPrecondition


class UploadOffsetWrong(InvalidArgument):
    """The upload does not go on where it broke off; the metadata has the offset."""

    reason = "UPLOAD_OFFSET_WRONG"


class UploadInProgress(Aborted):
    """Another call with this request id is uploading; try again when it has ended."""

    reason = "UPLOAD_IN_PROGRESS"


class UploadNotFound(NotFound):
    """Nothing of such an upload is here."""

    reason = "UPLOAD_NOT_FOUND"


class WrongImportState(FailedPrecondition):
    """The import is in no state for this; the metadata has its state."""

    reason = "IMPORT_STATE"


class ImportStopped(FailedPrecondition):
    """Findings that are errors stopped the import; it can be retried."""

    reason = "IMPORT_STOPPED"


class ImportCancelled(FailedPrecondition):
    """The import was cancelled."""

    reason = "IMPORT_CANCELLED"


class FileBeingImported(FailedPrecondition):
    """The same file is being imported; the metadata has the import."""

    reason = "FILE_BEING_IMPORTED"


class ImportTargetGone(FailedPrecondition):
    """An organization that the import made is deleted, so nothing more is written into it."""

    reason = "IMPORT_TARGET_GONE"


class UndoTooLate(FailedPrecondition):
    """The retention of what the import wrote down about its rows is over, so nobody can tell which rows are its own."""

    reason = "UNDO_TOO_LATE"
