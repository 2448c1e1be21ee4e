"""Former slugs that lead to their organization for a while: counted when used, ended by time or by their owner."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from control_silo.memberships.authority import may_change
from control_silo.slugs import lookup, redirect_store
from control_silo.slugs.domain import ReservationState, ReservationType
from shared import audit, deadline
from shared.cleaner import Task
from shared.database import Database, Transaction
from shared.errors import FailedPrecondition, ServiceError
from shared.requests import Mutation, once

REDIRECTS_MAX = 20
"""Of one organization."""

_COUNT_USE_S = 1.0

_log = structlog.get_logger("siloway.redirects")


@dataclass(frozen=True)
class Released:
    """What a request to release a redirect has ended."""

    slug: str


def release_redirect(transaction: Transaction, mutation: Mutation, name: str) -> Released:
    """End the redirect that `slugReservations/<slug>` names. Raises SlugNotFound, FailedPrecondition."""

    def work() -> Released:
        found = lookup.get_reservation(transaction, name)
        if found.organization_id is not None and not may_change(transaction, found.organization_id):
            raise lookup.not_found(name)
        if found.type is not ReservationType.REDIRECT or found.state is ReservationState.QUARANTINED:
            raise FailedPrecondition("The reservation is no redirect.", metadata={"slug": found.slug})
        redirect_store.delete(transaction, found.slug)
        audit.record(
            transaction,
            action="slug.release_redirect",
            target=f"slugReservations/{found.slug}",
            organization_id=found.organization_id,
            request_id=mutation.request_id,
        )
        return Released(found.slug)

    return once(transaction, mutation, Released, work)


def note_use(database: Database, slug: str) -> None:
    """Count that a redirect has led somebody. Whoever was led must not suffer when it cannot be counted."""
    try:
        with deadline.within(_COUNT_USE_S):
            database.transact(lambda transaction: redirect_store.count_use(transaction, slug))
    except ServiceError as error:
        _log.warning("redirect_use_not_counted", slug=slug, reason=error.reason)


def redirect_tasks() -> tuple[Task, ...]:
    """The cleaner's task: redirects and quarantines go as soon as they are over."""
    return (Task("expired_slugs", timedelta(), redirect_store.clean, redirect_store.oldest),)
