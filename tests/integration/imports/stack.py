"""The importer of region `us` beside control, on real databases, without doors: control is called in this process."""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from control_silo.model_exports.usecases import ModelExportUseCases, Right
from control_silo.model_imports.completing import CompletingUseCases
from control_silo.model_imports.plans import forget_plan
from control_silo.model_imports.undoing import UndoingUseCases
from control_silo.model_imports.usecases import ModelImportUseCases
from control_silo.regions.usecases import number_of
from control_silo.slugs import plan_holds
from region_silo.imports.domain import RESTING, DataImport, ImportReport, Scope, SlugWish
from region_silo.imports.options import NO_OPTIONS, ImportOptions
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.usecases import ImportUseCases, UploadHeader
from region_silo.imports.writer import BatchLimits
from shared.importing.handover import CompletedUsers, HandedAnswer, HandedBatch, UsersToComplete
from shared.importing.registry import Silo, models
from shared.importing.spool import Spool
from shared.importing.undo_handover import UndoWanted
from shared.importing.undoing import StayingRow, UndonePage
from shared.rpc.call import Caller, acting
from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.natural_keys import Rows, read_natural_rows

REGION = "us"
CALLER = Caller("tokens/7", frozenset({"import:write"}), token_id=7)
OPERATOR = Caller("tokens/8", frozenset({"import:write", "silo:operate"}), token_id=8)
SCOPES = {caller.principal: caller.scopes for caller in (CALLER, OPERATOR)}
METHOD = "/siloway.region.v1.ImportService/UploadImport"


class DirectControl:
    """Control's use cases without the wire. `before` runs before each call and may raise."""

    def __init__(self, silos: Silos, usecases: ModelImportUseCases) -> None:
        self._silos = silos
        self._usecases = usecases
        self.completing = CompletingUseCases(usecases.database, usecases.scopes_of, usecases.number_of)
        self._undoing = UndoingUseCases(usecases.database, usecases.scopes_of, usecases.number_of)
        self.before: Callable[[], None] = lambda: None
        self.batches: list[HandedBatch] = []
        self.completed: list[UsersToComplete] = []

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        self.before()
        self.batches.append(batch)
        return self._usecases.import_batch(REGION, batch)

    def complete_users(self, wanted: UsersToComplete) -> CompletedUsers:
        self.before()
        self.completed.append(wanted)
        return self.completing.complete_users(REGION, wanted)

    def undo_rows(self, wanted: UndoWanted) -> UndonePage:
        self.before()
        return self._undoing.undo(REGION, wanted)

    def find_references(self, import_id: int, model: str, pks: Sequence[int]) -> list[StayingRow]:
        self.before()
        return self._undoing.find_references(REGION, import_id, model, pks)

    def reserve_slugs(self, change_set: str, wishes: list[SlugWish], *, plan: str = "") -> None:
        self.before()
        if plan:
            slugs = [wish.base_slug for wish in wishes]
            self._silos.control.transact(
                lambda transaction: plan_holds.take_over(transaction, region=REGION, plan=plan, slugs=slugs)
            )
        pairs = [(wish.organization_id, wish.base_slug) for wish in wishes]
        self._silos.reserve(REGION, pairs, change_set=change_set)

    def hold_slugs(self, plan: str, base_slugs: list[str], *, afresh: bool, seconds: int) -> list[str]:
        self.before()
        return self._silos.control.transact(
            lambda transaction: plan_holds.hold_slugs(
                transaction, region=REGION, plan=plan, base_slugs=base_slugs, afresh=afresh, seconds=seconds
            )
        )

    def hold_exactly(self, plan: str, slugs: list[str], *, seconds: int) -> list[str]:
        self.before()
        return self._silos.control.transact(
            lambda transaction: plan_holds.hold_exactly(
                transaction, region=REGION, plan=plan, slugs=slugs, seconds=seconds
            )
        )

    def forget_plan(self, plan: str) -> None:
        self.before()
        plan_id = int(plan.removeprefix("imports/"))
        self._silos.control.transact(lambda transaction: forget_plan(transaction, REGION, plan_id))


class ImportStack:
    """Upload a file, run its import to the end, read what it made."""

    def __init__(self, silos: Silos, clock: FakeClock, folder: Path, ids: dict[str, SnowflakeAllocator]) -> None:
        self.silos = silos
        self.clock = clock
        self.control = silos.control
        self.region = silos.regions[REGION]
        self.ids = ids
        self.scopes = dict(SCOPES)
        self.spool_folder = folder
        self.spool = Spool(folder, 1 << 30)
        self.usecases = ImportUseCases(self.region, self.spool, ids[REGION])
        self.model_imports = ModelImportUseCases(
            self.control,
            ids["control"],
            scopes_of=lambda principal, _at: self.scopes.get(principal, frozenset()),
            number_of=lambda region: self.control.read(lambda transaction: number_of(transaction, region)),
        )
        self.model_exports = ModelExportUseCases(
            self.control,
            rights_of=lambda principal, _at: [Right(self.scopes.get(principal, frozenset()), None)],
            number_of=lambda region: self.control.read(lambda transaction: number_of(transaction, region)),
        )
        self.peer = DirectControl(silos, self.model_imports)

    def runner(self, **limits: int) -> ImportRunner:
        settings = RunnerSettings(limits=BatchLimits(**limits))
        return ImportRunner(self.region, self.spool, self.peer, self.ids[REGION], settings)

    def upload(
        self,
        data: bytes,
        *,
        scope: Scope = Scope.ORGANIZATION,
        caller: Caller = CALLER,
        request_id: str | None = None,
        finish: bool = True,
        options: ImportOptions = NO_OPTIONS,
        continue_on_error: bool = False,
        **header: Any,
    ) -> DataImport:
        options = replace(options, continue_on_error=continue_on_error)

        def parts() -> Iterator[bytes | None]:
            for start in range(0, len(data), 65536):
                yield data[start : start + 65536]
            if finish:
                yield None

        with acting(caller, method=METHOD):
            return self.usecases.upload(
                UploadHeader(scope, request_id or str(uuid.uuid4()), options=options, **header), parts()
            )

    def run(self, import_id: int, runner: ImportRunner | None = None, rounds_max: int = 50) -> DataImport:
        """Work, deliver and let time pass until the import has ended or rests."""
        runner = runner or self.runner()
        for _ in range(rounds_max):
            runner.run_once()
            self.silos.drain("control", REGION)
            found = self.report(import_id).data_import
            if found.state in RESTING:
                return found
            self.clock.advance(0.3)
        raise AssertionError(f"the import is still {found.state.name}")

    def do_import(self, rows: list[dict[str, Any]], **how: Any) -> DataImport:
        """Upload rows and run the import to its end."""
        return self.run(self.upload(json.dumps(rows).encode(), **how).id)

    def report(self, import_id: int, caller: Caller = OPERATOR) -> ImportReport:
        with acting(caller, method=METHOD):
            return self.usecases.get(import_id)

    def findings(self, import_id: int, kind: str = "") -> list[Any]:
        with acting(OPERATOR, method=METHOD):
            return [each for _, each in self.usecases.findings(import_id, kind, 0, 100_000)]

    def ledger(self, import_id: int) -> list[dict[str, Any]]:
        """What each silo's ledger has of its own rows. What the region has of control's must be the same there."""
        statement = "SELECT * FROM import_row WHERE import_id = :import_id AND ordinal > 0 ORDER BY model, old_pk"
        found = {silo: self.all_in(silo, statement, import_id=import_id) for silo in ("control", "region")}
        own = [row for silo, rows in found.items() for row in rows if models()[row["model"]].silo.value == silo]
        there = {(row["model"], row["old_pk"], row["new_pk"], row["decision"], row["suffixed"]) for row in own}
        for row in found["region"]:
            if models()[row["model"]].silo is Silo.CONTROL:
                assert (row["model"], row["old_pk"], row["new_pk"], row["decision"], row["suffixed"]) in there
        return own

    def kept(self, model: str, silo: str = "region") -> list[dict[str, Any]]:
        """The kept rows of a model, by import and pk in the file."""
        statement = """
            SELECT kept_row.* FROM kept_row JOIN import_row AS told USING (import_id, model)
            WHERE model = :model AND told.new_pk = kept_row.id ORDER BY import_id, told.old_pk
        """
        return self.all_in(silo, statement, model=model)

    def natural_rows(self, import_id: int) -> dict[str, Rows]:
        return read_natural_rows(self.control, self.region, import_id)

    def change_in(self, silo: str, statement: str) -> None:
        """Run a statement in "control" or "region"."""
        database = self.control if silo == "control" else self.region
        database.transact(lambda transaction: transaction.execute(text(statement)))

    def all_in(self, silo: str, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of "control" or "region" as dictionaries."""
        database = self.control if silo == "control" else self.region

        def work(transaction: Any) -> list[dict[str, Any]]:
            return [dict(row) for row in transaction.execute(text(statement), parameters).mappings()]

        return database.read(work)
