"""The set statements of a batch, as SQL text made from a Target: staging, resolve, and the writes.

Resolve decides everything for all rows at once and leaves its result in `resolved_<table>`: the id and the decision of
each row to write, the problem of each row not to write. The writes only copy from there. Both temporary tables stay
with the connection and are empty again after COMMIT. A COMMIT empties all of a connection's, used or not, so there are
few of them: models that are kept whole share theirs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from shared.importing.columns import columns_of
from shared.importing.decisions import Decision, WriteKind
from shared.importing.findings import FindingKind
from shared.importing.references import Known, referred
from shared.importing.targets import Conflict, Target, UniqueSet
from shared.importing.writes import ledger_of_batch, planned_writes, writes_of

PLANNER = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off"
RANDOM_KEY = "replace(gen_random_uuid()::text, '-', '')"
"""SQL of a new random text of 32 hex digits."""

_STAGED_COLUMN = re.compile(r'\bs\."?(\w+)')
_HEAD = (("ordinal", "int8"), ("old_pk", "int8"), ("new_pk", "int8"))


@dataclass(frozen=True)
class Warned:
    """A bit of `told`: written, but with this to tell about `field`."""

    bit: int
    kind: str
    field: str
    reason: str


@dataclass(frozen=True)
class Statements:
    """The texts for one target. Parameters are psycopg's, by name: import_id, now; of `met` least and greatest. `begin`
    is several commands. `copy` takes of a row's values those at `places`, where others are read by nobody.
    """

    begin: str
    copy: str
    copy_types: tuple[str, ...]
    places: tuple[int, ...] | None
    met: str
    resolve: str
    count: str
    told: str
    ledger: str
    ledger_rows: str
    writes: tuple[str, ...]
    suffix: UniqueSet | None
    warned: tuple[Warned, ...]


@cache
def statements_of(target: Target, *, planned: bool = False, apart: bool = False) -> Statements:
    """The statements of a target, made once; those of a plan write to tables of its own. For a batch that stands
    `apart`, among whose pks the ledger has none of the model yet, it need not be looked for row by row.
    """
    stage, resolved = target.stage, target.resolved
    warned = _warned(target)
    resolve = _resolve(target, warned, apart=apart)
    fields, places = _read_fields(target, resolve)
    staged = [*_HEAD, *fields, *_minted(target)]
    suffixes = [each for each in target.unique if each.conflict is Conflict.SUFFIX]
    return Statements(
        begin="; ".join(
            (
                PLANNER,
                create_stage(target),
                _create_resolved(target),
                "CREATE TEMPORARY TABLE IF NOT EXISTS stage_suffix (ordinal int8, name text) ON COMMIT DELETE ROWS",
            )
        ),
        copy=f"COPY {stage} ({', '.join(_quoted(name) for name, _ in staged)}) FROM STDIN (FORMAT BINARY)",
        copy_types=tuple(staged_as for _, staged_as in staged),
        places=places,
        met=(
            "SELECT EXISTS (SELECT FROM import_row WHERE import_id = %(import_id)s"
            f" AND model = '{target.model}' AND old_pk BETWEEN %(least)s AND %(greatest)s)"
        ),
        resolve=resolve,
        count=f"SELECT decision, count(*) FROM {resolved} WHERE decision IS NOT NULL GROUP BY decision",
        told=(
            "SELECT ordinal, old_pk, problem, problem_field, problem_value, told, suffixed,"
            f" {_column_text(suffixes)} AS subject FROM {resolved}"
            f" WHERE problem IS NOT NULL OR told <> 0 OR decision = {Decision.SUFFIX:d} ORDER BY ordinal"
        ),
        ledger=ledger_of_batch(target, planned=planned),
        ledger_rows=(
            "SELECT ordinal, old_pk, new_pk, decision, suffixed"
            f" FROM {resolved} WHERE decision IS NOT NULL ORDER BY ordinal"
        ),
        writes=planned_writes(target) if planned else writes_of(target),
        suffix=suffixes[0] if suffixes else None,
        warned=warned,
    )


def create_stage(target: Target) -> str:
    """The command that makes the table that a batch is copied into."""
    staged = [*_HEAD, *_fields(target), *_minted(target)] if target.packed is None else [*_HEAD, *target.packed.staged]
    columns = ", ".join(f"{_quoted(name)} {staged_as}" for name, staged_as in staged)
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {target.stage} ({columns}) ON COMMIT DELETE ROWS"


def _fields(target: Target) -> list[tuple[str, str]]:
    """The columns that values are copied into, with their types."""
    if target.packed is not None:
        return list(target.packed.columns)
    return [(column.name, column.staged_as) for column in columns_of(target.model)]


def _read_fields(target: Target, resolve: str) -> tuple[list[tuple[str, str]], tuple[int, ...] | None]:
    """Those of them that resolving reads, and their places; None when all are taken: a model may have more fields than
    its table takes on these terms.
    """
    fields = _fields(target)
    read = frozenset(_STAGED_COLUMN.findall(resolve))
    places = tuple(place for place, (name, _) in enumerate(fields) if name in read)
    # Fewer than two places are not worth a way of their own: an itemgetter gives no tuple of them.
    if target.packed is not None or len(places) < 2 or len(places) == len(fields):
        return fields, None
    return [fields[place] for place in places], places


def _minted(target: Target) -> Iterator[tuple[str, str]]:
    return ((minted.column, "text") for minted in target.minted)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _create_resolved(target: Target) -> str:
    """The values' columns get the types of the table's own."""
    values = target.values if target.packed is None else target.packed.values
    return (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {target.resolved} ON COMMIT DELETE ROWS AS"
        " SELECT 0::int8 AS ordinal, 0::int8 AS old_pk, 0::int2 AS decision, 0 AS told, ''::text AS problem,"
        " ''::text AS problem_field, ''::text AS problem_value, ''::text AS suffixed, false AS adopted,"
        f" ''::text AS carried, id AS new_pk, {', '.join(values)} FROM {target.table} WITH NO DATA"
    )


@dataclass(frozen=True)
class SuffixStatements:
    """How rows whose name is taken get another: read them, stage candidates, take those that are free."""

    waiting: str
    names: str
    copy: str
    take: str
    clear: str
    held: str
    """A query of the row that has the name {name}, beside `r`, the row of the batch."""

    def held_by(self, name: str) -> str:
        """The query with an SQL expression for the name."""
        return self.held.replace("{name}", name)


def suffix_statements(target: Target, unique: UniqueSet) -> SuffixStatements:
    """The statements for one round of candidates; `take` leaves rows alone whose candidate is taken in the target."""
    resolved, subject = target.resolved, unique.subject
    scope = ", ".join(unique.columns[:-1])
    scope_text = f"concat_ws(':', {scope})" if scope else "''"
    held = _held(target, unique, "r", subject_value="{name}")
    return SuffixStatements(
        waiting=(
            f"SELECT ordinal, {scope_text}, {subject} FROM {resolved}"
            f" WHERE decision = {Decision.SUFFIX:d} AND suffixed IS NULL ORDER BY ordinal"
        ),
        names=f"SELECT {scope_text}, {subject} FROM {resolved} WHERE decision IS NOT NULL",
        copy="COPY stage_suffix (ordinal, name) FROM STDIN (FORMAT BINARY)",
        take=(
            f"UPDATE {resolved} r SET suffixed = n.name FROM stage_suffix n"
            f" WHERE r.ordinal = n.ordinal AND NOT EXISTS ({held.replace('{name}', 'n.name')})"
        ),
        clear="DELETE FROM stage_suffix",
        held=held,
    )


def _resolve(target: Target, warned: tuple[Warned, ...], *, apart: bool) -> str:
    """referred: references and owners looked up; ranked: unique sets looked up; settled: problems and ids known."""
    columns, resolved = list(target.values), target.resolved
    ranked = ", ".join(["j.*", *(part for number, each in enumerate(target.unique) for part in _rank(number, each))])
    lookups = "".join(
        f" LEFT JOIN LATERAL ({_held(target, each, 'j')}) e_{number} ON true"
        for number, each in enumerate(target.unique)
    )
    settled = _settled(target)
    written = ", ".join(f"{_written(target, column)} AS {column}" for column in columns)
    decision, new_pk = _decision(target), _new_pk(target)
    told = " | ".join(["told", *(_told(target, each) for each in warned if each.kind in _UNIQUE_KINDS)])
    return (
        f"INSERT INTO {resolved} (ordinal, old_pk, decision, told, problem, problem_field, problem_value, adopted,"
        f" carried, new_pk, {', '.join(columns)})"
        f" WITH referred AS MATERIALIZED ({referred(target, Known(apart=apart))}),"
        f" ranked AS MATERIALIZED (SELECT {ranked} FROM referred j{lookups}),"
        f" settled AS MATERIALIZED ({settled})"
        f" SELECT ordinal, old_pk, {decision}, {told}, problem, problem_field, problem_value, {_adopted(target)},"
        f" carried, {new_pk}, {written} FROM settled"
    )


def _rank(number: int, unique: UniqueSet) -> tuple[str, ...]:
    """Whether the set counts for the row, its place among the batch's rows with the same values, and who has them."""
    only = [f"({unique.only.format('j')})"] if unique.only else []
    counts = " AND ".join(["j.problem IS NULL", *only, *(f"j.{column} IS NOT NULL" for column in unique.columns)])
    keys = ", ".join(
        ["(j.problem IS NULL)", *only, *(_key(f"j.{column}", column, unique) for column in unique.columns)]
    )
    return (
        f"({counts}) AS counts_{number}",
        f"row_number() OVER (PARTITION BY {keys} ORDER BY j.ordinal) AS rank_{number}",
        f"e_{number}.id AS held_{number}",
    )


def _settled(target: Target) -> str:
    """Rows that a unique set refuses get their problem; the others a new id where none was taken before."""
    refusals = []
    for number, each in enumerate(target.unique):
        if each.conflict is Conflict.SKIP:
            refusals.append((f"{_conflict(number)}", each.told_field))
        elif each.conflict is Conflict.ADOPT:
            refusals.append((f"(counts_{number} AND rank_{number} > 1)", each.told_field))
    if not refusals:
        refused, refused_field = "problem", "problem_field"
    else:
        any_refused = " OR ".join(condition for condition, _ in refusals)
        refused = f"COALESCE(problem, CASE WHEN {any_refused} THEN '{WriteKind.NOT_UNIQUE.value}' END)"
        cases = " ".join(f"WHEN {condition} THEN '{column}'" for condition, column in refusals)
        refused_field = f"COALESCE(problem_field, CASE {cases} END)"
    merging = [number for number, each in enumerate(target.unique) if each.conflict in _MERGING]
    fresh = "".join(
        f", CASE WHEN counts_{n} AND rank_{n} = 1 AND held_{n} IS NULL THEN {fresh_pk(target)} END AS fresh_pk"
        for n in merging
    )
    ranks = "".join(f", counts_{n}, rank_{n}, held_{n}" for n in range(len(target.unique)))
    return (
        f"SELECT ordinal, old_pk, taken_pk, {refused} AS problem, {refused_field} AS problem_field, problem_value,"
        f" told, carried, {', '.join(target.values)}{ranks}{fresh} FROM ranked"
    )


def _conflict(number: int) -> str:
    return f"(counts_{number} AND (rank_{number} > 1 OR held_{number} IS NOT NULL))"


def _decision(target: Target) -> str:
    cases = ["WHEN problem IS NOT NULL THEN NULL"]
    for number, each in enumerate(target.unique):
        if each.conflict is Conflict.OVERWRITE:
            overwrites = f"counts_{number} AND rank_{number} = 1 AND held_{number} IS NOT NULL"
            cases.append(f"WHEN {overwrites} THEN {Decision.OVERWRITE:d}")
        if each.conflict in _MERGING:
            cases.append(f"WHEN {_conflict(number)} THEN {Decision.MERGE:d}")
        elif each.conflict is Conflict.SUFFIX:
            cases.append(f"WHEN {_conflict(number)} THEN {Decision.SUFFIX:d}")
    return f"CASE {' '.join(cases)} ELSE {Decision.INSERT:d} END"


def _adopted(target: Target) -> str:
    adopting = [n for n, each in enumerate(target.unique) if each.conflict is Conflict.ADOPT]
    return " OR ".join([f"COALESCE(counts_{n} AND held_{n} IS NOT NULL, false)" for n in adopting]) or "false"


def fresh_pk(target: Target) -> str:
    """SQL of a new id: taken before, or from the identity's sequence, whose name costs more to look up than it."""
    return "taken_pk" if target.snowflake else f"nextval('public.{target.table}_id_seq')"


def _new_pk(target: Target) -> str:
    """A new id for each row that needs one (the sequence runs for no other), or that of the row that is there."""
    fresh = fresh_pk(target)
    own = f"CASE WHEN problem IS NULL THEN {fresh} END"
    for number, each in enumerate(target.unique):
        if each.conflict is Conflict.ADOPT:
            own = f"CASE WHEN problem IS NULL THEN COALESCE(held_{number}, {fresh}) END"
        elif each.conflict in _MERGING:
            # Rows of the batch that merge with each other all get the first one's id. It is made in `settled`: the
            # argument of a window function is evaluated again for every row that looks at it.
            keys = ", ".join(_key(column, column, each) for column in each.columns)
            group = f"PARTITION BY counts_{number}, {keys} ORDER BY ordinal"
            own = f"first_value(COALESCE(held_{number}, fresh_pk)) OVER ({group})"
    return own


def _renewed(target: Target) -> str:
    """Whether the row gets new values in place of those that are taken."""
    taken = [
        f"{each.subject} IS NULL OR {_conflict(number)}" if each.made_up else _conflict(number)
        for number, each in enumerate(target.unique)
        if each.conflict is Conflict.RENEW
    ]
    return f"({' OR '.join(taken)})"


def _written(target: Target, column: str) -> str:
    if column in target.renewal:
        return f"CASE WHEN {_renewed(target)} THEN {target.renewal[column]} ELSE {column} END"
    for number, each in enumerate(target.unique):
        if each.conflict is Conflict.CLEAR and column in (each.subject, *each.also_cleared):
            return f"CASE WHEN {_conflict(number)} THEN NULL ELSE {column} END"
        if each.conflict is Conflict.REPLACE and column == each.subject:
            return f"CASE WHEN {column} IS NULL OR {_conflict(number)} THEN {RANDOM_KEY} ELSE {column} END"
    return column


_MERGING = (Conflict.MERGE, Conflict.OVERWRITE)
_UNIQUE_KINDS = frozenset({WriteKind.KEY_REPLACED.value, WriteKind.TOKEN_CLEARED.value, WriteKind.SUFFIXED.value})


def _warned(target: Target) -> tuple[Warned, ...]:
    warned = [
        Warned(
            1 << number,
            FindingKind.NULLED_REFERENCE.name,
            reference.field,
            f"refers to a {reference.model} that was not imported; the reference is null now",
        )
        for number, reference in enumerate(target.references)
        if reference.field in target.nulled
    ]
    for number, each in enumerate(target.unique, 8):
        if each.conflict is Conflict.CLEAR:
            reason = "the value is taken; the row has none now"
            warned.append(Warned(1 << number, WriteKind.TOKEN_CLEARED.value, each.subject, reason))
        elif each.conflict is Conflict.REPLACE:
            reason = "the key is missing or taken; the row has a new one"
            warned.append(Warned(1 << number, WriteKind.KEY_REPLACED.value, each.subject, reason))
        elif each.conflict is Conflict.RENEW:
            reason = "the value is missing or taken; the row has a new one"
            warned.append(Warned(1 << number, each.told_as.value, each.told_field, reason))
    return tuple(warned)


def _told(target: Target, warned: Warned) -> str:
    number = warned.bit.bit_length() - 1 - 8
    each = target.unique[number]
    missing = f"{each.subject} IS NULL OR " if each.conflict is Conflict.REPLACE or each.made_up else ""
    return f"CASE WHEN problem IS NULL AND ({missing}{_conflict(number)}) THEN {warned.bit} ELSE 0 END"


def _held(target: Target, unique: UniqueSet, alias: str, subject_value: str | None = None) -> str:
    """The row of the target that has the values of `alias`'s row."""
    return f"SELECT t.id FROM {target.table} t WHERE {_same_values(unique, 't', alias, subject_value)} LIMIT 1"


def _same_values(unique: UniqueSet, there: str, alias: str, subject_value: str | None = None) -> str:
    """The condition that the row `there` has the set's values of `alias`'s row, the last one's or `subject_value`."""
    conditions = []
    for column in unique.columns:
        value = subject_value if subject_value and column == unique.subject else f"{alias}.{column}"
        conditions.append(f"{_key(f'{there}.{column}', column, unique)} = {_key(value, column, unique)}")
    if unique.only:
        conditions.append(f"({unique.only.format(there)})")
    return " AND ".join(conditions)


def _key(expression: str, column: str, unique: UniqueSet) -> str:
    return f"lower({expression})" if unique.folded and column == unique.subject else expression


def _column_text(suffixes: list[UniqueSet]) -> str:
    return f"{suffixes[0].subject}::text" if suffixes else "''"
