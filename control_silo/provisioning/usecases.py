"""Control's side of provisioning: hold a slug and ask the region, then write down what it has made.

Both are one transaction each. The slug is held by the request until the region has answered, so nobody else gets it
meanwhile, and it is free again when the region refuses.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random, SystemRandom

from control_silo.changes import store as change_store
from control_silo.changes import usecases as changes
from control_silo.changes.domain import Change, ChangeKind, Plan, key_of
from control_silo.organizations import store as organization_store
from control_silo.provisioning import domain, store
from control_silo.provisioning.domain import NewOrganization
from control_silo.recovery.usecases import fence_for_change
from control_silo.regions import usecases as regions
from control_silo.slugs import store as slug_store
from control_silo.slugs.domain import Seeker, is_own
from control_silo.slugs.usecases import reserved_words
from shared import barrier, delivery
from shared.database import Transaction
from shared.delivery import CreateOrganization, OrganizationCreated
from shared.errors import Aborted, InvalidArgument, MessageParked, PeerRefused, ServiceError, SlugConflict
from shared.outbox import enqueue
from shared.requests import Mutation, RequestState, StoredError

_RANDOM = SystemRandom()
_FENCE_VERSION = 1
"""Of an organization's first slug."""


def provision(
    transaction: Transaction, mutation: Mutation, new: NewOrganization, *, random: Random = _RANDOM
) -> Change:
    """Hold a slug for the request and ask the region for the organization; a repeat gets the first call's change.

    Raises InvalidArgument before anything is held, RequestIdReused, Aborted.
    """
    earlier = changes.begin(transaction, mutation)
    if earlier is not None:
        return earlier
    domain.check(new, {region.name for region in regions.list_regions(transaction)})
    if new.owner_user_id is not None and not store.is_active_user(transaction, new.owner_user_id):
        raise InvalidArgument.of("owner_user", "is no user that may own an organization")
    regions.check_accepts_organizations(transaction, new.region)
    fence_for_change(transaction, new.region)
    change = Change(
        key=mutation.key,
        kind=ChangeKind.PROVISION,
        state=RequestState.RUNNING,
        fingerprint=mutation.fingerprint,
        created_at=transaction.now,
        updated_at=transaction.now,
        region=new.region,
        plan=Plan(name=new.kept_name),
    )
    change = change.with_slug(_hold(transaction, new, change.change_set, random))
    asked = _asked(change, new)
    change = changes.open_change(transaction, replace(change, plan=replace(change.plan, asked=asked)))
    send(transaction, change, asked)
    barrier.reach("provision.held")
    return change


def settle_created(
    transaction: Transaction, *, region: str, answers: Sequence[OrganizationCreated], wake: changes.Wake | None = None
) -> None:
    """Take a region's answers: the slug becomes the organization's own, or is free again and the request FAILED.

    Answers to requests that are over change nothing. Raises PeerRefused for another region's request or organization.
    """
    keys = {answer.change_set: key_of(answer.change_set) for answer in answers}
    locked = change_store.lock(transaction, [key for key in keys.values() if key is not None])
    for answer in sorted(answers, key=lambda answer: answer.change_set):
        key = keys[answer.change_set]
        change = None if key is None else locked.get(key)
        if change is None or not change.is_open or change.kind is not ChangeKind.PROVISION:
            continue
        if change.region != region:
            raise PeerRefused("a request is not this region's", metadata={"region": region})
        assert key is not None, "a change was found by its key"
        locked[key] = _settle(transaction, change, answer, wake)
    barrier.reach("provision.settled")


def _settle(transaction: Transaction, change: Change, answer: OrganizationCreated, wake: changes.Wake | None) -> Change:
    if answer.refusal:
        slug_store.release(transaction, [change.slug])
        return changes.close(transaction, change, error=_why_failed(change, answer), wake=wake)
    number = regions.number_of(transaction, change.region)
    if number is None or not is_own(answer.organization_id, None, region=change.region, number=number):
        raise PeerRefused("an organization's id is not of this region", metadata={"region": change.region})
    organization_store.add_made(
        transaction,
        answer.organization_id,
        slug=change.slug,
        name=change.plan.name,
        region=change.region,
        version=answer.version,
        fence_version=_FENCE_VERSION,
    )
    slug_store.give(transaction, change.slug, answer.organization_id)
    return changes.close(transaction, change, organization_id=answer.organization_id, wake=wake)


def _why_failed(change: Change, answer: OrganizationCreated) -> ServiceError | StoredError:
    if answer.refusal == delivery.CANCELLED:  # it has FAILED for its own reason before
        return change.error or MessageParked()
    return SlugConflict(metadata={"slug": change.slug, "region": change.region})


def _hold(transaction: Transaction, new: NewOrganization, holder: str, random: Random) -> str:
    seeker = Seeker(0, new.wish, _FENCE_VERSION, random, reserved_words(transaction))
    while (slug := seeker.next_candidate()) is not None:
        if slug_store.hold_one(
            transaction, slug, organization_id=None, holder=holder, region=new.region, fence_version=_FENCE_VERSION
        ):
            return slug
    raise Aborted("no free slug was found", retry_after_s=1.0)


def send(transaction: Transaction, change: Change, asked: CreateOrganization) -> None:
    """Ask the region. A shard of its own for each request: nothing else of the region stands before it."""
    enqueue(
        transaction,
        target=change.region,
        aggregate=change.change_set,
        category=delivery.CREATE_ORGANIZATION,
        subject=change.key.request_id,
        payload=delivery.encode(asked),
    )


def _asked(change: Change, new: NewOrganization) -> CreateOrganization:
    return CreateOrganization(
        change_set=change.change_set,
        slug=change.slug,
        fence_version=_FENCE_VERSION,
        name=new.kept_name,
        owner_user_id=new.owner_user_id or 0,
        owner_email=new.owner_email or "",
        create_default_team=new.create_default_team,
        is_test=new.is_test,
    )
