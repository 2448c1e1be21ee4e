"""What an announcement is, and who may read all of an organization's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

KEY_LENGTH_MAX = 200

ADMINISTERING = frozenset({"owner", "manager"})
"""The roles whose members see all projects of their organization; announcements tell of any of them."""


class Kind(StrEnum):
    """What an announcement is about; the words stand in the rows."""

    DEPLOY = "deploy"
    STATUS_SYNC = "status_sync"


@dataclass(frozen=True)
class Item:
    """One thing that a region tells. Of one region and kind the key comes once; the payload is JSON values, ids as
    texts.
    """

    organization_id: int
    key: str
    payload: Mapping[str, object]


@dataclass(frozen=True)
class Announcement:
    """A kept thing; `number` is its place among the organization's, and ascends in the order of commits."""

    organization_id: int
    number: int
    kind: Kind
    region: str
    key: str
    payload_json: str
    received_at: datetime
