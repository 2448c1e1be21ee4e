"""Applying the slugs that control gave, and telling control of organizations. Only this writes organization.slug."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from sqlalchemy.exc import IntegrityError

from region_silo.slugs import domain, store
from shared import barrier, delivery
from shared.database import Transaction
from shared.database_errors import constraint_name
from shared.delivery import ApplySlugs, Cancel, SlugResult
from shared.errors import Aborted
from shared.outbox import enqueue, tombstones
from shared.outbox.domain import SubjectState

CONTROL = "control"
IMPORTS_CHANNEL = "imports"
"""Woken when slugs were applied: an import may be waiting for them."""


def apply_slugs(
    transaction: Transaction, parts: Sequence[tuple[str, ApplySlugs]], *, wake: Callable[[str], None]
) -> None:
    """Apply parts of change sets, each with the shard (aggregate) in which it is answered, all in this transaction.

    Whoever calls it tells the caches of organizations before and after. Raises Aborted when another change set is
    moving the same slugs at this moment; the outbox delivers again.
    """
    store.use_indexes(transaction)
    # All at once and in order: two deliveries about the same organizations take turns.
    store.lock(transaction, {pair.organization_id for _, given in parts for pair in given.pairs})
    for aggregate, given in parts:
        _apply_part(transaction, aggregate, given)
    transaction.after_commit(lambda: barrier.reach("slugs.apply_committed"))
    transaction.after_commit(lambda: wake(IMPORTS_CHANNEL))


def _apply_part(transaction: Transaction, aggregate: str, given: ApplySlugs) -> None:
    organizations = store.lock(transaction, [pair.organization_id for pair in given.pairs])
    holders = store.read_holders(transaction, [pair.slug for pair in given.pairs])
    decision = domain.decide(given.pairs, organizations, holders)
    if decision.applied:
        try:
            store.set_slugs(transaction, decision.applied)
        except IntegrityError as error:
            if constraint_name(error) != "organization_slug_key":
                raise
            raise Aborted("another change set is moving these slugs") from error
        announce_organizations(transaction, [pair.organization_id for pair in decision.applied])
    if decision.clashed:
        store.raise_fences(transaction, decision.clashed)
    _answer(transaction, aggregate, given.change_set, decision.results)
    barrier.reach("slugs.applied")


def cancel_slugs(transaction: Transaction, parts: Sequence[tuple[str, Cancel]]) -> None:
    """Raise the fences of what control has cancelled, so that it is never applied, and answer like `apply_slugs`."""
    store.use_indexes(transaction)
    organizations = store.lock(transaction, {pair.organization_id for _, given in parts for pair in given.pairs})
    for aggregate, given in parts:
        decision = domain.decide_cancel(given.pairs, organizations)
        if decision.clashed:
            store.raise_fences(transaction, decision.clashed)
        _answer(transaction, aggregate, given.change_set, decision.results)


def _answer(transaction: Transaction, aggregate: str, change_set: str, results: tuple[SlugResult, ...]) -> None:
    enqueue(
        transaction,
        target=CONTROL,
        aggregate=aggregate,
        category=delivery.SLUGS_APPLIED,
        subject=change_set,
        payload=delivery.encode(delivery.SlugsApplied(change_set, results)),
    )


def announce_organizations(transaction: Transaction, organization_ids: Iterable[int]) -> None:
    """Tell control of the organizations as they are then; whoever changes name or state raises `version` and calls
    this.
    """
    for organization_id in organization_ids:
        enqueue(
            transaction,
            target=CONTROL,
            aggregate=f"organizations/{organization_id}",
            category=delivery.ORGANIZATION,
            subject=str(organization_id),
        )


class OrganizationSource:
    """Reads the rows that the outbox's organization messages stand for."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The state of each organization by its id as text; a deleted one answers from its tombstone."""
        states = dict(tombstones.read(transaction, delivery.ORGANIZATION, subjects))
        there = store.read_states(transaction, [int(subject) for subject in subjects])
        return states | {str(i): (version, False, delivery.encode(state)) for i, (version, state) in there.items()}
