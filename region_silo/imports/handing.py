"""Hands rows over to control, with what it must be told of the region's rows to understand those that refer to them.

What control makes of rows that nothing refers to is only counted here: the region's ledger has none of them, but of
plans, whose decisions are listed from it, of rows that were tried again, and from an older control. So whoever reads
control's models in the ledger may ask for those alone that are in `referred_models`, or for a plan's.
"""

from collections.abc import Sequence

from region_silo.imports import chunk_store
from region_silo.imports.choosing import Choices
from region_silo.imports.domain import DataImport
from region_silo.imports.peers import ControlPeer
from shared.database import Database
from shared.importing.drift import DriftedError
from shared.importing.fields import field_reader
from shared.importing.handover import HandedAnswer, HandedBatch
from shared.importing.registry import Silo, models, referred_models
from shared.importing.upload import RawRow


def referred_in_region(model: str, rows: Sequence[RawRow]) -> dict[str, set[int]]:
    """The pks of the region's rows, by model, that rows of one of control's models refer to."""
    references = [
        each
        for each in models()[model].references
        if each.model in models() and models()[each.model].silo is Silo.REGION
    ]
    wanted: dict[str, set[int]] = {}
    reader = field_reader(tuple(each.field for each in references))
    for row in rows if references else ():
        for reference, pk in zip(references, reader.pks(row.data), strict=True):
            if pk is not None:
                wanted.setdefault(reference.model, set()).add(pk)
    return wanted


class Handing:
    """Hands batches of one import over, with what the import has made of the region's rows that they refer to."""

    def __init__(self, database: Database, control: ControlPeer, data_import: DataImport, choices: Choices) -> None:
        self._database = database
        self._control = control
        self._import = data_import
        self._choices = choices

    def ask(self, model: str, rows: Sequence[RawRow], *, again: bool = False) -> HandedAnswer:
        """Have control write the rows. Raises DriftedError, and what control refuses (peers.ControlPeer)."""
        answer = self._control.import_batch(self._batch(model, rows, again=again))
        if answer.drifted:
            raise DriftedError(list(answer.findings))
        return answer

    def _batch(self, model: str, rows: Sequence[RawRow], *, again: bool) -> HandedBatch:
        wanted = referred_in_region(model, rows)
        known = (
            self._database.read(lambda transaction: chunk_store.known_rows(transaction, self._import.id, wanted))
            if wanted
            else ()
        )
        return HandedBatch(
            self._import.id,
            self._import.principal,
            self._import.terms,
            model,
            rows,
            known,
            filtered=self._import.leaves_gaps,
            again=again,
            planned=self._import.is_plan,
            applied_plan=self._import.plan_id,
            plan_was_edited=self._import.edited,
            choices=self._choices.of(model, rows),
            own_addresses_later=True,
            without_rows=not (again or self._import.is_plan or model in referred_models()),
        )
