"""Keeps callers that are bound to one organization to that organization's data, by what the method's row says.

It refuses what can be told from the row and the names alone, in the words for what is not there; a name that holds a
slug, a token's id or the like is looked up by the feature, which refuses it in the same words. The rule is one for all
methods, so a new one cannot forget it: a row that says nothing is closed to bound callers.
"""

from typing import Any

from shared.errors import OrganizationNotFound, PermissionDenied, Resource
from shared.names import organization_name, parse_key
from shared.rpc import validation
from shared.rpc.call import Caller
from shared.rpc.methods import Method, Whose

_ORGANIZATIONS = "organizations"


def check_caller(row: Method, caller: Caller) -> None:
    """Raise PermissionDenied for a caller that is bound to one organization where the data is the silo's."""
    if caller.organization_id is not None and row.whose is Whose.SILO:
        raise PermissionDenied("A token that is bound to one organization may not do this.")


def check_message(row: Method | None, message: Any, caller: Caller) -> None:
    """Check a message's shape, and that what it names is not another organization's than a bound caller's.

    Of a stream every message is checked; one without the names, like those behind a first one, names nothing.

    Raises InvalidArgument, OrganizationNotFound.
    """
    assert row is not None, "a call without a row is refused before its message is read"
    validation.check(message)
    bound_to = caller.organization_id
    if bound_to is None or row.whose is not Whose.ORGANIZATION:
        return
    for path in row.names:
        value = message
        for part in path.split("."):
            value = getattr(value, part)
        parts = str(value).split("/")
        key = parse_key(parts[1]) if len(parts) > 1 and parts[0] == _ORGANIZATIONS else ""
        if isinstance(key, int) and key != bound_to:
            raise OrganizationNotFound(resource=Resource("siloway/Organization", organization_name(key)))
