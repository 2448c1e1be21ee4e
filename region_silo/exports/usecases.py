"""What clients may do with exports: ask for one, see how far it is, take its file, end it.

A caller that is bound to an organization exports that organization and nothing else; whatever it names, other
organizations are not there for it. One that acts as a user must be its owner or manager, when it asks and whenever it
looks. Everything else is for operators.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from region_silo.exports import store
from region_silo.exports.domain import (
    DataExport,
    FileDigest,
    Scope,
    State,
    export_name,
)
from region_silo.exports.store import NewExport
from region_silo.members.administering import administers
from region_silo.organizations.domain import Organization, OrganizationState
from shared import audit, errors
from shared.database import Database, Transaction
from shared.exporting.files import ExportFiles
from shared.importing.spool import SpoolReader
from shared.names import organization_name
from shared.requests import Mutation, once
from shared.rpc.call import Caller, current_caller

EXPORTS_CHANNEL = "exports"
CHUNK_BYTES = 64 * 1024
OPEN_MAX = 20
"""How many exports of one principal may wait or be built at a time."""

_OPERATE = "silo:operate"


@dataclass(frozen=True)
class ExportWish:
    """What to export; None lets all pass."""

    scope: Scope
    usernames: tuple[str, ...] | None = None
    organization_slugs: tuple[str, ...] | None = None


class Download:
    """An export's file, open as long as the context."""

    def __init__(self, file: FileDigest, reader: SpoolReader, offset: int) -> None:
        self.file = file
        self._reader = reader
        self._offset = offset

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the offset on, in pieces of at most CHUNK_BYTES. Raises SpoolMissing."""
        for start in range(self._offset, self.file.length, CHUNK_BYTES):
            yield self._reader.read_at(start, min(CHUNK_BYTES, self.file.length - start))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()


@dataclass(frozen=True)
class ExportUseCases:
    """All of them, for one region. `find(id)` finds an organization or tells where it is.

    `wake(channel)` tells `work` that an export is queued; without it `work` polls.
    """

    database: Database
    files: ExportFiles
    take_ids: Callable[[int], list[int]]
    find: Callable[[int], Organization]
    wake: Callable[[str], None] = lambda _: None

    def create(self, mutation: Mutation, wish: ExportWish) -> DataExport:
        """Queue an export.

        Raises OrganizationNotFound, OrganizationElsewhere, OrganizationImporting (the caller's own), ScopeMissing,
        InvalidArgument (a filter that the scope does not take), PermissionDenied (a member who is neither owner nor
        manager), ResourceExhausted (too many wait), RequestIdReused.
        """
        caller = current_caller()
        _check_wish(caller, wish)
        if caller.organization_id is not None:
            _check_whole(self.find(caller.organization_id))
        export_id = self.take_ids(1)[0]

        def work(transaction: Transaction) -> DataExport:
            _check_standing(transaction, caller, caller.organization_id)
            if store.open_of(transaction, caller.principal) >= OPEN_MAX:
                raise errors.ResourceExhausted(
                    "too many exports of this caller wait", metadata={"maximum": str(OPEN_MAX)}, retry_after_s=60
                )
            new = NewExport(
                export_id,
                caller.organization_id,
                caller.principal,
                wish.scope,
                wish.usernames,
                wish.organization_slugs,
            )
            store.insert(transaction, new)
            _audit(transaction, mutation, "export.create", export_id, caller.organization_id)
            transaction.after_commit(lambda: self.wake(EXPORTS_CHANNEL))
            return _found(transaction, export_id)

        return self._once(mutation, work)

    def get(self, export_id: int) -> DataExport:
        """One export. Raises ExportNotFound, also for another's."""
        caller = current_caller()
        return self.database.read(lambda transaction: visible(transaction, export_id, caller))

    def page(self, before_id: int | None, rows_max: int) -> list[DataExport]:
        """The caller's exports, newest first; with silo:operate those of all."""
        caller = current_caller()
        principal = None if _operates(caller) else caller.principal

        def work(transaction: Transaction) -> list[DataExport]:
            return store.page(transaction, principal, caller.organization_id, before_id, rows_max)

        return self.database.read(work)

    def download(self, export_id: int, offset: int) -> Download:
        """The export's file, open. Raises ExportNotFound, ExportNotReady, ExportExpired, InvalidArgument (an offset
        behind the end), SpoolMissing.
        """
        caller = current_caller()

        def work(transaction: Transaction) -> DataExport:
            found = visible(transaction, export_id, caller)
            if found.state is State.SUCCEEDED:
                audit.record(
                    transaction,
                    action="export.download",
                    target=found.name,
                    organization_id=found.organization_id,
                    detail={"offset": offset},
                )
            return found

        found = self.database.transact(work)
        token = check_file(found, self.database.clock.now())
        if offset > found.size_bytes:
            raise errors.InvalidArgument.of("offset", f"is behind the file's end at {found.size_bytes}")
        reader = self.files.open(found.id, token, found.size_bytes)
        return Download(FileDigest(found.size_bytes, found.sha256), reader, offset)

    def cancel(self, mutation: Mutation, export_id: int) -> DataExport:
        """End an export that has not ended; others stay as they are. Raises ExportNotFound, RequestIdReused."""
        caller = current_caller()

        def work(transaction: Transaction) -> DataExport:
            found = visible(transaction, export_id, caller, locking=True)
            store.cancel(transaction, found)
            _audit(transaction, mutation, "export.cancel", export_id, found.organization_id)
            return _found(transaction, export_id)

        return self._once(mutation, work)

    def delete(self, mutation: Mutation, export_id: int) -> None:
        """Forget an export and its file. Raises ExportNotFound, RequestIdReused."""
        caller = current_caller()

        def work(transaction: Transaction) -> DataExport:
            found = visible(transaction, export_id, caller, locking=True)
            store.delete(transaction, export_id)
            _audit(transaction, mutation, "export.delete", export_id, found.organization_id)
            return found

        gone = self._once(mutation, work)
        if gone.file_token is not None:
            self.files.remove_of(gone.id, gone.file_token)  # on another machine the cleaner does it

    def _once(self, mutation: Mutation, work: Callable[[Transaction], DataExport]) -> DataExport:
        return self.database.transact(
            lambda transaction: once(
                transaction, mutation, DataExport, lambda: work(transaction), resource=lambda found: found.name
            )
        )


def clean_files(database: Database, files: ExportFiles) -> int:
    """Remove files that nobody needs: of builds that were cut short, of exports that are over or gone.

    Returns how many went. A file's lease or row stands before the file does, so that none is taken for left behind
    that is about to be offered.
    """
    here = files.found()
    owners = database.read(lambda transaction: store.owners_of_files(transaction, {each.export_id for each in here}))
    removed = 0
    for file in here:
        owner = owners.get(file.export_id)
        if owner is not None and _is_needed(owner[0], owner[1], file.token, database.clock.now()):
            continue
        files.remove(file)
        removed += 1
    return removed


def visible(transaction: Transaction, export_id: int, caller: Caller, *, locking: bool = False) -> DataExport:
    """The export, if the caller may see it. Raises ExportNotFound, PermissionDenied."""
    found = store.find(transaction, export_id, locking=locking)
    if found is not None and not _operates(caller):
        is_own = found.principal == caller.principal and caller.organization_id in (None, found.organization_id)
        if not is_own:
            found = None
        else:
            _check_standing(transaction, caller, found.organization_id)
    return found or _missing(export_id)


def check_file(found: DataExport, now: datetime) -> str:
    """The token that names the export's file. Raises ExportNotReady, ExportExpired."""
    resource = errors.Resource("siloway/Export", found.name)
    if found.file_token is None or found.expires_at is None:
        raise errors.ExportNotReady(metadata={"state": found.state.name}, resource=resource)
    if found.expires_at <= now:
        raise errors.ExportExpired(resource=resource)
    return found.file_token


def _is_needed(owner: DataExport, lease_token: str | None, token: str, now: datetime) -> bool:
    if lease_token == token:
        return True
    return owner.file_token == token and owner.expires_at is not None and owner.expires_at > now


def _check_wish(caller: Caller, wish: ExportWish) -> None:
    if wish.usernames is not None and wish.scope is not Scope.USER:
        raise errors.InvalidArgument.of("usernames", "is for SCOPE_USER only")
    if wish.organization_slugs is not None and wish.scope is not Scope.ORGANIZATION:
        raise errors.InvalidArgument.of("organization_slugs", "is for SCOPE_ORGANIZATION only")
    is_own = caller.organization_id is not None and wish.scope is Scope.ORGANIZATION
    if not is_own and not _operates(caller):
        raise errors.ScopeMissing(metadata={"scope": _OPERATE})


def _check_whole(organization: Organization) -> None:
    if organization.state is OrganizationState.IMPORTING:
        resource = errors.Resource("siloway/Organization", organization_name(organization.id))
        raise errors.OrganizationImporting(resource=resource)


def _check_standing(transaction: Transaction, caller: Caller, organization_id: int | None) -> None:
    if caller.user_id is None or _operates(caller):
        return
    if organization_id is None or not administers(transaction, caller.user_id, organization_id):
        raise errors.PermissionDenied("only owners and managers export an organization")


def _operates(caller: Caller) -> bool:
    return _OPERATE in caller.scopes and caller.organization_id is None


def _found(transaction: Transaction, export_id: int) -> DataExport:
    return store.find(transaction, export_id) or _missing(export_id)


def _missing(export_id: int) -> DataExport:
    raise errors.ExportNotFound(resource=errors.Resource("siloway/Export", export_name(export_id)))


def _audit(
    transaction: Transaction, mutation: Mutation, action: str, export_id: int, organization_id: int | None
) -> None:
    audit.record(
        transaction,
        action=action,
        target=export_name(export_id),
        organization_id=organization_id,
        request_id=mutation.request_id,
    )
