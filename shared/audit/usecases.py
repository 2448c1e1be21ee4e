"""Writing and reading the audit.

An entry belongs to the transaction of the change that it tells of: both stand, or neither. It holds no secrets; who
writes one says what changed, not the values that are secret.
"""

from datetime import datetime

from shared.audit import store
from shared.audit.domain import AuditEntry, AuditQuery
from shared.database import Transaction
from shared.errors import InvalidArgument, ScopeMissing
from shared.rpc import page_token
from shared.rpc.call import Caller, current_call

OPERATE = "silo:operate"
ADMINISTER = "org:admin"
MACHINE = "machine"
"""The principal of what is done on the silo's own machine, by its programs and not by a call."""


def record(
    transaction: Transaction,
    *,
    action: str,
    target: str,
    organization_id: int | None = None,
    request_id: str | None = None,
    principal: str | None = None,
    detail: dict[str, object] | None = None,
) -> None:
    """Note a privileged change in the change's transaction. Who did it is the current call's caller, or `principal`:
    whoever asked, where another silo's answer carries it out.

    `detail` holds JSON values without secrets; `request_id` is the mutation's, by default the call's.
    """
    call = current_call()
    store.add(
        transaction,
        principal=principal or (MACHINE if call is None else call.caller.principal),
        action=action,
        organization_id=organization_id,
        target=target,
        request_id=request_id or ("" if call is None else call.request_id),
        detail=detail or {},
    )


def list_entries(
    transaction: Transaction, caller: Caller, query: AuditQuery, *, page_size: int, token: str
) -> tuple[list[AuditEntry], str]:
    """A page of entries, the newest first, and the next page's token, empty at the end.

    silo:operate without an organization sees all; a caller that is bound to an organization sees that one's. Raises
    ScopeMissing for anybody else, InvalidArgument, InvalidPageToken.
    """
    bound_to = caller.organization_id
    if bound_to is None and OPERATE not in caller.scopes:
        raise ScopeMissing(
            f"Without {OPERATE} a token must be bound to the organization whose entries it reads.",
            metadata={"scope": OPERATE},
        )
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise InvalidArgument.of("end_time", "must be after start_time")
    if bound_to is not None and query.organization_id not in (None, bound_to):
        return [], ""
    wanted = query.organization_id if bound_to is None else bound_to
    seen = AuditQuery(wanted, query.principal, query.action, query.since, query.until)
    digest = page_token.query_digest(
        "auditEntries", seen.organization_id, seen.principal, seen.action, _text(seen.since), _text(seen.until)
    )
    before_id = page_token.decode_number(token, digest)
    size = page_token.page_size(page_size)
    found = store.list_page(transaction, seen, before_id=before_id, limit=size + 1)
    if len(found) <= size:
        return found, ""
    return found[:size], page_token.encode((found[size - 1].id,), digest)


def _text(time: datetime | None) -> str:
    return "" if time is None else time.isoformat()
