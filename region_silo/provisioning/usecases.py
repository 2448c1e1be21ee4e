"""Making the organizations that control asks for: each request makes one, and gets the same answer however often it
comes.
"""

import secrets
from collections.abc import Sequence

from region_silo.members import mirror
from region_silo.provisioning import store
from region_silo.slugs.usecases import CONTROL
from region_silo.users import store as user_store
from shared import barrier, delivery, slugs
from shared.database import Transaction
from shared.delivery import Cancel, CreateOrganization, OrganizationCreated
from shared.outbox import enqueue

_TEAM_SLUG_LENGTH_MAX = 50
_INVITATION_BYTES = 32
_NOTHING = (0, 0)


def create_organizations(transaction: Transaction, parts: Sequence[tuple[str, CreateOrganization]]) -> None:
    """Make each organization with its owner, and its team where asked for; answer in the shard (aggregate) of the ask.

    One whose slug another organization of the region has is refused alone. The ids were filled in before.
    """
    for aggregate, asked in sorted(parts, key=lambda part: part[1].slug):
        _answer(transaction, aggregate, _create(transaction, asked))
    barrier.reach("provision.created")


def cancel_organizations(transaction: Transaction, parts: Sequence[tuple[str, Cancel]]) -> None:
    """Remember of each request that it makes nothing any more; one that has made its organization is answered so."""
    for aggregate, cancelled in sorted(parts, key=lambda part: part[1].change_set):
        made = store.find_made(transaction, cancelled.change_set)
        if made is None:
            store.keep_made(transaction, cancelled.change_set, *_NOTHING)
        _answer(transaction, aggregate, _made(cancelled.change_set, made or _NOTHING))


def _answer(transaction: Transaction, aggregate: str, answer: OrganizationCreated) -> None:
    enqueue(
        transaction,
        target=CONTROL,
        aggregate=aggregate,
        category=delivery.ORGANIZATION_CREATED,
        subject=answer.change_set,
        payload=delivery.encode(answer),
    )


def _made(change_set: str, made: tuple[int, int]) -> OrganizationCreated:
    return OrganizationCreated(change_set, *made, delivery.CANCELLED if made == _NOTHING else "")


def _create(transaction: Transaction, asked: CreateOrganization) -> OrganizationCreated:
    made = store.find_made(transaction, asked.change_set)
    if made is not None:
        return _made(asked.change_set, made)
    assert asked.organization_id, "an organization's id is taken before the transaction"
    version = store.add_organization(transaction, asked)
    if version is None:
        return OrganizationCreated(asked.change_set, 0, 0, delivery.CLASH)
    owner_ids = [asked.owner_user_id] if asked.owner_user_id else []
    standings = user_store.expect(transaction, owner_ids)
    member_id = store.add_owner(
        transaction,
        asked.organization_id,
        user_id=asked.owner_user_id or None,
        email=asked.owner_email.lower() or None,
        invitation=secrets.token_hex(_INVITATION_BYTES) if asked.owner_email else None,
        is_active=all(standing.may_act for standing in standings.values()),
    )
    mirror.announce(transaction, asked.organization_id, [member_id])
    if asked.create_default_team:
        slug = slugs.base_slug(asked.name, _TEAM_SLUG_LENGTH_MAX)
        store.add_team(
            transaction,
            asked.organization_id,
            team_id=asked.team_id,
            slug=asked.slug if not slug or slugs.is_numeric(slug) else slug,
            name=asked.name,
            member_id=member_id,
        )
    store.keep_made(transaction, asked.change_set, asked.organization_id, version)
    return OrganizationCreated(asked.change_set, asked.organization_id, version)
