"""Refusals for the state that the system, or another writer, is in."""

from shared.errors.foundation import Code, ServiceError


class FailedPrecondition(ServiceError):
    """The system is not in a state for this."""

    code = Code.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class OrganizationImporting(FailedPrecondition):
    """The organization is being imported; only the import writes to it."""

    reason = "ORGANIZATION_IMPORTING"


class DeployAnnounced(FailedPrecondition):
    """The deploy is announced, so the time of its finish stays."""

    reason = "DEPLOY_ANNOUNCED"


class OrganizationPendingDeletion(FailedPrecondition):
    """The organization is to be deleted, and read only until it is undeleted."""

    reason = "ORGANIZATION_PENDING_DELETION"


class OrganizationDeleting(FailedPrecondition):
    """The organization is being deleted for good; that cannot be taken back."""

    reason = "ORGANIZATION_DELETING"


class ReleaseReferenced(FailedPrecondition):
    """Issues were first seen in the release; it stays."""

    reason = "RELEASE_REFERENCED"


class ReleaseHealthData(FailedPrecondition):
    """The release has health data of the last 90 days; it stays."""

    reason = "RELEASE_HEALTH_DATA"


class ProjectWithoutRelease(FailedPrecondition):
    """The project has no release yet, so there is no next one."""

    reason = "PROJECT_WITHOUT_RELEASE"


class LastOwner(FailedPrecondition):
    """The last owner of an organization stays its owner."""

    reason = "LAST_OWNER"


class RedirectLimit(FailedPrecondition):
    """The organization has as many redirects as it may have; release one first."""

    reason = "REDIRECT_LIMIT"


class SlugsMismatch(FailedPrecondition):
    """The slugs are not those that the organizations of the request have now."""

    reason = "SLUGS_MISMATCH"


class SiloHoldsOrganizations(FailedPrecondition):
    """The region holds organizations; an import in global scope adds to them only when told so."""

    reason = "SILO_HOLDS_ORGANIZATIONS"


class RegionLost(FailedPrecondition):
    """The region was declared lost; nothing is held for it until it is recovered."""

    reason = "REGION_LOST"


class WrongSilo(FailedPrecondition):
    """The database belongs to another silo."""

    reason = "WRONG_SILO"


class RegionNumberTaken(FailedPrecondition):
    """Another region has that number."""

    reason = "REGION_NUMBER_TAKEN"


class RegionDraining(FailedPrecondition):
    """The region is draining and gets no new organizations."""

    reason = "REGION_DRAINING"


class OrganizationElsewhere(FailedPrecondition):
    """Another region owns the organization; the metadata names it."""

    reason = "ORGANIZATION_ELSEWHERE"


class SpoolMissing(FailedPrecondition):
    """The uploaded file cannot be opened on this machine."""

    reason = "SPOOL_MISSING"


class ExportNotReady(FailedPrecondition):
    """The export has no file: it has not ended yet, has failed or was cancelled."""

    reason = "EXPORT_NOT_READY"


class ExportExpired(FailedPrecondition):
    """The export's file was removed when its time was over; ask for another export."""

    reason = "EXPORT_EXPIRED"


class FileNotComparable(FailedPrecondition):
    """A file is no export whose rows can be compared: one cannot be read, or nobody knows its model."""

    reason = "FILE_NOT_COMPARABLE"


class ExportTooLarge(FailedPrecondition):
    """Control's rows of the export are more than it may keep on disk; the metadata has the maximum in bytes."""

    reason = "EXPORT_TOO_LARGE"


class MessageParked(FailedPrecondition):
    """The other silo refuses a message of this request; it is given up until an operator replays it."""

    reason = "MESSAGE_PARKED"


class MessageNeeded(FailedPrecondition):
    """Another silo waits for this message; it can be replayed, but not skipped."""

    reason = "MESSAGE_NEEDED"


class DifferenceNotRepairable(FailedPrecondition):
    """The difference is pending, resolved, or has no safe repair."""

    reason = "DIFFERENCE_NOT_REPAIRABLE"


class Aborted(ServiceError):
    """Another writer was faster; try again."""

    code = Code.ABORTED
    reason = "WRITE_CONFLICT"


class LostInRestore(FailedPrecondition):
    """What was made was lost with the backup that its region was restored from."""

    reason = "LOST_IN_RESTORE"


class EtagMismatch(Aborted):
    """The resource has changed since the etag was read."""

    reason = "ETAG_MISMATCH"


class ReleaseCommitsLocked(Aborted):
    """Another writer held the release until the deadline; nothing was changed, try again."""

    reason = "RELEASE_COMMITS_LOCKED"


class CommitsIncomplete(Aborted):
    """The stream of commits ended before its last part; nothing was changed."""

    reason = "COMMITS_INCOMPLETE"


class SlugHeld(Aborted):
    """A request that has not finished holds the slug; try again."""

    reason = "SLUG_HELD"


class SlugChangePending(Aborted):
    """Another change of the organization's slug has not finished; try again."""

    reason = "SLUG_CHANGE_PENDING"


class UploadIncomplete(Aborted):
    """The upload ended before all announced bytes had come."""

    reason = "UPLOAD_INCOMPLETE"
