"""Builds an export's file: control's rows are kept on disk first, then everything is read from one snapshot and written
model after model, in the order of references.

No row waits in memory for another: what has gone is remembered in a temporary table, and rows are looked up there. No
call to control is made while the snapshot is open, so what control has is a moment older; a row that refers to
something newer does not go, unless everything does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from region_silo.exports import store
from region_silo.exports.domain import DataExport, FileDigest, ModelRows
from region_silo.exports.readings import READINGS, organizations_of, selection
from region_silo.exports.store import Lease
from shared import barrier
from shared.database import Database, Transaction
from shared.exporting import closure
from shared.exporting.array import JsonArray
from shared.exporting.files import ExportFiles
from shared.exporting.handover import ControlPeer, HandedRow, RowsWanted
from shared.exporting.readings import select_rows
from shared.exporting.snapshot import read_rows
from shared.importing.registry import ImportScope, Model, Silo

_ROWS_BETWEEN_LOOKS = 256
_ROWS_A_LOOK_UP = 256
_IDLE_S = 1800.0
"""Control's rows come from the disk: many may be written without a question."""


class StoppedError(Exception):
    """The process is to stop; the export is built elsewhere."""


@dataclass(frozen=True)
class BuildLimits:
    """How long the lease holds, and how often it is renewed and the progress told."""

    lease_s: float = 60.0
    tell_every_s: float = 1.0


class FileBuilder:
    """Builds one export's file under a lease."""

    def __init__(
        self,
        database: Database,
        control: ControlPeer,
        files: ExportFiles,
        limits: BuildLimits,
        *,
        lease: Lease,
        data_export: DataExport,
        stopping: Callable[[], bool],
    ) -> None:
        self._database = database
        self._control = control
        self._files = files
        self._limits = limits
        self._lease = lease
        self._export = data_export
        self._stopping = stopping
        self._rows: dict[str, int] = {}
        self._tell_at_s = 0.0
        self._seen = 0

    @property
    def models(self) -> list[ModelRows]:
        """What is written so far, in the order of the file."""
        return [ModelRows(model, rows) for model, rows in self._rows.items()]

    def build(self) -> FileDigest:
        """Write the whole file. Raises LeaseLostError, StoppedError, SpoolFull, what control refuses."""
        scope = self._export.scope.takes
        organizations = self._organizations()
        self._take_over(
            RowsWanted(
                self._export.id, self._export.principal, scope, self._export.usernames, organizations=organizations
            )
        )
        barrier.reach("export.after_control")
        with self._files.build(self._export.id, self._lease.token) as writer:
            array = JsonArray(writer.write)
            with self._database.snapshot(closure.CREATE, idle_s=_IDLE_S) as transaction:
                self._write_all(transaction, array, scope, organizations)
            array.finish()
            barrier.reach("export.before_file")
            spooled = writer.finish()
        return FileDigest(spooled.length, spooled.sha256.hex())

    def _organizations(self) -> tuple[int, ...] | None:
        """The only ones that go; None when all do."""
        export = self._export
        if export.organization_id is None and export.organization_slugs is None:
            return None
        return self._database.read(
            lambda transaction: organizations_of(transaction, export.organization_id, export.organization_slugs)
        )

    def _take_over(self, wanted: RowsWanted) -> None:
        with self._files.take_over(self._export.id, self._lease.token) as kept:
            for row in self._control.rows(wanted):
                if row is None:
                    self._look_up()
                else:
                    kept.add(row)
                    self._count()
            kept.finish()

    def _write_all(
        self,
        transaction: Transaction,
        array: JsonArray,
        scope: ImportScope,
        organizations: tuple[int, ...] | None,
    ) -> None:
        handed = _Handed(self._files.handed_rows(self._export.id, self._lease.token))
        for model in closure.exported_models(scope):
            if model.silo is Silo.CONTROL:
                self._write_handed(transaction, array, model, handed.rows_of(model.name))
            elif model.name in READINGS:
                self._write_own(transaction, array, model, organizations)
        handed.check_end()

    def _write_own(
        self, transaction: Transaction, array: JsonArray, model: Model, organizations: tuple[int, ...] | None
    ) -> None:
        scope = self._export.scope.takes
        chosen = selection(model.name, scope, limited=organizations is not None)
        statement = select_rows(READINGS[model.name], chosen, Silo.REGION)
        remembering = model.name in closure.remembered(scope)
        parameters = {"organizations": list(organizations or ())}
        for row in read_rows(transaction, model.name, statement, parameters, remembering=remembering):
            self._write(array, model.name, row.pk, row.fields)

    def _write_handed(
        self, transaction: Transaction, array: JsonArray, model: Model, rows: Iterator[HandedRow]
    ) -> None:
        scope = self._export.scope.takes
        looked_up = set(closure.checked(model.name, scope))
        places = [(place, each.model) for place, each in enumerate(model.references) if each in looked_up]
        while going := list(islice(rows, _ROWS_A_LOOK_UP)):
            for place, target in places:
                pks = {pk for row in going if (pk := row.references[place]) is not None}
                there = closure.which_go(transaction, target, sorted(pks))
                going = [row for row in going if row.references[place] is None or row.references[place] in there]
            if model.name in closure.remembered(scope):
                closure.remember(transaction, model.name, (row.pk for row in going))
            for row in going:
                self._write(array, model.name, row.pk, row.fields)

    def _write(self, array: JsonArray, model: str, pk: int, fields: bytes) -> None:
        array.add(model, pk, fields)
        self._rows[model] = self._rows.get(model, 0) + 1
        self._count()
        barrier.reach("export.row")

    def _count(self) -> None:
        """Look up now and then."""
        self._seen += 1
        if self._seen % _ROWS_BETWEEN_LOOKS == 0:
            self._look_up()

    def _look_up(self) -> None:
        """May this go on? Tells the progress and holds on to the lease."""
        if self._stopping():
            raise StoppedError
        now_s = self._database.clock.monotonic()
        if now_s >= self._tell_at_s:
            self._tell_at_s = now_s + self._limits.tell_every_s
            self._database.transact(
                lambda transaction: store.renew(transaction, self._lease, self._limits.lease_s, self.models)
            )


class _Handed:
    """Control's rows, model by model in their order."""

    def __init__(self, rows: Iterator[HandedRow]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def rows_of(self, model: str) -> Iterator[HandedRow]:
        while self._next is not None and self._next.model == model:
            row, self._next = self._next, next(self._rows, None)
            yield row

    def check_end(self) -> None:
        assert self._next is None, f"control gave {self._next.model} out of its order"
