"""Refusals for what is not there, or is there already."""

from shared.errors.foundation import Code, ServiceError


class NotFound(ServiceError):
    """There is no such resource."""

    code = Code.NOT_FOUND
    reason = "RESOURCE_NOT_FOUND"


class OrganizationNotFound(NotFound):
    """There is no such organization."""

    reason = "ORGANIZATION_NOT_FOUND"


class ProjectNotFound(NotFound):
    """There is no such project."""

    reason = "PROJECT_NOT_FOUND"


class DifferenceNotFound(NotFound):
    """There is no such difference."""

    reason = "DIFFERENCE_NOT_FOUND"


class MemberNotFound(NotFound):
    """There is no such member."""

    reason = "MEMBER_NOT_FOUND"


class TeamNotFound(NotFound):
    """There is no such team."""

    reason = "TEAM_NOT_FOUND"


class ReleaseNotFound(NotFound):
    """There is no such release."""

    reason = "RELEASE_NOT_FOUND"


class IssueNotFound(NotFound):
    """There is no such issue."""

    reason = "ISSUE_NOT_FOUND"


class RepositoryNotFound(NotFound):
    """There is no such repository."""

    reason = "REPOSITORY_NOT_FOUND"


class CommitFetchNotFound(NotFound):
    """There is no such fetch of commits."""

    reason = "COMMIT_FETCH_NOT_FOUND"


class DeployNotFound(NotFound):
    """There is no such deploy."""

    reason = "DEPLOY_NOT_FOUND"


class ImportNotFound(NotFound):
    """There is no such import."""

    reason = "IMPORT_NOT_FOUND"


class ExportNotFound(NotFound):
    """There is no such export."""

    reason = "EXPORT_NOT_FOUND"


class RequestNotFound(NotFound):
    """No request of this caller has that id."""

    reason = "REQUEST_NOT_FOUND"


class SlugNotFound(NotFound):
    """Nobody holds that slug."""

    reason = "SLUG_NOT_FOUND"


class RegionNotFound(NotFound):
    """There is no such region."""

    reason = "REGION_NOT_FOUND"


class OrganizationChangeNotFound(NotFound):
    """The caller has not asked for such a change."""

    reason = "ORGANIZATION_CHANGE_NOT_FOUND"


class TokenNotFound(NotFound):
    """There is no such token."""

    reason = "TOKEN_NOT_FOUND"


class UserNotFound(NotFound):
    """There is no such user."""

    reason = "USER_NOT_FOUND"


class AlreadyExists(ServiceError):
    """The resource exists already."""

    code = Code.ALREADY_EXISTS
    reason = "RESOURCE_EXISTS"


class RepositoryExists(AlreadyExists):
    """The organization has a repository of that name, or of that external id."""

    reason = "REPOSITORY_EXISTS"


class ProjectExists(AlreadyExists):
    """The organization has a project with that slug."""

    reason = "PROJECT_EXISTS"


class MemberExists(AlreadyExists):
    """The organization has that member."""

    reason = "MEMBER_EXISTS"


class TeamExists(AlreadyExists):
    """The organization has a team with that slug."""

    reason = "TEAM_EXISTS"


class OrganizationNotDeleted(AlreadyExists):
    """The organization is not to be deleted."""

    reason = "ORGANIZATION_NOT_DELETED"


class SlugConflict(AlreadyExists):
    """An organization that control does not know of has that slug in the region."""

    reason = "SLUG_CONFLICT"


class SlugTaken(AlreadyExists):
    """The slug is taken; the metadata suggests free ones."""

    reason = "SLUG_TAKEN"


class RequestIdReused(AlreadyExists):
    """The request id was used for another request."""

    reason = "REQUEST_ID_REUSED"


class UsernameTaken(AlreadyExists):
    """Another user has that username."""

    reason = "USERNAME_TAKEN"
