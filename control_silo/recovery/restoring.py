"""Bringing control and a region in line about organizations after one of them was restored from a backup.

Existence is the region's to say, but what was deleted for good stays so. Of the rest, the side that was not restored
knows more: a restored control adopts what the region has, a restored region is told what control has. Whatever a change
holds or somebody else claims is left and said, never guessed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum

from control_silo.changes import store as change_store
from control_silo.changes.domain import ADOPTED, Change, ChangeKind, Plan, key_of
from control_silo.organizations import store as organization_store
from control_silo.recovery import deleted
from control_silo.recovery import restoring_store as store
from control_silo.recovery.restoring_store import Claim
from control_silo.regions import usecases as regions
from control_silo.slugs import store as slug_store
from control_silo.slugs.domain import Holding, is_own
from control_silo.slugs.renames import REDIRECT_TTL_S
from control_silo.slugs.usecases import enqueue_pairs
from shared import audit
from shared.database import Transaction
from shared.delivery import SlugPair
from shared.doctor.domain import OrganizationRecord
from shared.errors import InvalidArgument, LostInRestore, RegionNotFound, Resource
from shared.names import organization_name
from shared.requests import RequestKey, RequestState, StoredError


class Action(Enum):
    """What is to be done about an organization. PURGE_AGAIN is what becomes of adopting one that control has purged."""

    ADOPT = "adopt"
    FORGET = "forget"
    TELL = "tell"
    PURGE = "purge"
    PURGE_AGAIN = "purge again"


@dataclass(frozen=True)
class Item:
    """An organization as the region has it, and what is to be done."""

    action: Action
    record: OrganizationRecord


@dataclass
class Outcome:
    """What became of the items, by id; `left` says why."""

    repaired: list[int] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)

    def answer(self) -> "Answer":
        """As a request record keeps it."""
        return Answer(tuple(self.repaired), tuple(self.left.items()))


@dataclass(frozen=True)
class Answer:
    """What became of the items: ids, and ids with why they were left."""

    repaired: tuple[int, ...]
    left: tuple[tuple[int, str], ...]


def repair_organizations(transaction: Transaction, *, items: Sequence[Item], request_id: str) -> Answer:
    """Do what the items say, all in this transaction. Raises RegionNotFound, InvalidArgument."""
    numbers = {region.name: region.number for region in regions.list_regions(transaction)}
    for region in sorted({item.record.region for item in items} - numbers.keys()):
        raise RegionNotFound(metadata={"region": region}, resource=Resource("siloway/Region", f"regions/{region}"))
    ids = [item.record.organization_id for item in items]
    if len(set(ids)) < len(ids):
        raise InvalidArgument.of("items", "an organization stands twice")
    slug_store.use_indexes(transaction)
    made_for = {key for item in items if (key := key_of(item.record.change_set)) is not None}
    changes = change_store.lock(transaction, made_for)
    mapped = organization_store.lock(transaction, sorted(ids))
    holdings = slug_store.read_holdings(transaction, sorted(ids))
    purged = deleted.find_purged(transaction, sorted(set(ids) - mapped.keys()))
    items = [replace(item, action=Action.PURGE_AGAIN) if _was_purged(item, purged) else item for item in items]
    gone = deleted.find_ending(transaction, sorted(mapped))
    outcome = Outcome()
    for item in items:
        is_ending = item.record.organization_id in gone
        reason = "is being deleted" if is_ending else _why_not(item, changes, mapped, holdings, numbers)
        if reason:
            outcome.left[item.record.organization_id] = reason
    wanted = [item for item in items if item.record.organization_id not in outcome.left]
    _forget(transaction, [item.record.organization_id for item in wanted if item.action is Action.FORGET], outcome)
    adopted = [item.record for item in wanted if item.action is Action.ADOPT]
    _adopt(transaction, adopted, changes, holdings, outcome=outcome)
    deleted.end(transaction, [item.record.organization_id for item in wanted if item.action is Action.PURGE])
    deleted.purge_again(transaction, [item.record for item in wanted if item.action is Action.PURGE_AGAIN])
    outcome.repaired.extend(
        item.record.organization_id for item in wanted if item.action in (Action.PURGE, Action.PURGE_AGAIN)
    )
    told = [item.record for item in wanted if item.action is Action.TELL]
    _tell(transaction, told, holdings, outcome=outcome, request_id=request_id)
    if outcome.repaired:
        done = set(outcome.repaired)
        detail: dict[str, object] = {
            action.value: [
                str(item.record.organization_id)
                for item in items
                if item.action is action and item.record.organization_id in done
            ]
            for action in Action
        }
        audit.record(
            transaction,
            action="organization.repair",
            target="organizations",
            request_id=request_id,
            detail=detail,
        )
    return outcome.answer()


def _was_purged(item: Item, purged: Collection[int]) -> bool:
    return item.action is Action.ADOPT and item.record.organization_id in purged


def _why_not(
    item: Item,
    changes: Mapping[RequestKey, Change],
    mapped: Mapping[int, str],
    holdings: Mapping[int, Holding],
    numbers: Mapping[str, int],
) -> str:
    """Why nothing is done about an organization; empty when something is."""
    organization_id, region = item.record.organization_id, item.record.region
    owner = mapped.get(organization_id)
    if owner is not None and owner != region:
        return f"is mapped to {owner}"
    holding = holdings.get(organization_id, Holding())
    if holding.is_pending:
        return "a change of its slug runs"
    if item.action in (Action.ADOPT, Action.PURGE_AGAIN):
        if not is_own(organization_id, owner, region=region, number=numbers[region]):
            return "its id is not of this region"
        if item.action is Action.ADOPT and not item.record.slug:
            return "has no slug yet"
        key = key_of(item.record.change_set)
        change = None if key is None else changes.get(key)
        if change is not None and change.is_open:
            return "the request that made it runs, or waits for a parked message"
    elif owner is None:
        return "control does not know it"
    elif item.action is Action.TELL and holding.primary is None:
        return "control has no slug for it"
    return ""


def _forget(transaction: Transaction, ids: Collection[int], outcome: Outcome) -> None:
    if not ids:
        return
    store.forget(transaction, ids)
    lost = StoredError.of(LostInRestore())
    for key in store.provisions_of(transaction, ids):
        for change in change_store.lock(transaction, [key]).values():
            if not change.is_running:
                change_store.update(transaction, change.closed(at=transaction.now, error=lost))
    outcome.repaired.extend(ids)


def _adopt(
    transaction: Transaction,
    records: Sequence[OrganizationRecord],
    changes: Mapping[RequestKey, Change],
    holdings: Mapping[int, Holding],
    *,
    outcome: Outcome,
) -> None:
    claims = store.lock_claims(transaction, [record.slug for record in records])
    kept = _without_conflicts({record.organization_id: record for record in records}, claims, outcome)
    if not kept:
        return
    store.add_mappings(transaction, list(kept.values()))
    former = {
        organization_id: slug
        for organization_id in kept
        if (slug := holdings.get(organization_id, Holding()).primary) is not None
    }
    given = [
        replace(record, fence_version=max(record.fence_version, holdings.get(organization_id, Holding()).fence_version))
        for organization_id, record in kept.items()
    ]
    deleted.take_over(transaction, list(kept.values()))
    redirect_until = transaction.now + timedelta(seconds=REDIRECT_TTL_S)
    store.replace_primaries(transaction, former, given, redirect_until=redirect_until)
    organization_store.set_slugs(
        transaction, {record.organization_id: (record.slug, record.fence_version) for record in given}
    )
    for record in kept.values():
        key = key_of(record.change_set)
        if key is not None and key not in changes:
            change_store.add(transaction, _made(transaction, key, record))
    outcome.repaired.extend(kept)


def _without_conflicts(
    records: Mapping[int, OrganizationRecord], claims: Mapping[str, Claim], outcome: Outcome
) -> dict[int, OrganizationRecord]:
    """Those whose slugs nobody keeps: each round drops those whose slug stays with somebody who is not moving away."""
    kept = dict(records)
    while True:
        dropped: dict[int, str] = {}
        wanted: dict[str, int] = {}
        for organization_id, record in kept.items():
            first = wanted.setdefault(record.slug, organization_id)
            claim = claims.get(record.slug)
            if first != organization_id:
                dropped[organization_id] = f"{record.slug} is claimed by {organization_name(first)} too"
            elif claim is not None and claim.is_kept_from(organization_id):
                holder = claim.organization_id
                moves_away = holder in kept and kept[holder].slug != record.slug and not claim.is_held
                if not moves_away:
                    dropped[organization_id] = f"{record.slug} is claimed by {claim.holder} too"
        if not dropped:
            return kept
        outcome.left.update(dropped)
        for organization_id in dropped:
            del kept[organization_id]


def _tell(
    transaction: Transaction,
    records: Sequence[OrganizationRecord],
    holdings: Mapping[int, Holding],
    *,
    outcome: Outcome,
    request_id: str,
) -> None:
    """Send control's slugs under fence versions that the region cannot have seen, and who is to be deleted."""
    if not records:
        return
    deleted.tell_differing(transaction, records)
    pairs: dict[str, list[SlugPair]] = {}
    for record in sorted(records, key=lambda record: record.organization_id):
        holding = holdings[record.organization_id]
        assert holding.primary is not None, "who has no slug was left"
        fence_version = max(holding.fence_version, record.fence_version) + 1
        pair = SlugPair(record.organization_id, holding.primary, fence_version)
        pairs.setdefault(record.region, []).append(pair)
    change_set = f"doctor/{request_id}"
    for region, part in sorted(pairs.items()):
        store.raise_fences(transaction, part)
        enqueue_pairs(transaction, region, change_set, f"{change_set}/{region}", part)
        outcome.repaired.extend(pair.organization_id for pair in part)


def _made(transaction: Transaction, key: RequestKey, record: OrganizationRecord) -> Change:
    """The change as it must have ended, so that its request, sent again, gets this organization."""
    return Change(
        key=key,
        kind=ChangeKind.PROVISION,
        state=RequestState.SUCCEEDED,
        fingerprint=ADOPTED,
        created_at=transaction.now,
        updated_at=transaction.now,
        region=record.region,
        organization_id=record.organization_id,
        slug=record.slug,
        plan=Plan(name=record.name),
    )
