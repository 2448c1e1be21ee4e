"""What a region's importer hands over to control, as data: a batch of raw rows, and what became of them.

The answer covers exactly the rows of the batch: each stands in `rows`, or has a finding with `skipped`. Where the
region has asked for no rows, for it has none that refer to them, those that stand are only counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.importing.choices import Choice
from shared.importing.decisions import BatchFinding, Counts, LedgerRow, count_decisions
from shared.importing.policies import Policy
from shared.importing.registry import USER
from shared.importing.terms import Terms
from shared.importing.upload import RawRow


@dataclass(frozen=True)
class KnownRow:
    """A row of one of the region's models that stands there: its pk in the file, and there."""

    model: str
    old_pk: int
    new_pk: int


@dataclass(frozen=True)
class HandedBatch:
    """Rows of one model, by ordinal. `principal` is who started the import.

    Rows come without a gap (but for those that a filter leaves out, with `filtered`), each for the first time or with
    the batch that it came in before; or, `again`, some of those that came before: of these the ones that were not
    written are tried again. `known` are the region's rows that the batch refers to. Of a
    row only its ordinal and its JSON are handed over.
    `planned`: the batch is of a plan; `applied_plan`: the import applies the plan with this id,
    `plan_was_edited`: without some of its rows, or with `choices` for some. `own_addresses_later`: the region asks for
    users' own addresses when the file's are written; otherwise they come with their batch. `without_rows`: counts are
    wanted, no rows.
    """

    import_id: int
    principal: str
    terms: Terms
    model: str
    rows: Sequence[RawRow]
    known: Sequence[KnownRow] = ()
    filtered: bool = False
    again: bool = False
    planned: bool = False
    applied_plan: int | None = None
    plan_was_edited: bool = False
    choices: Sequence[Choice] = ()
    own_addresses_later: bool = False
    without_rows: bool = False

    @property
    def permission(self) -> str:
        """The token scope that such a batch needs."""
        merges_users = self.model == USER and any(each.policy == Policy.MERGE for each in self.choices)
        return "silo:operate" if merges_users else self.terms.permission

    @property
    def first_ordinal(self) -> int:
        return self.rows[0].ordinal

    @property
    def last_ordinal(self) -> int:
        return self.rows[-1].ordinal


@dataclass(frozen=True)
class HandedAnswer:
    """What became of a batch, by ordinal. When it `drifted` from its plan, nothing was written: see the findings.

    `counted`: the rows that stand, in place of `rows`; None when they are there, as an older control gives them always.
    """

    rows: Sequence[LedgerRow]
    findings: Sequence[BatchFinding]
    drifted: bool = False
    counted: Counts | None = None

    def counts(self, rows: int) -> Counts:
        """The batch's `rows` rows by what was done with them."""
        if self.counted is None:
            return Counts.of(count_decisions(self.rows), rows)
        return replace(self.counted, skipped=rows - self.counted.standing)


@dataclass(frozen=True)
class UsersToComplete:
    """The users of an import whose pk in the file is above `after`: they get the own addresses that they still lack."""

    import_id: int
    principal: str
    terms: Terms
    after: int
    planned: bool = False


@dataclass(frozen=True)
class CompletedUsers:
    """Users up to the pk `last` have theirs; `has_more`: there may be others behind them."""

    last: int
    has_more: bool
