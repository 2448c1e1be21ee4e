"""Writes one batch of decoded rows of one model inside the caller's transaction: stage, resolve, write.

Nothing of a batch stays when the transaction rolls back. Every row ends with a decision in the ledger or with a finding
that says why not. Unique values that a concurrent writer takes after resolve make the insert fail; the caller then
runs the transaction again, which sees them. A batch may be tried at once first, in the hope that nothing is amiss.
"""

import operator
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from shared.database import Transaction
from shared.errors import Aborted
from shared.importing.at_once import AtOnce, at_once_of
from shared.importing.choices import Choice, choose
from shared.importing.columns import columns_of
from shared.importing.decisions import BatchFinding, Counts, Decision, LedgerRow, WriteKind, ledger_rows
from shared.importing.drift import Edits, check_drift, take_planned_names
from shared.importing.findings import Finding, FindingKind
from shared.importing.references import Known
from shared.importing.rows import DecodedRows
from shared.importing.shapes import DecodedRow
from shared.importing.statements import Statements, statements_of, suffix_statements
from shared.importing.targets import Conflict, Target, UniqueSet
from shared.slugs import ATTEMPTS_MAX, suffixed
from shared.statements import command

RACES_MAX = 5
_NEAR = 4

_random = random.SystemRandom()

_PROBLEMS = {
    FindingKind.REPEATED_PK.name: "an earlier row of the model has the same pk",
    FindingKind.OUT_OF_SCOPE.name: "the import's scope does not take this row",
    WriteKind.EXISTING_USER.value: "its user was there before and is left as it was",
    WriteKind.EXCLUDED_OPTION.value: "the option tells of the installation that it comes from",
    WriteKind.NOT_UNIQUE.value: "another row holds the same values",
    WriteKind.FOREIGN_REFERENCE.value: "the rows that it joins belong to different organizations",
}


@dataclass(frozen=True)
class Batch:
    """Rows to write. `count` includes those that were not decoded; `new_pks`: an id a row, for snowflake targets;
    `one_organization`: the file has one, not more.

    `planned`: they are of a plan, and the transaction has entered its schema. `plan_id`: the plan that they apply,
    and `plan_was_edited`: without some of its rows, or with `choices` for some.
    """

    import_id: int
    count: int
    rows: Sequence[DecodedRow]
    findings: Sequence[Finding]
    new_pks: Sequence[int] = ()
    planned: bool = False
    plan_id: int | None = None
    plan_was_edited: bool = False
    choices: Sequence[Choice] = ()
    one_organization: bool = False

    @property
    def decides_itself(self) -> bool:
        """Whether it makes no plan, follows none, and nobody has chosen for its rows."""
        return not self.planned and self.plan_id is None and not self.choices


@dataclass(frozen=True)
class Written:
    """What became of a batch. `ledger`: its rows, by ordinal, where they were asked for."""

    counts: Counts
    findings: list[BatchFinding]
    ledger: Sequence[LedgerRow] = ()


class AmissError(Exception):
    """A batch cannot be written at once: about some row there is something to decide or to tell, or about all."""


class Suspects:
    """What is not worth trying at once: models of imports of which a batch had something amiss; the last ones."""

    _MAX = 1000

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def add(self, key: Hashable) -> None:
        """Remember one; the eldest is forgotten when there are too many."""
        with self._lock:
            self._known[key] = None
            while len(self._known) > self._MAX:
                self._known.popitem(last=False)


def batch_of(
    import_id: int, target: Target, count: int, decoded: DecodedRows, take: Callable[[int], list[int]]
) -> Batch:
    """A batch with ids for its rows; `take` gives new snowflakes and is called outside of any transaction.

    A pk that stands twice in the batch costs the later row here already, so that resolve sees each pk once.
    """
    rows, findings = decoded
    if target.check is not None or len({row.pk for row in rows}) < len(rows):
        rows, findings = _sorted_out(target, decoded)
    new_pks = take(len(rows)) if target.snowflake and rows else []
    return Batch(import_id, count, rows, findings, new_pks)


def write_batch(
    transaction: Transaction, target: Target, batch: Batch, *, at_once: bool = False, tells_ledger: bool = False
) -> Written:
    """Write the rows, their ledger and what follows from them.

    Raises UniqueViolation of a lost race, and DriftedError when a batch that applies a plan decides otherwise. Told to
    do it `at_once` it decides nothing: AmissError or an IntegrityError say that the batch must go the whole way.
    """
    found = [BatchFinding.of_row(each) for each in batch.findings]
    if not batch.rows:
        return Written(Counts(skipped=batch.count), found)
    driver = transaction.driver
    parameters = {"import_id": batch.import_id, "now": transaction.now}
    if at_once:
        known, spans = _known(target, batch)
        short = at_once_of(target, known) if batch.decides_itself else None
        if short is None:
            raise AmissError
        ledger = _write_at_once(driver, target, short, batch, parameters | spans, tells_ledger=tells_ledger)
        return Written(Counts.of({Decision.INSERT: len(batch.rows)}, batch.count), found, ledger)
    statements = _begin(driver, target, batch)
    _stage(driver, target, statements, batch)
    driver.execute(statements.resolve.encode(), parameters)
    if batch.choices:
        target = choose(driver, target, batch.choices)
        statements = statements_of(target)
    decisions: dict[int, int] = dict(driver.execute(statements.count.encode()).fetchall())
    counts = Counts.of(decisions, batch.count)
    if counts.suffixed and statements.suffix is not None:
        if batch.plan_id is not None:
            take_planned_names(driver, target, statements.suffix, batch.plan_id)
        _give_names(driver, target, statements.suffix)
    if batch.plan_id is not None:
        edits = Edits(batch.import_id, batch.choices) if batch.plan_was_edited else None
        check_drift(driver, target, batch.plan_id, edits)
    for each in statements.writes:
        driver.execute(each.encode(), parameters)
    driver.execute(statements.ledger.encode(), parameters)
    found += _findings(driver, target, statements)
    ledger = _ledger_of(driver, statements) if tells_ledger else []
    return Written(counts, sorted(found, key=lambda each: each.ordinal), ledger)


def retried(write: Callable[[bool], Any], suspects: Suspects, key: Hashable) -> Any:
    """Run a batch's transaction: at once, `write(True)`, unless `key` is among the suspects; then the whole way.

    That is run again while concurrent writers take its unique values; Aborted when they go on.
    """
    if key not in suspects:
        try:
            return write(True)
        except (AmissError, psycopg.errors.IntegrityError):
            suspects.add(key)
    for _ in range(RACES_MAX):
        try:
            return write(False)
        except psycopg.errors.UniqueViolation:
            continue
    raise Aborted("other writers keep taking the unique values of an import's rows", retry_after_s=1)


def _known(target: Target, batch: Batch) -> tuple[Known, dict[str, int]]:
    """What spares lookups, and the parameters for it. A span that is read holds few rows more than the batch wants."""
    places = {column.name: place for place, column in enumerate(columns_of(target.model))}
    near: set[str] = set()
    spans: dict[str, int] = {}
    for reference in target.references:
        place = places[reference.field]
        wanted = [pk for _, _, values in batch.rows if (pk := values[place]) is not None] or [0]
        least, greatest = min(wanted), max(wanted)
        if greatest - least < _NEAR * len(batch.rows):
            near.add(reference.field)
            spans |= {f"least_{reference.field}": least, f"greatest_{reference.field}": greatest}
    of_one = batch.one_organization and target.packed is None
    return Known(apart=True, near=frozenset(near), one_organization=of_one), spans


def _write_at_once(
    driver: "psycopg.Connection[Any]",
    target: Target,
    short: AtOnce,
    batch: Batch,
    parameters: dict[str, Any],
    *,
    tells_ledger: bool,
) -> list[LedgerRow]:
    command(driver, short.begin.encode())
    _stage(driver, target, statements_of(target), batch)
    rows = driver.execute((short.rows if tells_ledger else short.count).encode(), parameters, binary=True).fetchall()
    if (len(rows) if tells_ledger else rows[0][0]) < len(batch.rows):
        raise AmissError
    return ledger_rows(rows) if tells_ledger else []


def _ledger_of(driver: "psycopg.Connection[Any]", statements: Statements) -> list[LedgerRow]:
    return ledger_rows(driver.execute(statements.ledger_rows.encode(), binary=True))


def _sorted_out(target: Target, decoded: DecodedRows) -> DecodedRows:
    """Only the rows that can be staged."""
    seen: set[int] = set()
    rows: list[DecodedRow] = []
    findings = list(decoded.findings)
    for row in decoded.rows:
        wrong = target.check(row.values) if target.check else None
        if wrong is not None:
            kind, (field, reason) = FindingKind.INVALID_VALUE, wrong
            findings.append(Finding.of(kind, target.model, row.ordinal, pk=row.pk, field=field, reason=reason))
        elif row.pk in seen:
            reason = _PROBLEMS[FindingKind.REPEATED_PK.name]
            kind = FindingKind.REPEATED_PK
            findings.append(Finding.of(kind, target.model, row.ordinal, pk=row.pk, field="pk", reason=reason))
        else:
            seen.add(row.pk)
            rows.append(row)
    return DecodedRows(rows, findings)


def _begin(driver: "psycopg.Connection[Any]", target: Target, batch: Batch) -> Statements:
    """Make the batch's temporary tables; the statements for it. Exports have their pks in order, so that whole batches
    mostly stand apart from those before them.
    """
    statements = statements_of(target, planned=batch.planned)
    command(driver, statements.begin.encode())
    span = {"least": min(row.pk for row in batch.rows), "greatest": max(row.pk for row in batch.rows)}
    row = driver.execute(statements.met.encode(), {"import_id": batch.import_id, **span}).fetchone()
    is_apart = row is not None and not row[0]
    return statements_of(target, planned=batch.planned, apart=is_apart)


def _stage(driver: "psycopg.Connection[Any]", target: Target, statements: Statements, batch: Batch) -> None:
    minted = [each.mint(len(batch.rows)) for each in target.minted]
    derive = _deriver(target)
    new_pks: Sequence[int | None] = batch.new_pks or [None] * len(batch.rows)
    ordinals, pks, values = zip(*batch.rows, strict=True)
    staged: Iterable[tuple[Any, ...]] = map(derive, values) if derive else values
    if statements.places is not None:
        staged = map(operator.itemgetter(*statements.places), staged)
    lines = map(operator.add, zip(ordinals, pks, new_pks, strict=True), staged)
    if minted:
        lines = map(operator.add, lines, zip(*minted, strict=True))
    with driver.cursor() as cursor, cursor.copy(statements.copy.encode()) as copy:
        copy.set_types(statements.copy_types)
        for line in lines:
            copy.write_row(line)


def _deriver(target: Target) -> Callable[[tuple[Any, ...]], tuple[Any, ...]] | None:
    """A function that makes what is staged of a row's values; None when they are staged as they are."""
    if target.packed is not None:
        return target.packed.pack
    if not target.derived:
        return None
    places = {column.name: place for place, column in enumerate(columns_of(target.model))}
    steps = [(places[each.column], places[each.source], each.make) for each in target.derived]

    def derive(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if all(values[place] for place, _, _ in steps):
            return values
        filled = list(values)
        for place, source, make in steps:
            filled[place] = filled[place] or make(filled[source])
        return tuple(filled)

    return derive


def _give_names(driver: "psycopg.Connection[Any]", target: Target, unique: UniqueSet) -> None:
    """Find a free name for every row whose own is taken, round by round; Aborted when the rounds do not suffice."""
    assert unique.conflict is Conflict.SUFFIX
    statements = suffix_statements(target, unique)
    fold = str.lower if unique.folded else str
    held = {(scope, fold(name)) for scope, name in driver.execute(statements.names.encode()).fetchall()}
    for attempt in range(1, ATTEMPTS_MAX + 1):
        waiting = driver.execute(statements.waiting.encode()).fetchall()
        if not waiting:
            return
        with driver.cursor() as cursor, cursor.copy(statements.copy.encode()) as copy:
            copy.set_types(("int8", "text"))
            for ordinal, scope, name in waiting:
                candidate = suffixed(name, unique.length_max, attempt, _random)
                if (scope, fold(candidate)) not in held:
                    held.add((scope, fold(candidate)))
                    copy.write_row((ordinal, candidate))
        driver.execute(statements.take.encode())
        driver.execute(statements.clear.encode())
    if driver.execute(statements.waiting.encode()).fetchone():
        raise Aborted(f"no free {unique.subject} found for a row of {target.model}", retry_after_s=1)


def _findings(driver: "psycopg.Connection[Any]", target: Target, statements: Statements) -> list[BatchFinding]:
    found = []
    references = {each.field: each.model for each in target.references}
    for ordinal, pk, problem, field, value, told, new_name, name in driver.execute(statements.told.encode()).fetchall():
        if problem == FindingKind.MISSING_REFERENCE.name:
            reason = f"refers to {references[field]} {value}, which was not imported"
        elif problem:
            reason = _PROBLEMS[problem]
        if problem:
            found.append(
                BatchFinding.of_write(problem, target.model, ordinal, pk, field=field, reason=reason, skipped=True)
            )
            continue
        if new_name is not None and statements.suffix is not None:
            kind, subject = WriteKind.SUFFIXED.value, statements.suffix.subject
            reason = f'"{name}" is taken; the row has "{new_name}"'
            found.append(
                BatchFinding.of_write(kind, target.model, ordinal, pk, field=subject, reason=reason, skipped=False)
            )
        found += [
            BatchFinding.of_write(
                each.kind, target.model, ordinal, pk, field=each.field, reason=each.reason, skipped=False
            )
            for each in statements.warned
            if told & each.bit
        ]
    return found
