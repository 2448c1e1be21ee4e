"""Keeps what regions announce, once each, and lists it in an order that can be followed.

A region speaks of its own organizations only. What is told of an organization that control does not map is dropped:
writes need an active organization, so a mapping that is not there has ended. Numbers are given under a lock, so one
that is seen later is higher: who asks for what is above the last number it has seen misses nothing that is kept.
"""

from collections.abc import Sequence
from datetime import datetime

from control_silo.announcements import store
from control_silo.announcements.domain import ADMINISTERING, KEY_LENGTH_MAX, Announcement, Item, Kind
from control_silo.memberships import store as membership_store
from control_silo.memberships.domain import MembershipKey
from control_silo.organizations.usecases import not_found, resolve
from shared.database import Transaction
from shared.delivery import DeployAnnounced, StatusSync
from shared.errors import PeerRefused, PermissionDenied
from shared.names import Key
from shared.rpc import page_token
from shared.rpc.call import current_caller


def keep(transaction: Transaction, region: str, kind: Kind, items: Sequence[Item]) -> int:
    """Keep those items whose (region, kind, key) is not kept yet, in their order; returns how many.

    Raises PeerRefused for an organization of another region.
    """
    assert all(0 < len(item.key) <= KEY_LENGTH_MAX for item in items), "a key's length"
    mapped = store.hold_mappings(transaction, {item.organization_id for item in items})
    if any(owner != region for owner in mapped.values()):
        raise PeerRefused("an organization is not this region's", metadata={"region": region})
    kept = [item for item in items if item.organization_id in mapped]
    return store.keep(transaction, region, kind, kept) if kept else 0


def keep_deploys(transaction: Transaction, *, region: str, told: Sequence[DeployAnnounced]) -> None:
    """The outbox's handler of announced deploys. Raises PeerRefused for an organization of another region."""
    keep(transaction, region, Kind.DEPLOY, [_item(deploy) for deploy in told])


def keep_status_syncs(transaction: Transaction, *, region: str, told: Sequence[StatusSync]) -> None:
    """The outbox's handler of what trackers are to be told, in this order. Raises PeerRefused as above."""
    keep(transaction, region, Kind.STATUS_SYNC, [_sync_item(sync) for sync in told])


def list_announcements(
    transaction: Transaction, parent: Key, *, page_size: int, token: str, after: int, kind: Kind | None
) -> tuple[list[Announcement], str]:
    """A page by number above `after`, and the next page's token, empty at the end.

    Raises OrganizationNotFound, also when the caller is bound to another one or acts as a user who is no member,
    PermissionDenied for a member who does not see all projects, InvalidPageToken, InvalidArgument.
    """
    mapping, _ = resolve(transaction, parent)
    organization_id = mapping.organization_id
    _check_sees_all(transaction, organization_id, parent)
    digest = page_token.query_digest("announcements", organization_id, after, kind)
    after = page_token.decode_number(token, digest) or after
    size = page_token.page_size(page_size)
    page = store.list_page(transaction, organization_id, after=after, kind=kind, limit=size + 1)
    if len(page) <= size:
        return page, ""
    return page[:size], page_token.encode((page[size - 1].number,), digest)


def _check_sees_all(transaction: Transaction, organization_id: int, key: Key) -> None:
    user_id = current_caller().user_id
    if user_id is None:
        return
    places = membership_store.list_of_user(
        transaction, user_id, after=MembershipKey(organization_id, 0), limit=1, only_id=organization_id
    )
    if not places:
        raise not_found(key)
    if places[0].role not in ADMINISTERING:
        raise PermissionDenied("announcements tell of all projects: only owners and managers may read them")


def _item(deploy: DeployAnnounced) -> Item:
    payload = {
        "deploy": str(deploy.deploy_id),
        "release": deploy.version,
        "environment": deploy.environment,
        "display_name": deploy.name,
        "url": deploy.url,
        "start_time": _time(deploy.started_at),
        "finish_time": _time(deploy.finished_at),
        "announce_time": _time(deploy.announced_at),
        "projects": [str(project_id) for project_id in deploy.project_ids],
        "project_count": deploy.project_count,
    }
    return Item(deploy.organization_id, str(deploy.deploy_id), payload)


def _sync_item(sync: StatusSync) -> Item:
    payload = {
        "issue": str(sync.issue_id),
        "integration": sync.tracker_integration,
        "key": sync.tracker_key,
        "resolved": sync.resolved,
        "release": sync.resolved_version,
    }
    return Item(sync.organization_id, sync.sync_id, payload)


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
