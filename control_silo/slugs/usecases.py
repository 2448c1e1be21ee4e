"""Control's side of the slug conversation: reserve for an import, then settle what the region answers.

Each function is one transaction's work. Mappings are locked first, by id, so two requests about one organization take
turns; what follows of an event is decided by domain.step alone, and the sets of its effects are carried out here.
"""

from collections.abc import Iterable, Mapping, Sequence
from random import Random, SystemRandom

from control_silo.organizations import store as organization_store
from control_silo.recovery.usecases import fence_of
from control_silo.regions import usecases as regions
from control_silo.slugs import domain, store
from control_silo.slugs.domain import Answered, Effect, Holding, Reserved, Search, Seeker, Verdict, Wish, Won
from shared import barrier, delivery
from shared.database import Transaction
from shared.delivery import SlugPair, SlugResult, SlugsApplied
from shared.errors import InvalidArgument, PeerRefused, Violation
from shared.names import organization_name
from shared.outbox import enqueue

_RANDOM = SystemRandom()
_NOTHING = Holding()
VERDICTS = {
    "": Verdict.APPLIED,
    delivery.CLASH: Verdict.CLASH,
    delivery.MISSING: Verdict.MISSING,
    delivery.CANCELLED: Verdict.CANCELLED,
}


def reserve_slugs(
    transaction: Transaction, *, region: str, change_set: str, wishes: Sequence[Wish], random: Random = _RANDOM
) -> list[Reserved]:
    """A slug for each organization, in the order of the wishes, and the messages that apply the new ones in `region`.

    An organization that has its slug, or whose slug is on its way, keeps it and nothing is queued again. Raises
    InvalidArgument for an organization that stands twice, PeerRefused for one that is not the region's, Aborted, and
    RegionDraining (nothing is reserved then) when one of them is new and the region gets no new ones.
    """
    _check_distinct(wishes)
    store.use_indexes(transaction)
    fence = fence_of(transaction, region)
    known = _lock_own(transaction, region, wishes)
    holdings = store.read_holdings(transaction, sorted(known)) if known else {}
    holdings |= domain.above_fence(holdings, [wish.organization_id for wish in wishes], fence)
    reserved = reserved_words(transaction)
    seekers = []
    for wish in wishes:
        holding = holdings.get(wish.organization_id, _NOTHING)
        if holding.needs_slug:
            fence_version = holding.fence_version + 1
            seekers.append(Seeker(wish.organization_id, wish.base_slug, fence_version, random, reserved))
    _hold(transaction, region, change_set, holdings, seekers)
    barrier.reach("slugs.reserved")
    return [_reserved(wish.organization_id, holdings[wish.organization_id]) for wish in wishes]


def settle_slugs(
    transaction: Transaction, *, region: str, answers: Sequence[SlugsApplied], random: Random = _RANDOM
) -> None:
    """Take a region's answers: promote what it has applied, choose again what clashes there, give up what it misses.

    Answers that are late or repeated change nothing. Raises PeerRefused for an organization of another region.
    """
    ids = sorted({result.organization_id for applied in answers for result in applied.results})
    store.use_indexes(transaction)
    fence_of(transaction, region)
    mapped = organization_store.lock(transaction, ids)
    if any(owner != region for owner in mapped.values()):
        raise PeerRefused("an organization is not this region's", metadata={"region": region})
    holdings = store.read_holdings(transaction, ids)
    for applied in answers:
        _settle(transaction, region, applied, holdings, random)


def reserved_words(transaction: Transaction) -> frozenset[str]:
    """The words that no organization may have as its slug: the product's own, and the names of the regions."""
    return domain.RESERVED | {region.name for region in regions.list_regions(transaction)}


def queue(transaction: Transaction, region: str, change_set: str, pairs: list[SlugPair]) -> None:
    """One message for each 500 pairs, each a shard of its own: nothing else of the region stands before it."""
    pairs.sort(key=lambda pair: pair.organization_id)
    for start in range(0, len(pairs), delivery.PAIRS_MAX):
        part = pairs[start : start + delivery.PAIRS_MAX]
        enqueue_pairs(transaction, region, change_set, f"{change_set}/{part[0].organization_id}", part)


def enqueue_pairs(
    transaction: Transaction, region: str, change_set: str, aggregate: str, pairs: Sequence[SlugPair]
) -> None:
    """Queue pairs that the region is to apply together."""
    enqueue(
        transaction,
        target=region,
        aggregate=aggregate,
        category=delivery.APPLY_SLUGS,
        subject=change_set,
        payload=delivery.encode(delivery.ApplySlugs(change_set, tuple(pairs))),
    )


def _settle(
    transaction: Transaction, region: str, applied: SlugsApplied, holdings: dict[int, Holding], random: Random
) -> None:
    effects: dict[Effect, list[tuple[Holding, SlugResult]]] = {effect: [] for effect in Effect}
    for result in applied.results:
        before = holdings.get(result.organization_id, _NOTHING)
        event = Answered(VERDICTS[result.refusal], result.slug, result.fence_version)
        holdings[result.organization_id], following = domain.step(before, event)
        for effect in following:
            effects[effect].append((before, result))
    _end(transaction, effects)
    _promote(transaction, effects)
    reserved = reserved_words(transaction) if effects[Effect.CHOOSE_AGAIN] else domain.RESERVED
    seekers = [
        # What was cancelled clashed with nobody: the organization may have the same one.
        (Seeker if result.refusal == delivery.CANCELLED else Seeker.again)(
            result.organization_id, result.slug, before.fence_version + 1, random, reserved
        )
        for before, result in effects[Effect.CHOOSE_AGAIN]
    ]
    _hold(transaction, region, applied.change_set, holdings, seekers)
    barrier.reach("slugs.settled")


def _check_distinct(wishes: Sequence[Wish]) -> None:
    seen: set[int] = set()
    twice = []
    for place, wish in enumerate(wishes):
        if wish.organization_id in seen:
            twice.append(Violation(f"items[{place}].organization_id", "stands twice"))
        seen.add(wish.organization_id)
    if twice:
        raise InvalidArgument("an organization stands twice", violations=twice)


def _lock_own(transaction: Transaction, region: str, wishes: Sequence[Wish]) -> dict[int, str]:
    """Lock the mappings of all, adding the missing ones; returns those that were there, id -> region."""
    number = regions.number_of(transaction, region)
    if number is None:
        raise PeerRefused(f"the directory knows no region {region}", metadata={"region": region})
    names = {wish.organization_id: wish.name for wish in wishes}
    known = organization_store.lock(transaction, sorted(names))
    _check_own(names, known, region, number)
    missing = {organization_id: name for organization_id, name in names.items() if organization_id not in known}
    if missing:
        regions.check_accepts_organizations(transaction, region)
    if missing and organization_store.add(transaction, region, missing) < len(missing):
        # Another transaction was faster with some of them; it has ended by now.
        known = organization_store.lock(transaction, sorted(names))
        _check_own(names, known, region, number)
    return known


def _check_own(organization_ids: Iterable[int], known: Mapping[int, str], region: str, number: int) -> None:
    for organization_id in organization_ids:
        if not domain.is_own(organization_id, known.get(organization_id), region=region, number=number):
            name = organization_name(organization_id)
            raise PeerRefused(f"{name} is not region {region}'s", metadata={"organization": name, "region": region})


def _hold(
    transaction: Transaction, region: str, change_set: str, holdings: dict[int, Holding], seekers: Sequence[Seeker]
) -> None:
    """Find and insert a slug for each seeker, take it into `holdings`, and queue the messages."""
    search = Search(seekers)
    while offers := search.offers():
        search.settle(offers, store.hold(transaction, region=region, holder=change_set, offers=offers))
    pairs = []
    for slug, seeker in search.won.items():
        before = holdings.get(seeker.organization_id, _NOTHING)
        holding, following = domain.step(before, Won(slug))
        holdings[seeker.organization_id] = holding
        assert following == (Effect.QUEUE,), "a slug that was won is always sent"
        assert holding.fence_version == seeker.fence_version, "the row's fence version is the state's"
        pairs.append(SlugPair(seeker.organization_id, slug, seeker.fence_version))
    queue(transaction, region, change_set, pairs)


def _end(transaction: Transaction, effects: Mapping[Effect, Sequence[tuple[Holding, SlugResult]]]) -> None:
    released = [result.slug for _, result in effects[Effect.RELEASE]]
    released += [before.primary for before, _ in effects[Effect.END_FORMER] if before.primary is not None]
    if released:
        store.release(transaction, released)
    if effects[Effect.FORGET]:
        organization_store.forget(transaction, [result.organization_id for _, result in effects[Effect.FORGET]])


def _promote(transaction: Transaction, effects: Mapping[Effect, Sequence[tuple[Holding, SlugResult]]]) -> None:
    promoted = {result.organization_id: (result.slug, result.fence_version) for _, result in effects[Effect.PROMOTE]}
    if promoted:
        store.promote(transaction, [slug for slug, _ in promoted.values()])
        organization_store.set_slugs(transaction, promoted)


def _reserved(organization_id: int, holding: Holding) -> Reserved:
    slug = holding.primary or holding.temporary
    assert slug is not None, "who needs a slug has won one"
    return Reserved(organization_id, slug, finished=holding.primary is not None)
