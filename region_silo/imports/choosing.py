"""Which rows of an import that applies a plan were given another policy, for the batches that write them."""

from collections.abc import Sequence
from dataclasses import replace

from region_silo.imports import choice_store
from region_silo.imports.domain import DataImport
from shared.database import Database, Transaction
from shared.importing.batch import Batch
from shared.importing.choices import Choice
from shared.importing.policies import POLICIES
from shared.importing.upload import RawRow


class Choices:
    """One import's. Without any edit of its plan, and for models without policies, it costs nothing."""

    def __init__(self, database: Database, data_import: DataImport) -> None:
        self._database = database
        self._import = data_import

    def given(self, transaction: Transaction, model: str, batch: Batch) -> Batch:
        """The batch, with the choices for its rows."""
        if not self._may_have(model) or not batch.rows:
            return batch
        first, last = batch.rows[0].ordinal, batch.rows[-1].ordinal
        return replace(batch, choices=choice_store.within(transaction, self._import.id, model, first, last))

    def of(self, model: str, rows: Sequence[RawRow]) -> list[Choice]:
        """The choices for rows that are handed over."""
        if not self._may_have(model):
            return []
        first, last = rows[0].ordinal, rows[-1].ordinal
        return self._database.read(
            lambda transaction: choice_store.within(transaction, self._import.id, model, first, last)
        )

    def _may_have(self, model: str) -> bool:
        return self._import.edited and model in POLICIES
