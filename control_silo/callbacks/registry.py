"""Which messages control sends to regions, and what it does with theirs.

What a region may change depends on which region it is, so the handlers of a delivery are made for its origin.
"""

from collections.abc import Callable, Sequence
from functools import cache

from control_silo.deletions.usecases import DeletionSource, apply_gone
from control_silo.organizations.usecases import apply_organizations
from control_silo.provisioning.usecases import settle_created
from control_silo.regions.usecases import RegionSource
from control_silo.slugs.answers import settle_answers
from control_silo.tokens.confirmation import ConfirmationSource
from control_silo.tokens.usecases import TokenSource
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from shared.outbox.registry import Registry


def sending_registry() -> Registry:
    """For the drainer: tokens and their confirmation, slugs, new organizations, deletions, the directory go out."""
    return Registry(
        sends={
            delivery.TOKEN: TokenSource(),
            delivery.CONFIRMATION: ConfirmationSource(),
            delivery.APPLY_SLUGS: None,
            delivery.CREATE_ORGANIZATION: None,
            delivery.REGION: RegionSource(),
            delivery.ORGANIZATION_DELETION: DeletionSource(),
        }
    )


@cache
def receiving_registry(region: str, wake: Callable[[str], None] | None = None) -> Registry:
    """For the inbox: what comes from this region. `wake(channel)` tells those who wait for the end of a change."""

    def settle(transaction: Transaction, messages: Sequence[Message]) -> None:
        answers = [delivery.decode(message.payload, delivery.SlugsApplied) for message in messages]
        settle_answers(transaction, region=region, answers=answers, wake=wake)

    def apply(transaction: Transaction, messages: Sequence[Message]) -> None:
        there = [message for message in messages if not message.deleted]
        gone = [message for message in messages if message.deleted]
        if there:
            apply_organizations(transaction, region=region, messages=there)
        if gone:
            apply_gone(transaction, region=region, messages=gone)

    def create(transaction: Transaction, messages: Sequence[Message]) -> None:
        answers = [delivery.decode(message.payload, delivery.OrganizationCreated) for message in messages]
        settle_created(transaction, region=region, answers=answers, wake=wake)

    return Registry(
        receives={
            delivery.SLUGS_APPLIED: settle,
            delivery.ORGANIZATION: apply,
            delivery.ORGANIZATION_CREATED: create,
        }
    )
