"""Which references decide whether a row goes, and the memory of what has gone: a temporary table of the snapshot.

Outside global scope a row goes only when each reference is null or points to a row that goes too (spec imports.md 7
and 13); the models' order lets one look back suffice. Global scope takes everything of the silos at hand: there a row
of control is left out only when it hangs on an organization, or on a row, that is not this region's.
"""

from collections.abc import Iterable, Sequence
from functools import cache

from shared.database import Transaction
from shared.importing.registry import ImportScope, Model, Reference, Silo, models

NULLED = frozenset({("sentry.organizationmember", "inviter_id")})
"""References that are exported as null instead of costing the row."""

CREATE = (
    "CREATE TEMPORARY TABLE exported (model int2, pk int8, CONSTRAINT exported_pkey PRIMARY KEY (model, pk))"
    " ON COMMIT DROP"
)
"""The memory: the pks of the rows that go, of the models that others look back to."""

_COPY = b"COPY exported (model, pk) FROM STDIN (FORMAT BINARY)"


def exported_models(scope: ImportScope) -> list[Model]:
    """The models of the scope, in the order of the file."""
    return [model for model in models().values() if model.in_scope(scope)]


@cache
def checked(model: str, scope: ImportScope) -> tuple[Reference, ...]:
    """The references of a model that must be null or point to a row that goes."""
    references = [each for each in models()[model].references if (model, each.field) not in NULLED]
    if scope is not ImportScope.GLOBAL:
        return tuple(references)
    return tuple(each for each in references if models()[model].silo is Silo.CONTROL and _is_partial(each.model))


@cache
def remembered(scope: ImportScope) -> frozenset[str]:
    """The models whose pks are kept in the memory."""
    targets = {each.model for model in exported_models(scope) for each in checked(model.name, scope)}
    nulled = {
        each.model
        for name, field in NULLED
        for each in models()[name].references
        if each.field == field and scope is not ImportScope.GLOBAL
    }
    return frozenset(targets | nulled)


def is_exported(reference: Reference, value: str) -> str:
    """SQL that is true when the row that `value` (SQL) points to goes; for models whose turn was before."""
    target = models().get(reference.model)
    if target is None:
        return "false"
    return f"EXISTS (SELECT FROM exported e WHERE e.model = {target.order} AND e.pk = {value})"


def remember(transaction: Transaction, model: str, pks: Iterable[int]) -> None:
    """Note rows that go."""
    order = models()[model].order
    with transaction.driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(("int2", "int8"))
        for pk in pks:
            copy.write_row((order, pk))


def which_go(transaction: Transaction, model: str, pks: Sequence[int]) -> set[int]:
    """Those of `pks` whose rows go; none of a model that nobody knows."""
    target = models().get(model)
    if target is None or not pks:
        return set()
    found = transaction.driver.execute(
        b"SELECT pk FROM exported WHERE model = %s AND pk = ANY(%s::bigint[])", (target.order, list(pks))
    )
    return {pk for (pk,) in found}


@cache
def _is_partial(model: str) -> bool:
    """Whether an export of one region may lack rows of the model that control's rows of other regions point to."""
    known = models().get(model)
    if known is None:
        return False
    return known.silo is Silo.REGION or any(
        each.model != model and _is_partial(each.model) for each in known.references
    )
