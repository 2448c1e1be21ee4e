"""What a batch leaves beside its rows, in their transaction: its chunk, its findings, the import's progress; and
whether the import comes to rest behind it.
"""

from collections.abc import Sequence
from dataclasses import replace

from region_silo.imports import chunk_store, finding_store, store
from region_silo.imports.chunk_store import Chunk
from region_silo.imports.domain import DataImport, State, after_batch
from region_silo.imports.resting import RestedError, rest
from region_silo.imports.sieve import Sieve
from region_silo.imports.store import Lease
from shared import barrier
from shared.database import Transaction
from shared.importing.decisions import BatchFinding, Counts, count_errors
from shared.importing.upload import RawRow


class Recording:
    """Records the batches of one import under its lease, while it is in `state`."""

    def __init__(self, lease: Lease, lease_s: float, data_import: DataImport, sieve: Sieve, state: State) -> None:
        self._lease = lease
        self._lease_s = lease_s
        self._import = data_import
        self._sieve = sieve
        self._rows = {each.model: each.rows for each in data_import.models}
        self._state = state

    def save(
        self,
        transaction: Transaction,
        chunk: Chunk,
        findings: Sequence[BatchFinding],
        left_out: Sequence[RawRow] = (),
    ) -> RestedError | None:
        """Record a batch that is written for the first time; how the import rests now, if it does. What filters have
        `left_out` is not among the chunk's counts yet. Raises LeaseLostError, as the others do.
        """
        rows = chunk.last - chunk.first + 1
        chunk = replace(chunk, counts=replace(chunk.counts, skipped=chunk.counts.skipped + len(left_out)))
        self._sieve.note(transaction, chunk.model, left_out)
        if chunk.last == self._rows[chunk.model]:
            findings = [*findings, *self._sieve.total(transaction, chunk.model)]
        assert chunk.counts.total == rows, f"{chunk} does not sum up"
        chunk_store.insert_chunk(transaction, self._import, chunk)
        finding_store.copy_findings(transaction, self._import.id, findings)
        errors = count_errors(findings)
        wanted = store.add_progress(
            transaction, self._lease, self._lease_s, done=rows, findings=len(findings), error_count=errors
        )
        barrier.reach("import.in_batch")
        return self._rested(transaction, wanted, errors)

    def save_again(
        self,
        transaction: Transaction,
        model: str,
        span: tuple[int, int],
        counts: Counts,
        findings: Sequence[BatchFinding],
    ) -> RestedError | None:
        """Record a chunk whose failed rows were tried again: it counts so now, and has these findings of them."""
        assert counts.total == span[1] - span[0] + 1, f"{model} {span}: {counts} does not sum up"
        chunk_store.set_tried(transaction, self._import, model, span[0], counts)
        replaced, replaced_errors = finding_store.take_failed(transaction, self._import.id, model, span)
        finding_store.copy_findings(transaction, self._import.id, findings)
        errors = count_errors(findings)
        wanted = store.add_progress(
            transaction,
            self._lease,
            self._lease_s,
            done=0,
            findings=len(findings) - replaced,
            error_count=errors - replaced_errors,
        )
        barrier.reach("import.in_batch")
        return self._rested(transaction, wanted, errors)

    def pass_over(self, transaction: Transaction, model: str) -> RestedError | None:
        """Of a model that is skipped nothing can turn out otherwise when it is tried again: its errors stay, and stop
        the import again unless they may not.
        """
        wanted = store.renew(transaction, self._lease, self._lease_s)
        if chunk_store.untried(transaction, self._import, model) is None:
            return None
        chunk_store.set_all_tried(transaction, self._import, model)
        errors = finding_store.count_errors_of(transaction, self._import.id, model)
        return self._rested(transaction, wanted, errors)

    def _rested(self, transaction: Transaction, wanted: State | None, errors: int) -> RestedError | None:
        event = after_batch(wanted, errors, self._import.continue_on_error)
        return None if event is None else rest(transaction, self._lease, self._import, self._state, event)
