"""Reads the rows of control's models that a region's export asks for, all from one snapshot; and those of an import.

An export's rows wait on disk until the snapshot is closed, an import's are read page by page: no transaction is open
while a region takes them, however slowly it does.

The region is believed in nothing that control knows itself: the export's id must carry the region's number, what the
principal may do is read here, and so is who is a member of which of the region's organizations.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from control_silo.model_exports.aside import Wanted, tell_while
from control_silo.model_exports.domain import Keeping
from control_silo.model_exports.kept_rows import KeptRows
from control_silo.model_exports.readings import READINGS, SECRETS, selection
from control_silo.regions.own_ids import check_own
from shared import barrier
from shared.database import Database
from shared.errors import InvalidArgument, ScopeMissing
from shared.exporting import closure
from shared.exporting.handover import HandedRow, RowsWanted
from shared.exporting.imported import ImportedRow, imported_rows, select_imported
from shared.exporting.readings import select_rows
from shared.exporting.snapshot import read_rows
from shared.importing.registry import ImportScope, Silo
from shared.places import Places

_OPERATE = "silo:operate"
_ADMINISTER = "org:admin"
_IMPORT = "import:write"
_IDLE_S = 60.0
"""How long the disk may take for what was read."""

_AT_ONCE_MAX = 4
_AGAIN_S = 10.0


@dataclass(frozen=True)
class Right:
    """What one token of a principal may do, and the only organization where, if it is bound to one."""

    scopes: frozenset[str]
    organization_id: int | None


@dataclass(frozen=True)
class ModelExportUseCases:
    """`rights_of(principal, time)`: what it might do then, nothing once gone. `number_of(region)`: None if unknown.

    `places` limits how many exports' rows a process keeps at a time.
    """

    database: Database
    rights_of: Callable[[str, datetime], Sequence[Right]]
    number_of: Callable[[str], int | None]
    keeping: Keeping = field(default_factory=Keeping)
    places: Places = field(default_factory=lambda: Places(_AT_ONCE_MAX, doing="exports take rows", again_s=_AGAIN_S))

    def rows(self, region: str, wanted: RowsWanted) -> Iterator[HandedRow | None]:
        """The rows, models in the registry's order, rows by pk; before them None now and then, while they are read.

        Raises PeerRefused (not the region's export), ScopeMissing, ExportTooLarge, ResourceExhausted when all places
        are taken or the disk is full.
        """
        operates = self._check(region, wanted)
        with self.places.taken(), KeptRows(self.keeping) as kept:
            yield from tell_while(
                lambda still: self._keep(kept, region, wanted, operates=operates, still_wanted=still),
                self.keeping.tell_every_s,
            )
            yield from kept.rows()

    def _keep(self, kept: KeptRows, region: str, wanted: RowsWanted, *, operates: bool, still_wanted: Wanted) -> None:
        parameters = {
            "region": region,
            "usernames": list(wanted.usernames or ()),
            "organizations": list(wanted.organizations or ()),
        }
        remembered = closure.remembered(wanted.scope)
        with (
            self.database.snapshot(closure.CREATE, idle_s=_IDLE_S) as transaction,
            still_wanted.reading(transaction),
        ):
            for model in closure.exported_models(wanted.scope):
                reading = READINGS.get(model.name)
                if reading is None:
                    continue
                statement = select_rows(reading, selection(model.name, wanted, operates=operates), Silo.CONTROL)
                remembering = model.name in remembered
                for row in read_rows(transaction, model.name, statement, parameters, remembering=remembering):
                    if not still_wanted:
                        return
                    kept.add(HandedRow(model.name, *row))
                    barrier.reach("model_export.row")

    def imported_rows(self, region: str, import_id: int, principal: str, model: str) -> Iterator[ImportedRow]:
        """The rows of one of control's models that an import of the region wrote or met, as they stand.

        Raises PeerRefused (not the region's import), ScopeMissing, InvalidArgument (no model of control's).
        """
        rights = self._rights(region, import_id, principal)
        scopes = {scope for right in rights if right.organization_id is None for scope in right.scopes}
        if not scopes & {_IMPORT, _OPERATE}:
            raise ScopeMissing(metadata={"scope": _IMPORT, "principal": principal})
        reading = READINGS.get(model)
        if reading is None:
            raise InvalidArgument.of("model", "is no model of control's")
        statement = select_imported(reading, {} if _OPERATE in scopes else SECRETS.get(model))
        return itertools.chain.from_iterable(imported_rows(self.database, statement, import_id))

    def _rights(self, region: str, resource_id: int, principal: str) -> Sequence[Right]:
        """What the principal might do when the region's export or import was begun. Raises PeerRefused."""
        begun = check_own("what is asked for", resource_id, region, self.number_of(region))
        return self.rights_of(principal, begun.time)

    def _check(self, region: str, wanted: RowsWanted) -> bool:
        """Whether the principal operates the silo; one that does not gets rows about its own organization alone."""
        rights = self._rights(region, wanted.export_id, wanted.principal)
        if any(_OPERATE in right.scopes and right.organization_id is None for right in rights):
            return True
        own = {right.organization_id for right in rights if _ADMINISTER in right.scopes} - {None}
        asked = set(wanted.organizations or ())
        is_limited = wanted.scope is ImportScope.ORGANIZATION and wanted.organizations is not None
        if not (own and is_limited and asked <= own):
            raise ScopeMissing(metadata={"scope": _OPERATE, "principal": wanted.principal})
        return False
