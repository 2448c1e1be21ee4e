"""What an entry of the audit says."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class AuditEntry:
    """One privileged change. `action` is a stable word like "token.revoke", `target` a resource's name.

    `organization_id` is the organization whose administrators may read it; None means operators only. `request_id` is
    that of the mutation, or of the call.
    """

    id: int
    at: datetime
    principal: str
    action: str
    organization_id: int | None
    target: str
    request_id: str
    detail: dict[str, object]


@dataclass(frozen=True)
class AuditQuery:
    """Which entries to list; None and "" leave a field open. `until` is the first time that is too late."""

    organization_id: int | None = None
    principal: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None
