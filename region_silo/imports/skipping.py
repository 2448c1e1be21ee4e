"""Rows of models that an import does not take: each is told, without being read where its place says enough."""

from collections.abc import Iterator

from shared.importing.decisions import BatchFinding
from shared.importing.findings import Finding
from shared.importing.index import NO_MODEL
from shared.importing.registry import ImportScope, why_skipped
from shared.importing.rows import skipped_row, unreadable_object
from shared.importing.upload import UploadedFile


def is_skipped(model: str, scope: ImportScope) -> bool:
    """Whether an import in this scope takes no row of the model, or the objects have none."""
    return model == NO_MODEL or why_skipped(model, scope) is not None


def told_of_skipped(file: UploadedFile, model: str, scope: ImportScope, first: int, count: int) -> list[BatchFinding]:
    """A finding for each of `count` rows of the model, from the `first` on."""
    return [BatchFinding.of_row(each) for each in _findings(file, model, scope, first, count)]


def _findings(file: UploadedFile, model: str, scope: ImportScope, first: int, count: int) -> Iterator[Finding]:
    if model == NO_MODEL:
        for run in file.rows(model, first, count):
            yield from map(unreadable_object, run)
        return
    kind = why_skipped(model, scope)
    assert kind is not None, f"{model} is imported"
    for record in file.records(model, first, count):
        yield skipped_row(model, record, kind)
