"""What regions answer to ApplySlugs, taken to the change set that it belongs to: an import's, a rename's or a swap's.

Changes are locked first, then all mappings, so answers that come together with requests take turns.
"""

from collections.abc import Sequence

from control_silo.changes import store as change_store
from control_silo.changes.domain import ChangeKind, key_of
from control_silo.changes.usecases import Wake
from control_silo.organizations import store as organization_store
from control_silo.slugs.renames import settle_rename
from control_silo.slugs.swaps import settle_swap
from control_silo.slugs.usecases import settle_slugs
from shared.database import Transaction
from shared.delivery import SlugsApplied
from shared.errors import PeerRefused


def settle_answers(
    transaction: Transaction, *, region: str, answers: Sequence[SlugsApplied], wake: Wake | None = None
) -> None:
    """Take a region's answers. Late or repeated ones change nothing. Raises PeerRefused for another region's
    organization, and for a rename of another organization than the answer is about.
    """
    keys = {answer.change_set: key_of(answer.change_set) for answer in answers}
    locked = change_store.lock(transaction, [key for key in keys.values() if key is not None])
    imports = [answer for answer in answers if keys[answer.change_set] is None]
    others = [answer for answer in answers if keys[answer.change_set] is not None]
    ids = sorted({result.organization_id for answer in answers for result in answer.results})
    mapped = organization_store.lock(transaction, ids)
    if any(owner != region for owner in mapped.values()):
        raise PeerRefused("an organization is not this region's", metadata={"region": region})
    if imports:
        settle_slugs(transaction, region=region, answers=imports)
    for answer in others:
        key = keys[answer.change_set]
        change = None if key is None else locked.get(key)
        if key is None or change is None or not change.is_open:
            continue
        if change.kind is ChangeKind.RENAME:
            if any(result.organization_id != change.organization_id for result in answer.results):
                raise PeerRefused("a rename is of another organization", metadata={"region": region})
            for result in answer.results:
                change = settle_rename(transaction, change, result, wake=wake)
        elif change.kind is ChangeKind.SWAP:
            change = settle_swap(transaction, change, answer.results, wake=wake)
        locked[key] = change
