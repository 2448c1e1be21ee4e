"""Carrying out repairs: each is a message that the outbox delivers as any other, so a repeat or a late one is harmless.

What is sent is what the owner has at that time, under a version above all that was sent before; a copy is never made
the truth. Every repair stands in the audit, in the transaction that sends it.
"""

from collections.abc import Sequence

import msgspec

from control_silo.organizations import store as organization_store
from control_silo.reconciliation import store
from control_silo.reconciliation.comparison import RegionRows
from control_silo.reconciliation.domain import Difference, Repair, RepairMode, State, repairs_itself
from control_silo.regions import usecases as regions
from control_silo.slugs.reapplying import reapply_slug
from control_silo.tokens import usecases as tokens
from shared import audit
from shared.comparing.domain import SUBJECTS_MAX, Kind
from shared.database import Database, Transaction
from shared.errors import ServiceError

REPAIRS_MAX = SUBJECTS_MAX
"""Of one region and kind at once; what is left comes with the next comparison."""


def repair(database: Database, rows: RegionRows, region: str, kind: Kind, mode: RepairMode) -> list[Difference]:
    """Repair what was asked for and what the mode lets repair itself; returns what was sent.

    Organizations are sent by their region: raises PeerUnavailable when that cannot be told, and they are due as before.
    """
    now = database.clock.now()
    known = database.read(lambda transaction: store.list_open(transaction, region, kind))
    due = [d for d in known if _is_asked(d) or repairs_itself(d, mode, now)]
    ids = [difference.id for difference in due[:REPAIRS_MAX]]
    if not ids:
        return []
    sent = database.transact(lambda transaction: _send_all(transaction, ids))
    if kind is Kind.ORGANIZATION and sent:
        versions = {int(difference.subject): _number(difference.region_has, "version") for difference in sent}
        try:
            rows.resend_organizations(region, versions)
        except ServiceError:
            database.transact(lambda transaction: _take_back(transaction, sent))
            raise
    return sent


def _is_asked(difference: Difference) -> bool:
    return difference.repair_requested_at is not None and difference.repair is not Repair.NONE


def _send_all(transaction: Transaction, ids: Sequence[int]) -> list[Difference]:
    sent = []
    # What is sent locks mappings and tokens one by one: in the order in which everybody locks them.
    for difference in sorted(store.lock(transaction, ids), key=_place):
        if difference.state is not State.RESOLVED and _send(transaction, difference):
            store.note_repair(transaction, difference.id)
            _audit(transaction, difference)
            sent.append(difference)
    return sent


def _place(difference: Difference) -> tuple[int, str]:
    """By id, or by a region's name: numbers without zeros before them are in order by length, then as texts."""
    return (0 if difference.kind is Kind.REGION else len(difference.subject), difference.subject)


def _send(transaction: Transaction, difference: Difference) -> bool:
    """Send one repair; False when there is nothing to send any more."""
    region, subject = difference.region, difference.subject
    if difference.kind is Kind.REGION:
        return regions.resend_region(transaction, subject)
    if difference.kind is Kind.SLUG:
        fence_seen = _number(difference.region_has, "fence_version")
        return reapply_slug(transaction, int(subject), region, fence_seen=fence_seen)
    if difference.kind is Kind.ORGANIZATION:
        name = str(_field(difference.region_has, "name") or "")
        return organization_store.mend(transaction, int(subject), region=region, name=name)
    if difference.repair is Repair.REMOVE:
        version = _number(difference.region_has, "version")
        return tokens.remove_replica(transaction, int(subject), region, version=version)
    return tokens.resend_token(transaction, int(subject))


def _take_back(transaction: Transaction, sent: Sequence[Difference]) -> None:
    for difference in sent:
        store.take_back_repair(transaction, difference)


def _audit(transaction: Transaction, difference: Difference) -> None:
    organization = difference.kind in (Kind.ORGANIZATION, Kind.SLUG)
    audit.record(
        transaction,
        action="reconciliation.repair",
        target=f"differences/{difference.id}",
        organization_id=int(difference.subject) if organization else None,
        detail={
            "region": difference.region,
            "kind": difference.kind.value,
            "subject": difference.subject,
            "nature": difference.nature.value,
            "repair": difference.repair.value,
            "requested": difference.repair_requested_at is not None,
        },
    )


def _number(shown: str, name: str) -> int:
    value = _field(shown, name)
    return value if isinstance(value, int) else 0


def _field(shown: str, name: str) -> object:
    return msgspec.json.decode(shown).get(name) if shown else None
