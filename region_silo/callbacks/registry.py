"""Which messages the region sends to control, and what it does with control's."""

from collections.abc import Callable, Sequence

from region_silo.callbacks.stalling import tell_stalled
from region_silo.deletions.usecases import apply_deletions
from region_silo.members.mirror import MembershipSource
from region_silo.provisioning.usecases import cancel_organizations, create_organizations
from region_silo.routing.usecases import apply_regions
from region_silo.slugs.usecases import OrganizationSource, apply_slugs, cancel_slugs
from region_silo.tokens.confirmation import apply_confirmations
from region_silo.tokens.usecases import apply_tokens
from region_silo.users.usecases import apply_users
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from shared.outbox.registry import Registry


def sending_registry() -> Registry:
    """For the drainer: answers about slugs and new organizations, the state of organizations and members, and
    announcements, what trackers are to be told among them, go out.

    Without an answer control would hold a slug for ever, so an answer may be parked and replayed, but not skipped.
    """
    return Registry(
        sends={
            delivery.SLUGS_APPLIED: None,
            delivery.ORGANIZATION_CREATED: None,
            delivery.ORGANIZATION: OrganizationSource(),
            delivery.MEMBERSHIP: MembershipSource(),
            delivery.CHANGE_STALLED: None,
            delivery.DEPLOY_ANNOUNCED: None,
            delivery.STATUS_SYNC: None,
        },
        on_parked={delivery.SLUGS_APPLIED: tell_stalled, delivery.ORGANIZATION_CREATED: tell_stalled},
        needed=(delivery.SLUGS_APPLIED, delivery.ORGANIZATION_CREATED),
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

    def cancel(transaction: Transaction, messages: Sequence[Message]) -> None:
        parts = [(message.aggregate, delivery.decode(message.payload, delivery.Cancel)) for message in messages]
        cancel_slugs(transaction, [part for part in parts if part[1].pairs])
        cancel_organizations(transaction, [part for part in parts if not part[1].pairs])

    return Registry(
        receives={
            delivery.TOKEN: apply_tokens,
            delivery.CONFIRMATION: apply_confirmations,
            delivery.APPLY_SLUGS: apply,
            delivery.CREATE_ORGANIZATION: create,
            delivery.CANCEL: cancel,
            delivery.REGION: apply_regions,
            delivery.USER: apply_users,
            delivery.ORGANIZATION_DELETION: apply_deletions,
        }
    )
