"""Makes batches of the region's own rows, and finds those that can be written before all that they may refer to is.

Files mostly have their rows in the order of their pks. So a batch whose greatest reference is there already has, as a
rule, all of them; that one tries it at once (shared.importing.at_once) tells for sure, and changes nothing if not.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

from region_silo.imports import chunk_store
from region_silo.imports.domain import DataImport
from region_silo.imports.peers import Ids
from region_silo.imports.sieve import Sieve
from region_silo.imports.targets import target_of
from shared.database import Database
from shared.importing.batch import Batch, batch_of
from shared.importing.columns import columns_of
from shared.importing.registry import ORGANIZATION
from shared.importing.rows import DecodedRows, RowDecoder
from shared.importing.targets import Target
from shared.importing.upload import RawRow


@dataclass(frozen=True)
class OwnBatch:
    """Rows of one of the region's models, from the ordinal `first` to `last`, without those that filters left out, and
    how long it took to read them, in seconds.
    """

    target: Target
    first: int
    last: int
    batch: Batch
    left_out: list[RawRow]
    took_s: float


class OwnBatches:
    """Those of one import. A batch that was made and not written is kept, one a model."""

    def __init__(self, database: Database, ids: Ids, data_import: DataImport, sieve: Sieve) -> None:
        self._database = database
        self._ids = ids
        self._import = data_import
        self._sieve = sieve
        self._has_one_organization = any(each.model == ORGANIZATION and each.rows == 1 for each in data_import.models)
        self._kept: dict[str, OwnBatch] = {}
        self._tried: set[str] = set()

    def batch(self, model: str, first: int, last: int) -> OwnBatch:
        """The rows, to be written now."""
        return self._kept.pop(model, None) or self._made(model, first, last)

    def early(self, model: str, first: int, last: int, needs: Collection[str]) -> OwnBatch | None:
        """The rows, when they are worth trying while these models are not done yet: once, and a model that was tried in
        vain is not tried again.
        """
        if model in self._tried:
            return None
        own = self._kept.get(model) or self._made(model, first, last)
        self._kept[model] = own
        there = self._database.ask(lambda transaction: chunk_store.greatest_pks(transaction, self._import.id, needs))
        if not _refers_within(own, there):
            return None
        self._tried.add(model)
        return own

    def written(self, own: OwnBatch) -> int:
        """Note that what was tried early is written; the ordinal behind it."""
        self._tried.remove(own.target.model)
        del self._kept[own.target.model]
        return own.last + 1

    def of_plan(self, batch: Batch) -> Batch:
        """The batch with what the import says of plans and organizations."""
        return replace(
            batch,
            planned=self._import.is_plan,
            plan_id=self._import.plan_id,
            plan_was_edited=self._import.edited,
            one_organization=self._has_one_organization,
        )

    def _made(self, model: str, first: int, last: int) -> OwnBatch:
        began = time.monotonic()
        target = target_of(model, self._import.terms)
        decoder = RowDecoder(model, self._import.created_at)
        decoded = DecodedRows([], [])
        left_out: list[RawRow] = []
        for run in self._sieve.passing(model, first, last, left_out):
            part = decoder.decode(run)
            decoded.rows.extend(part.rows)
            decoded.findings.extend(part.findings)
        decoded.findings.extend(decoder.take_ignored_fields())
        count = last - first + 1 - len(left_out)
        batch = batch_of(self._import.id, target, count, decoded, self._ids.take)
        return OwnBatch(target, first, last, self.of_plan(batch), left_out, time.monotonic() - began)


def _refers_within(own: OwnBatch, there: dict[str, int]) -> bool:
    """Whether no row refers to a greater pk than is there of each model; False if a model is needed in another way."""
    references = [each for each in own.target.references if each.model in there]
    if {each.model for each in references} != set(there):
        return False
    places = {column.name: place for place, column in enumerate(columns_of(own.target.model))}
    return all(
        max((row.values[places[each.field]] or 0 for row in own.batch.rows), default=0) <= there[each.model]
        for each in references
    )
