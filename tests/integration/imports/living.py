"""Requests about the life of an import, as the door passes them on; and what makes a row fail until it does not."""

import uuid
from collections.abc import Iterable
from typing import Any

from region_silo.imports.domain import DataImport
from region_silo.imports.life import LifeUseCases
from shared.importing.findings import Finding, FindingKind
from shared.importing.rows import DecodedRows, RowDecoder
from shared.importing.upload import RawRow
from shared.requests import Mutation, fingerprint
from shared.rpc.call import Caller, acting
from tests.integration.imports.stack import CALLER, METHOD, ImportStack


def ask(
    stack: ImportStack, what: str, import_id: int, *args: Any, caller: Caller = CALLER, request_id: str | None = None
) -> DataImport:
    """Call pause, resume, cancel or retry."""
    mutation = Mutation(caller.principal, request_id or str(uuid.uuid4()), what, fingerprint(import_id, *args))
    life = LifeUseCases(stack.region, stack.spool)
    with acting(caller, method=METHOD):
        answer: DataImport = getattr(life, what)(import_id, mutation, *args)
        return answer


class Refusing(RowDecoder):
    """Refuses some rows, as a version that cannot read them would. `refused` are pairs of model and pk."""

    refused: frozenset[tuple[str, int]] = frozenset()

    def decode(self, rows: Iterable[RawRow]) -> DecodedRows:
        decoded = super().decode(rows)
        bad = [row for row in decoded.rows if (self.model, row.pk) in self.refused]
        kind = FindingKind.INVALID_VALUE
        told = [
            Finding.of(kind, self.model, row.ordinal, pk=row.pk, field="name", reason="not readable") for row in bad
        ]
        return DecodedRows([row for row in decoded.rows if row not in bad], [*decoded.findings, *told])


def refusing(*rows: tuple[str, int]) -> type[Refusing]:
    """A decoder that refuses these rows."""
    return type("RefusingThese", (Refusing,), {"refused": frozenset(rows)})
