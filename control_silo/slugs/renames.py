"""One organization's new slug: held beside the present one until the region has applied it, then in its place.

The region's answer alone ends a rename. A refusal leaves the organization with the slug that it had.
"""

from dataclasses import dataclass
from datetime import timedelta
from random import Random, SystemRandom

from control_silo.changes import usecases as changes
from control_silo.changes.domain import Change, ChangeKind, Plan
from control_silo.organizations import store as organization_store
from control_silo.organizations import usecases as organizations
from control_silo.recovery.usecases import fence_for_change
from control_silo.slugs import checking, domain, redirect_store, redirects, store
from control_silo.slugs.domain import Answered, Effect, Holding, Seeker, Won
from control_silo.slugs.usecases import VERDICTS, queue, reserved_words
from shared import barrier, delivery, slugs
from shared.database import Transaction
from shared.delivery import SlugPair, SlugResult
from shared.errors import (
    Aborted,
    MessageParked,
    OrganizationNotFound,
    RedirectLimit,
    Resource,
    ServiceError,
    SlugChangePending,
    SlugConflict,
)
from shared.names import Key, organization_name
from shared.requests import Mutation, RequestState, StoredError

_RANDOM = SystemRandom()
_NOTHING = Holding()
_RETRY_S = 1.0

REDIRECT_TTL_S = 30 * 24 * 3600
"""How long a former slug leads on when nobody says otherwise."""


@dataclass(frozen=True)
class Rename:
    """A wish. `exact`: this slug or none; otherwise one that is made from the text."""

    organization: Key
    slug: str
    exact: bool
    redirect_ttl_s: int


def rename(transaction: Transaction, mutation: Mutation, asked: Rename, *, random: Random = _RANDOM) -> Change:
    """Hold the new slug and ask the region to apply it; a repeat gets the first call's change.

    The organization is looked up after the request's record: a repeat by its former slug is a repeat. Raises
    InvalidArgument, OrganizationNotFound, OrganizationImporting, SlugChangePending, SlugTaken, SlugHeld, RedirectLimit,
    RegionLost, RequestIdReused.
    """
    earlier = changes.begin(transaction, mutation)
    if earlier is not None:
        return earlier
    organization_id, region = organizations.lock_settled(transaction, [asked.organization])[0]
    fence = fence_for_change(transaction, region)
    holding = store.read_holdings(transaction, [organization_id])[organization_id].above(fence)
    wish = checking.check_exact(transaction, asked.slug) if asked.exact else asked.slug
    if holding.is_pending:
        raise pending(organization_id)
    change = Change(
        key=mutation.key,
        kind=ChangeKind.RENAME,
        state=RequestState.RUNNING,
        fingerprint=mutation.fingerprint,
        created_at=transaction.now,
        updated_at=transaction.now,
        region=region,
        organization_id=organization_id,
        plan=Plan(redirect_ttl_s=asked.redirect_ttl_s),
    )
    same = wish if asked.exact else slugs.base_slug(wish, domain.LENGTH_MAX)
    if holding.primary is not None and holding.primary == same:
        return changes.open_change(transaction, change.closed(at=transaction.now, slug=same))
    slug = _hold(transaction, change, holding, wish, exact=asked.exact, random=random)
    if holding.primary is not None and asked.redirect_ttl_s:
        _check_redirects(transaction, organization_id, besides=slug)
    after, following = domain.step(holding, Won(slug))
    assert following == (Effect.QUEUE,), "a slug that was won is always sent"
    change = changes.open_change(transaction, change.with_slug(slug))
    queue(transaction, region, change.change_set, [SlugPair(organization_id, slug, after.fence_version)])
    barrier.reach("rename.held")
    return change


def settle_rename(
    transaction: Transaction, change: Change, result: SlugResult, *, wake: changes.Wake | None = None
) -> Change:
    """Take the region's answer: the new slug takes the place of the former one, or is free again and the rename FAILED.

    A late or repeated answer changes nothing. The mapping is locked.
    """
    before = store.read_holdings(transaction, [result.organization_id]).get(result.organization_id, _NOTHING)
    event = Answered(VERDICTS[result.refusal], result.slug, result.fence_version)
    _, effects = domain.step(before, event)
    if Effect.PROMOTE in effects:
        if Effect.END_FORMER in effects and before.primary is not None:
            _end_former(transaction, before.primary, change.plan.redirect_ttl_s)
        store.promote(transaction, [result.slug])
        organization_store.set_slugs(transaction, {result.organization_id: (result.slug, result.fence_version)})
        return changes.close(transaction, change, wake=wake)
    if Effect.RELEASE in effects:
        organization_store.raise_fence(transaction, result.organization_id, result.fence_version)
        store.release(transaction, [result.slug])
        return changes.close(transaction, change, error=why_failed(change, result), wake=wake)
    return change


def pending(organization_id: int) -> SlugChangePending:
    """The refusal while another change of an organization's slug runs."""
    name = organization_name(organization_id)
    return SlugChangePending(metadata={"organization": name}, retry_after_s=_RETRY_S)


def why_failed(change: Change, result: SlugResult) -> ServiceError | StoredError:
    """A region's refusal as the caller hears it; one that was cancelled has FAILED for its own reason before."""
    if result.refusal == delivery.CANCELLED:
        return change.error or MessageParked()
    if result.refusal == delivery.MISSING:
        return OrganizationNotFound(
            resource=Resource("siloway/Organization", organization_name(result.organization_id))
        )
    return SlugConflict(metadata={"slug": result.slug, "region": change.region})


def _hold(transaction: Transaction, change: Change, holding: Holding, wish: str, *, exact: bool, random: Random) -> str:
    organization_id, fence_version = change.organization_id, holding.fence_version + 1
    assert organization_id is not None, "a rename is of an organization"

    def won(slug: str) -> bool:
        return redirect_store.take_back(
            transaction, slug, organization_id=organization_id, holder=change.change_set, fence_version=fence_version
        ) or store.hold_one(
            transaction,
            slug,
            organization_id=organization_id,
            holder=change.change_set,
            region=change.region,
            fence_version=fence_version,
        )

    if exact:
        if not won(wish):
            raise checking.refusal_of(transaction, wish, random)
        return wish
    seeker = Seeker(organization_id, wish, fence_version, random, reserved_words(transaction))
    while (slug := seeker.next_candidate()) is not None:
        if won(slug):
            return slug
    raise Aborted("no free slug was found", retry_after_s=_RETRY_S)


def _check_redirects(transaction: Transaction, organization_id: int, *, besides: str) -> None:
    if redirect_store.count(transaction, organization_id, besides=besides) >= redirects.REDIRECTS_MAX:
        name = organization_name(organization_id)
        raise RedirectLimit(metadata={"organization": name, "redirects_max": str(redirects.REDIRECTS_MAX)})


def _end_former(transaction: Transaction, former: str, redirect_ttl_s: int) -> None:
    if redirect_ttl_s:
        redirect_store.make(transaction, former, transaction.now + timedelta(seconds=redirect_ttl_s))
    else:
        store.release(transaction, [former])
