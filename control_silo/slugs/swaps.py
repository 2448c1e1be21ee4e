"""Organizations exchange their slugs: at once in control, then in every region that is concerned.

Until all regions have answered, the slugs are held by the change, so none of them can move on. When one refuses, all
go back, under higher fence versions, and the change FAILED.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from control_silo.changes import usecases as changes
from control_silo.changes.domain import Change, ChangeKind, Move, Plan
from control_silo.organizations import store as organization_store
from control_silo.organizations import usecases as organizations
from control_silo.recovery.usecases import fence_for_change
from control_silo.slugs import store
from control_silo.slugs.renames import pending, why_failed
from control_silo.slugs.usecases import enqueue_pairs
from shared import barrier, delivery
from shared.database import Transaction
from shared.delivery import SlugPair, SlugResult
from shared.errors import InvalidArgument, SlugsMismatch, Violation
from shared.names import Key
from shared.requests import Mutation, RequestState


@dataclass(frozen=True)
class Exchange:
    """A wish: one organization and the slug that it gets."""

    organization: Key
    slug: str


def swap(transaction: Transaction, mutation: Mutation, asked: Sequence[Exchange]) -> Change:
    """Exchange the slugs in control and tell the regions; a repeat gets the first call's change.

    Raises InvalidArgument for an organization or slug that stands twice, OrganizationNotFound, OrganizationImporting,
    SlugChangePending, RegionLost, SlugsMismatch when the slugs are not those that the organizations have,
    RequestIdReused.
    """
    earlier = changes.begin(transaction, mutation)
    if earlier is not None:
        return earlier
    wanted = [each.slug.lower() for each in asked]
    found = organizations.lock_settled(transaction, [each.organization for each in asked])
    _check_distinct([organization_id for organization_id, _ in found], wanted)
    fences = {region: fence_for_change(transaction, region) for region in sorted({region for _, region in found})}
    holdings = store.read_holdings(transaction, [organization_id for organization_id, _ in found])
    moves = []
    for (organization_id, region), slug in zip(found, wanted, strict=True):
        holding = holdings[organization_id].above(fences[region])
        if holding.is_pending:
            raise pending(organization_id)
        if holding.primary is not None and holding.primary != slug:
            moves.append(Move(organization_id, region, holding.primary, slug, holding.fence_version + 1))
    if {holding.primary for holding in holdings.values()} != set(wanted):
        raise SlugsMismatch(metadata={"slugs": ",".join(sorted(filter(None, (h.primary for h in holdings.values()))))})
    change = Change(
        key=mutation.key,
        kind=ChangeKind.SWAP,
        state=RequestState.RUNNING,
        fingerprint=mutation.fingerprint,
        created_at=transaction.now,
        updated_at=transaction.now,
        plan=Plan(moves=tuple(moves)),
    )
    if not moves:
        return changes.open_change(transaction, change.closed(at=transaction.now))
    changes.open_change(transaction, change)
    _carry_out(transaction, change, moves)
    barrier.reach("swap.exchanged")
    return change


def settle_swap(
    transaction: Transaction, change: Change, results: Sequence[SlugResult], *, wake: changes.Wake | None = None
) -> Change:
    """Take a region's answers; the last one ends the swap, or makes all go back when a region has refused.

    The mappings of the answers are locked; answers of older fence versions change nothing.
    """
    told = {(result.organization_id, result.slug, result.fence_version): result for result in results}
    moves = []
    for move in change.plan.moves:
        result = told.get((move.organization_id, move.slug, move.fence_version))
        if result is not None and move.answer is None:
            moves.append(replace(move, answer=result.refusal))
        else:
            moves.append(move)
    plan = replace(change.plan, moves=tuple(moves))
    if plan == change.plan:
        return change
    return _go_on(transaction, replace(change, plan=plan), wake)


def without_region(
    transaction: Transaction, change: Change, region: str, *, wake: changes.Wake | None = None
) -> Change:
    """End the wait for a region that was declared lost: what control has decided counts, as if it had applied it."""
    moves = tuple(
        replace(move, answer="") if move.region == region and move.answer is None else move
        for move in change.plan.moves
    )
    return _go_on(transaction, replace(change, plan=replace(change.plan, moves=moves)), wake)


def _go_on(transaction: Transaction, change: Change, wake: changes.Wake | None) -> Change:
    plan = change.plan
    if any(move.answer is None for move in plan.moves):
        return changes.touch(transaction, change)
    refusal = next((move for move in plan.moves if move.answer), None)
    if refusal is not None and not plan.reverting:
        return _take_back(transaction, change, refusal)
    if any(move.answer == delivery.CANCELLED for move in plan.moves):
        return _ask_again(transaction, change)
    store.promote(transaction, [move.slug for move in plan.moves])
    if not plan.reverting:
        return changes.close(transaction, change, wake=wake)
    first = SlugResult(plan.refused_id, plan.refused_slug, 0, plan.refusal)
    error = why_failed(replace(change, region=plan.refused_region), first)
    return changes.close(transaction, change, error=error, wake=wake)


def _ask_again(transaction: Transaction, change: Change) -> Change:
    """Somebody skipped a message that takes a swap back, which a region must hear: it may have applied the swap."""
    again = tuple(
        replace(move, fence_version=move.fence_version + 1, answer=None) if move.answer == delivery.CANCELLED else move
        for move in change.plan.moves
    )
    change = changes.touch(transaction, replace(change, plan=replace(change.plan, moves=again)))
    _carry_out(transaction, change, [move for move in again if move.answer is None])
    return change


def _take_back(transaction: Transaction, change: Change, refusal: Move) -> Change:
    organization_store.lock(transaction, sorted(move.organization_id for move in change.plan.moves))
    back = tuple(
        Move(move.organization_id, move.region, move.slug, move.former, move.fence_version + 1)
        for move in change.plan.moves
    )
    plan = Plan(
        moves=back,
        refusal=refusal.answer or "",
        refused_id=refusal.organization_id,
        refused_slug=refusal.slug,
        refused_region=refusal.region,
        parked=change.plan.parked,
    )
    change = changes.touch(transaction, replace(change, plan=plan))
    _carry_out(transaction, change, back)
    barrier.reach("swap.taken_back")
    return change


def _carry_out(transaction: Transaction, change: Change, wanted: Sequence[Move]) -> None:
    """Set the slugs in control, and one message for each region."""
    moves = sorted(wanted, key=lambda move: move.slug)
    store.exchange(
        transaction,
        change.change_set,
        [(move.slug, move.organization_id, move.region, move.fence_version) for move in moves],
    )
    organization_store.set_slugs(transaction, {move.organization_id: (move.slug, move.fence_version) for move in moves})
    for region in sorted({move.region for move in moves}):
        pairs = [
            SlugPair(move.organization_id, move.slug, move.fence_version) for move in moves if move.region == region
        ]
        enqueue_pairs(transaction, region, change.change_set, f"{change.change_set}/{region}", pairs)


def _check_distinct(organization_ids: Sequence[int], slugs: Sequence[str]) -> None:
    twice = [
        Violation(f"pairs[{place}].{field}", "stands twice")
        for field, values in (("organization", organization_ids), ("slug", slugs))
        for place, value in enumerate(values)
        if value in values[:place]
    ]
    if twice:
        raise InvalidArgument("an organization or a slug stands twice", violations=twice)
