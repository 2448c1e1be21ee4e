"""Which messages control sends to regions, and what it does with theirs.

What a region may change depends on which region it is, so the handlers of a delivery are made for its origin.
"""

from collections.abc import Callable, Sequence
from functools import cache

from control_silo.announcements.usecases import keep_deploys, keep_status_syncs
from control_silo.deletions.usecases import DeletionSource, apply_gone
from control_silo.memberships.usecases import apply_memberships
from control_silo.organizations.usecases import apply_organizations
from control_silo.provisioning.usecases import settle_created
from control_silo.regions.usecases import RegionSource
from control_silo.slugs.answers import settle_answers
from control_silo.slugs.giving_up import change_stalled, organization_given_up, slugs_given_up
from control_silo.tokens.confirmation import ConfirmationSource
from control_silo.tokens.usecases import TokenSource
from control_silo.users.replication import UserSource
from shared import delivery
from shared.database import Transaction
from shared.outbox.domain import Message
from shared.outbox.registry import Registry


def sending_registry() -> Registry:
    """For the drainer: tokens, their confirmation, users, slugs, new organizations, deletions, the directory go out.

    A cancel ends a hold, so it may be parked and replayed, but not skipped.
    """
    return Registry(
        sends={
            delivery.TOKEN: TokenSource(),
            delivery.CONFIRMATION: ConfirmationSource(),
            delivery.APPLY_SLUGS: None,
            delivery.CREATE_ORGANIZATION: None,
            delivery.REGION: RegionSource(),
            delivery.USER: UserSource(),
            delivery.ORGANIZATION_DELETION: DeletionSource(),
            delivery.CANCEL: None,
        },
        on_parked={delivery.APPLY_SLUGS: slugs_given_up, delivery.CREATE_ORGANIZATION: organization_given_up},
        needed=(delivery.CANCEL,),
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

    def mirror(transaction: Transaction, messages: Sequence[Message]) -> None:
        apply_memberships(transaction, region=region, messages=messages)

    def stall(transaction: Transaction, messages: Sequence[Message]) -> None:
        told = [delivery.decode(message.payload, delivery.ChangeStalled) for message in messages]
        change_stalled(transaction, region=region, told=told, wake=wake)

    def announce(transaction: Transaction, messages: Sequence[Message]) -> None:
        told = [delivery.decode(message.payload, delivery.DeployAnnounced) for message in messages]
        keep_deploys(transaction, region=region, told=told)

    def sync(transaction: Transaction, messages: Sequence[Message]) -> None:
        told = [delivery.decode(message.payload, delivery.StatusSyncs) for message in messages]
        keep_status_syncs(transaction, region=region, told=[each for syncs in told for each in syncs.syncs])

    return Registry(
        receives={
            delivery.DEPLOY_ANNOUNCED: announce,
            delivery.MEMBERSHIP: mirror,
            delivery.SLUGS_APPLIED: settle,
            delivery.ORGANIZATION: apply,
            delivery.ORGANIZATION_CREATED: create,
            delivery.CHANGE_STALLED: stall,
            delivery.STATUS_SYNC: sync,
        }
    )
