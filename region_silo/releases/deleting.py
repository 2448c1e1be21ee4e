"""Deleting a release: refused while it is referenced, whole otherwise, and done once for each request.

One transaction holds the release's row, so nobody writes below it meanwhile; an issue that names it as its first
release at that moment waits, or stops the deletion. Issues that it resolved stay resolved; only the row that says by
which release goes. Sources: spec/releases.md 2.8, rows 23 and 24.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from region_silo.organizations.lookup import OrganizationLookup
from region_silo.releases import held as held_releases
from region_silo.releases.domain import release_not_found
from region_silo.releases.facts import HEALTH, HEALTH_KEPT
from region_silo.releases.permission import has_release_permission
from region_silo.releases.tables import ACTIVITY_RELEASE
from shared import errors
from shared.database import Database, Transaction
from shared.database_errors import constraint_name
from shared.names import ReleaseName, release_name
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc.call import current_caller

_ACTIVITY_DEPLOY = 17

_IN_THE_WAY = text(
    f"""
    SELECT EXISTS (SELECT FROM issue WHERE first_release_id = :release_id) AS is_first,
        EXISTS (SELECT FROM release_project AS link WHERE link.release_id = :release_id AND {HEALTH}) AS has_health
    """
)
# What has no foreign key goes, or forgets the release, before its row does; the rest follows the row.
_DELETE = tuple(
    text(statement)
    for statement in (
        f"""
        DELETE FROM activity USING release_project AS link, release
        WHERE release.id = :release_id AND link.release_id = :release_id AND activity.project_id = link.project_id
            AND activity.type = {ACTIVITY_RELEASE}
            AND activity.version_digest = sha256(convert_to(release.version, 'UTF8'))
        """,
        f"""
        DELETE FROM activity USING deploy, deploy_project AS place
        WHERE deploy.release_id = :release_id AND place.deploy_id = deploy.id AND activity.type = {_ACTIVITY_DEPLOY}
            AND activity.project_id = place.project_id AND activity.deploy_id = deploy.id
        """,
        """
        UPDATE commit_fetch SET previous_release_id = NULL
        WHERE organization_id = :organization_id AND previous_release_id = :release_id
        """,
        "UPDATE issue_history SET release_id = NULL WHERE release_id = :release_id",
        "DELETE FROM release_commit WHERE release_id = :release_id",
        "DELETE FROM release WHERE id = :release_id",
    )
)


@dataclass(frozen=True)
class DeletedRelease:
    """A release that is gone, by its name."""

    name: str


class ReleaseDeleting:
    """Deletes releases that the caller may change."""

    def __init__(self, database: Database, organizations: OrganizationLookup) -> None:
        self._database = database
        self._organizations = organizations

    def delete_release(self, name: ReleaseName, etag: str, identify: Callable[..., Mutation]) -> None:
        """Delete the release with all that refers to it; an etag, when not empty, must be the current one.

        Raises OrganizationNotFound, OrganizationImporting, ReleaseNotFound, EtagMismatch, ReleaseReferenced,
        ReleaseHealthData, Aborted when other writers hold the release to the end of the deadline, RequestIdReused.
        """
        organization_id = self._organizations.find(name.organization).id
        mutation = identify("DeleteRelease", organization_id, name.version, etag)
        user_id = current_caller().user_id

        def work(transaction: Transaction) -> DeletedRelease:
            held = held_releases.hold_below_active(transaction, organization_id, name.version, user_id)
            if held is None or not has_release_permission(transaction, organization_id, held.id, user_id):
                raise release_not_found(organization_id, name.version)
            if etag and etag != held.etag:
                raise errors.EtagMismatch(metadata={"etag": held.etag})
            resource = errors.Resource("siloway/Release", release_name(organization_id, name.version))
            _refuse_referenced(transaction, held.id, resource)
            for statement in _DELETE:
                transaction.execute(statement, {"release_id": held.id, "organization_id": organization_id})
            return DeletedRelease(resource.name)

        try:
            self._database.transact(
                lambda transaction: once(
                    transaction, mutation, DeletedRelease, lambda: work(transaction), resource=lambda gone: gone.name
                )
            )
        except IntegrityError as exc:
            if constraint_name(exc) != "issue_first_release_id_fkey":
                raise
            raise _referenced(errors.Resource("siloway/Release", release_name(organization_id, name.version))) from exc


def _refuse_referenced(transaction: Transaction, release_id: int, resource: errors.Resource) -> None:
    values = {"release_id": release_id, "health_since": transaction.now - HEALTH_KEPT}
    found = transaction.execute(_IN_THE_WAY, values).one()
    if found.is_first:
        raise _referenced(resource)
    if found.has_health:
        raise errors.ReleaseHealthData(resource=resource)


def _referenced(resource: errors.Resource) -> errors.ReleaseReferenced:
    return errors.ReleaseReferenced(resource=resource)
