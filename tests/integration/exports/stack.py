"""The exporter of region `us` beside its importer and control, without doors: control is called in this process."""

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import text

from control_silo.model_exports.usecases import ModelExportUseCases, Right
from control_silo.regions.usecases import number_of
from region_silo.exports.domain import DataExport, Scope, State
from region_silo.exports.runner import ExportRunner
from region_silo.exports.usecases import ExportUseCases, ExportWish
from region_silo.imports.domain import DataImport
from region_silo.organizations.domain import Organization, OrganizationState
from shared.exporting.files import ExportFiles
from shared.exporting.handover import HandedRow, RowsWanted
from shared.requests import Mutation
from shared.rpc.call import Caller, acting
from tests.integration.imports.stack import OPERATOR, REGION, ImportStack

Row = dict[str, Any]
_KEEP = text(
    "INSERT INTO kept_row (model, refs, fields, organization_id)"
    " VALUES (:model, CAST(:refs AS jsonb), CAST(:fields AS jsonb), :organization_id)"
)
METHOD = "/siloway.region.v1.ExportService/CreateExport"


class DirectRows:
    """Control's use cases without the wire. `before` runs before each call and may raise."""

    def __init__(self, usecases: ModelExportUseCases) -> None:
        self._usecases = usecases
        self.before: Callable[[], None] = lambda: None
        self.wanted: list[RowsWanted] = []

    def rows(self, wanted: RowsWanted) -> Iterator[HandedRow | None]:
        self.before()
        self.wanted.append(wanted)
        return self._usecases.rows(REGION, wanted)


class ExportStack:
    """Ask for an export, build it, read it."""

    def __init__(self, imports: ImportStack) -> None:
        self.imports = imports
        self.clock = imports.clock
        self.region = imports.region
        self.control = imports.control
        self.rights = {
            OPERATOR.principal: [Right(OPERATOR.scopes, None)],
        }
        self.files = ExportFiles(imports.spool_folder, imports.spool)
        self.usecases = ExportUseCases(self.region, self.files, imports.ids[REGION].take, self._find)
        self.find: Callable[[int], Organization] | None = None
        self.model_exports = ModelExportUseCases(
            self.control,
            rights_of=lambda principal, _at: self.rights.get(principal, []),
            number_of=lambda region: self.control.read(lambda transaction: number_of(transaction, region)),
        )
        self.peer = DirectRows(self.model_exports)

    def _find(self, organization_id: int) -> Organization:
        """Tests of permissions make organizations of nothing but an id, unless they set `find`."""
        if self.find is not None:
            return self.find(organization_id)
        return Organization(organization_id, "x", "x", OrganizationState.ACTIVE, self.clock.now())

    def bound(self, organization_id: int, *, user_id: int | None = None) -> Caller:
        """A caller that is bound to an organization, with org:admin."""
        principal = "tokens/9" if user_id is None else f"users/{user_id}"
        scopes = frozenset({"org:admin"})
        self.rights[principal] = [Right(scopes, organization_id)]
        return Caller(principal, scopes, token_id=9, organization_id=organization_id, user_id=user_id)

    def runner(self) -> ExportRunner:
        return ExportRunner(self.region, self.peer, self.files)

    def create(
        self,
        scope: Scope = Scope.ORGANIZATION,
        *,
        caller: Caller = OPERATOR,
        request_id: str = "",
        usernames: tuple[str, ...] | None = None,
        slugs: tuple[str, ...] | None = None,
    ) -> DataExport:
        wish = ExportWish(scope, usernames, slugs)
        with acting(caller, method=METHOD):
            return self.usecases.create(self.mutation(caller, request_id, repr(wish)), wish)

    def mutation(self, caller: Caller, request_id: str = "", asked: str = "") -> Mutation:
        return Mutation(caller.principal, request_id or str(uuid.uuid4()), METHOD, asked.encode())

    def get(self, export_id: int, caller: Caller = OPERATOR) -> DataExport:
        with acting(caller, method=METHOD):
            return self.usecases.get(export_id)

    def download(self, export_id: int, offset: int = 0, caller: Caller = OPERATOR) -> bytes:
        with acting(caller, method=METHOD), self.usecases.download(export_id, offset) as download:
            return b"".join(download.chunks())

    def build(self, scope: Scope = Scope.ORGANIZATION, *, caller: Caller = OPERATOR, **wish: Any) -> bytes:
        """Export and give the file's bytes."""
        export_id = self.create(scope, caller=caller, **wish).id
        assert self.runner().run_once()
        found = self.get(export_id, caller)
        assert found.state is State.SUCCEEDED, found.error
        data = self.download(export_id, caller=caller)
        assert len(data) == found.size_bytes
        return data

    def export(self, scope: Scope = Scope.ORGANIZATION, **how: Any) -> list[Row]:
        """Export and give the file's objects."""
        rows: list[Row] = json.loads(self.build(scope, **how))
        return rows

    def import_all(self, rows: list[Row]) -> DataImport:
        """Import rows in organization scope, and let control hear of the members."""
        found = self.imports.do_import(rows)
        assert found.state == 5, found.error
        self.imports.silos.drain()
        return found

    def keep(
        self,
        silo: str,
        model: str,
        references: Row,
        fields: Row | None = None,
        organization_id: int | None = None,
    ) -> None:
        """Put a row that is kept whole into "control" or "region"."""
        database = self.control if silo == "control" else self.region
        values = {
            "model": model,
            "refs": json.dumps(references),
            "fields": json.dumps(fields or {}),
            "organization_id": organization_id,
        }
        database.transact(lambda transaction: transaction.execute(_KEEP, values))

    def value(self, silo: str, statement: str, **parameters: Any) -> Any:
        (row,) = self.imports.all_in(silo, statement, **parameters)
        (value,) = row.values()
        return value


def by_model(rows: list[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["model"], []).append(row)
    return found


def values(rows: list[Row], model: str, field: str) -> list[Any]:
    return [row["fields"][field] for row in rows if row["model"] == model]
