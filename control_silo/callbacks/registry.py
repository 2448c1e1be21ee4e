"""Which messages control sends to regions, and what it does with theirs.

What a region may change depends on which region it is, so the handlers of a delivery are made for its origin.
"""

from collections.abc import Sequence
from functools import cache

from control_silo.organizations.usecases import apply_organizations
from control_silo.slugs.usecases import settle_slugs
from control_silo.tokens.confirmation import ConfirmationSource
from control_silo.tokens.usecases import TokenSource
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from shared.outbox.registry import Registry


def sending_registry() -> Registry:
    """For the drainer: tokens, their confirmation and slugs go out."""
    return Registry(
        sends={
            delivery.TOKEN: TokenSource(),
            delivery.CONFIRMATION: ConfirmationSource(),
            delivery.APPLY_SLUGS: None,
        }
    )


@cache
def receiving_registry(region: str) -> Registry:
    """For the inbox: what comes from this region."""

    def settle(transaction: Transaction, messages: Sequence[Message]) -> None:
        answers = [delivery.decode(message.payload, delivery.SlugsApplied) for message in messages]
        settle_slugs(transaction, region=region, answers=answers)

    def apply(transaction: Transaction, messages: Sequence[Message]) -> None:
        apply_organizations(transaction, region=region, messages=messages)

    return Registry(receives={delivery.SLUGS_APPLIED: settle, delivery.ORGANIZATION: apply})
