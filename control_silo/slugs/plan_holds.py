"""Slugs that are held for a plan of an import: nobody's until its time is over, then anybody's without a trace.

Such a row rests like the slug of a deleted organization, with the plan as its holder, so whatever asks whether a slug
is free knows it. The import that applies the plan takes the holds over. Nothing else ends one before its time.
"""

from collections.abc import Sequence
from datetime import timedelta
from random import Random, SystemRandom

from sqlalchemy import text

from control_silo.regions import usecases as regions
from control_silo.slugs.domain import ReservationState, ReservationType, Search, Seeker
from control_silo.slugs.usecases import reserved_words
from shared.database import Transaction

_RANDOM = SystemRandom()
_IS_HELD = "holder = :plan AND state = 2 AND holder <> '' AND region = :region AND organization_id IS NULL"
_FORGET = text(f"DELETE FROM slug_reservation WHERE {_IS_HELD}")
_TAKE_OVER = text(f"DELETE FROM slug_reservation WHERE {_IS_HELD} AND slug = ANY (CAST(:slugs AS text[]))")
_PROLONG = text(
    f"""
    UPDATE slug_reservation SET expires_at = :expires_at, updated_at = :now
    WHERE {_IS_HELD} AND slug = ANY (CAST(:slugs AS text[])) RETURNING slug
    """
)
_END_EXPIRED = text(
    """
    DELETE FROM slug_reservation
    WHERE slug = ANY (CAST(:slugs AS text[])) AND expires_at <= :now AND (type = 3 OR state = 2)
    """
)
_HOLD = text(
    """
    INSERT INTO slug_reservation
        (slug, organization_id, holder, region, type, state, fence_version, expires_at, created_at, updated_at)
    SELECT slug, NULL, :plan, :region, :type, :state, 0, :expires_at, :now, :now
    FROM unnest(CAST(:slugs AS text[])) AS slug
    ON CONFLICT ON CONSTRAINT slug_reservation_pkey DO NOTHING
    RETURNING slug
    """
)


def hold_slugs(
    transaction: Transaction,
    *,
    region: str,
    plan: str,
    base_slugs: Sequence[str],
    afresh: bool,
    seconds: int,
    random: Random = _RANDOM,
) -> list[str]:
    """A free slug for each organization of a plan, in their order. `afresh` ends what was held for the plan before.

    Raises RegionDraining when the region gets no new organizations, Aborted.
    """
    regions.check_accepts_organizations(transaction, region)
    if afresh:
        transaction.execute(_FORGET, {"plan": plan, "region": region})
    reserved = reserved_words(transaction)
    seekers = [Seeker(place, base_slug, 0, random, reserved) for place, base_slug in enumerate(base_slugs)]
    search = Search(seekers)
    while offers := search.offers():
        slugs = [slug for slug, _ in offers]
        search.settle(offers, _hold(transaction, region, plan, slugs, seconds))
    won = {seeker.organization_id: slug for slug, seeker in search.won.items()}
    return [won[place] for place in range(len(base_slugs))]


def hold_exactly(transaction: Transaction, *, region: str, plan: str, slugs: Sequence[str], seconds: int) -> list[str]:
    """Go on holding these slugs for the plan, in their order; "" for one that somebody else has by now."""
    wanted = sorted(set(slugs))
    expires_at = transaction.now + timedelta(seconds=seconds)
    parameters = {"plan": plan, "region": region, "slugs": wanted, "expires_at": expires_at, "now": transaction.now}
    held = set(transaction.execute(_PROLONG, parameters).scalars())
    held |= _hold(transaction, region, plan, [slug for slug in wanted if slug not in held], seconds)
    return [slug if slug in held else "" for slug in slugs]


def take_over(transaction: Transaction, *, region: str, plan: str, slugs: Sequence[str]) -> None:
    """End the plan's holds of these slugs: the transaction holds them for the organizations that are there now."""
    transaction.execute(_TAKE_OVER, {"plan": plan, "region": region, "slugs": list(slugs)})


def _hold(transaction: Transaction, region: str, plan: str, slugs: Sequence[str], seconds: int) -> frozenset[str]:
    parameters = {
        "plan": plan,
        "region": region,
        "slugs": list(slugs),
        "type": ReservationType.PRIMARY.value,
        "state": ReservationState.QUARANTINED.value,
        "expires_at": transaction.now + timedelta(seconds=seconds),
        "now": transaction.now,
    }
    transaction.execute(_END_EXPIRED, {"slugs": list(slugs), "now": transaction.now})
    return frozenset(transaction.execute(_HOLD, parameters).scalars())
