"""Keeping the mirror of members, and telling a region of the users it has got by them.

A member's truth is in its region; control only follows. Whoever gains a first place in a region, by id or by an
invited address, is told to that region with the next version, so that no suspension in between is missed
(spec/hybrid.md 1.3). Who makes a user holds the mirror meanwhile, so an invitation and its user never miss each other.
"""

from collections.abc import Sequence

from control_silo.memberships import store
from control_silo.memberships.domain import Membership, MembershipKey, parse_subject
from control_silo.regions.usecases import number_of
from control_silo.slugs.domain import is_own
from control_silo.users.replication import owners_of_addresses, tell_region
from shared import delivery
from shared.database import Transaction
from shared.errors import PeerRefused
from shared.outbox.domain import Message


def apply_memberships(transaction: Transaction, *, region: str, messages: Sequence[Message]) -> None:
    """The outbox's handler: take each member's newest state; tell the region of the users that it may not know.

    Raises PeerRefused for an organization of another region, InvalidArgument for a subject that names no member.
    """
    keys = {parse_subject(message.subject): message for message in messages}
    _check_own(transaction, region, keys)
    gone = [key for key, message in keys.items() if message.deleted]
    if gone:
        store.remove(transaction, gone)
    told = [_membership(key, message) for key, message in sorted(keys.items()) if not message.deleted]
    if not told:
        return
    before = store.find(transaction, [each.key for each in told])
    store.write(transaction, region, told)
    fresh = [each for each in told if _is_fresh(each, before.get(each.key))]
    users = {each.user_id for each in fresh if each.user_id is not None}
    invited = sorted({each.email for each in fresh if each.user_id is None and each.email})
    if invited:
        users |= owners_of_addresses(transaction, invited)
    tell_region(transaction, region, sorted(users))


def _check_own(transaction: Transaction, region: str, keys: dict[MembershipKey, Message]) -> None:
    number = number_of(transaction, region)
    whose = store.regions_of_organizations(transaction, {key.organization_id for key in keys})
    for organization_id, mapped_to in whose.items():
        if number is None or not is_own(organization_id, mapped_to, region=region, number=number):
            raise PeerRefused("an organization is not this region's", metadata={"region": region})


def _membership(key: MembershipKey, message: Message) -> Membership:
    state = delivery.decode(message.payload, delivery.MembershipState)
    user_id = state.user_id or None
    return Membership(key, user_id, "" if user_id else state.email.lower(), state.role, message.version)


def _is_fresh(now: Membership, before: Membership | None) -> bool:
    return before is None or (now.user_id, now.email) != (before.user_id, before.email)
