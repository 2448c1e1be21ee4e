"""Reads the rows of control's models that a region's export asks for, all from one snapshot.

The region is believed in nothing that control knows itself: the export's id must carry the region's number, what the
principal may do is read here, and so is who is a member of which of the region's organizations.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from control_silo.model_exports.readings import READINGS, selection
from shared.database import Database
from shared.errors import PeerRefused, ScopeMissing
from shared.exporting import closure
from shared.exporting.handover import HandedRow, RowsWanted
from shared.exporting.readings import select_rows
from shared.exporting.snapshot import read_rows
from shared.importing.registry import ImportScope, Silo
from shared.snowflake.domain import NotASnowflakeError, describe

_OPERATE = "silo:operate"
_ADMINISTER = "org:admin"
_IDLE_S = 60.0
"""How long a region may take nothing before its reading is ended."""


@dataclass(frozen=True)
class Right:
    """What one token of a principal may do, and the only organization where, if it is bound to one."""

    scopes: frozenset[str]
    organization_id: int | None


@dataclass(frozen=True)
class ModelExportUseCases:
    """`rights_of(principal, time)`: what it might do then, nothing once gone. `number_of(region)`: None if unknown."""

    database: Database
    rights_of: Callable[[str, datetime], Sequence[Right]]
    number_of: Callable[[str], int | None]

    def rows(self, region: str, wanted: RowsWanted) -> Iterator[HandedRow]:
        """The rows, models in the registry's order, rows by pk.

        Raises PeerRefused (not the region's export), ScopeMissing.
        """
        operates = self._check(region, wanted)
        parameters = {
            "region": region,
            "usernames": list(wanted.usernames or ()),
            "organizations": list(wanted.organizations or ()),
        }
        remembered = closure.remembered(wanted.scope)
        with self.database.snapshot(closure.CREATE, idle_s=_IDLE_S) as transaction:
            for model in closure.exported_models(wanted.scope):
                reading = READINGS.get(model.name)
                if reading is None:
                    continue
                statement = select_rows(reading, selection(model.name, wanted, operates=operates), Silo.CONTROL)
                remembering = model.name in remembered
                for row in read_rows(transaction, model.name, statement, parameters, remembering=remembering):
                    yield HandedRow(model.name, *row)

    def _check(self, region: str, wanted: RowsWanted) -> bool:
        """Whether the principal operates the silo; one that does not gets rows about its own organization alone."""
        try:
            begun = describe(wanted.export_id)
        except NotASnowflakeError:
            begun = None
        if begun is None or begun.region != self.number_of(region):
            raise PeerRefused("the export is not this region's", metadata={"region": region})
        rights = self.rights_of(wanted.principal, begun.time)
        if any(_OPERATE in right.scopes and right.organization_id is None for right in rights):
            return True
        own = {right.organization_id for right in rights if _ADMINISTER in right.scopes} - {None}
        asked = set(wanted.organizations or ())
        is_limited = wanted.scope is ImportScope.ORGANIZATION and wanted.organizations is not None
        if not (own and is_limited and asked <= own):
            raise ScopeMissing(metadata={"scope": _OPERATE, "principal": wanted.principal})
        return False
