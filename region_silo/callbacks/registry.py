"""Which messages the region sends to control, and what it does with control's."""

from collections.abc import Callable, Sequence

from region_silo.deletions.usecases import apply_deletions
from region_silo.provisioning.usecases import create_organizations
from region_silo.routing.usecases import apply_regions
from region_silo.slugs.usecases import OrganizationSource, apply_slugs
from region_silo.tokens.confirmation import apply_confirmations
from region_silo.tokens.usecases import apply_tokens
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from shared.outbox.registry import Registry


def sending_registry() -> Registry:
    """For the drainer: answers about slugs and new organizations, and the state of organizations, go out."""
    return Registry(
        sends={
            delivery.SLUGS_APPLIED: None,
            delivery.ORGANIZATION_CREATED: None,
            delivery.ORGANIZATION: OrganizationSource(),
        }
    )


def receiving_registry(*, wake: Callable[[str], None]) -> Registry:
    """For the inbox; `wake(channel)` tells those who wait for slugs. Deliveries have gone through `with_ids` before."""

    def apply(transaction: Transaction, messages: Sequence[Message]) -> None:
        parts = [(message.aggregate, delivery.decode(message.payload, delivery.ApplySlugs)) for message in messages]
        apply_slugs(transaction, parts, wake=wake)

    def create(transaction: Transaction, messages: Sequence[Message]) -> None:
        parts = [
            (message.aggregate, delivery.decode(message.payload, delivery.CreateOrganization)) for message in messages
        ]
        create_organizations(transaction, parts)

    return Registry(
        receives={
            delivery.TOKEN: apply_tokens,
            delivery.CONFIRMATION: apply_confirmations,
            delivery.APPLY_SLUGS: apply,
            delivery.CREATE_ORGANIZATION: create,
            delivery.REGION: apply_regions,
            delivery.ORGANIZATION_DELETION: apply_deletions,
        }
    )
