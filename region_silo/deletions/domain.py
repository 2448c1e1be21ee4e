"""Which tables a purge empties, and in which order: children before what they refer to.

The tables come from the database's own catalogue, so one that is added later cannot be forgotten: whatever has an
organization_id is emptied, unless it stands in KEPT with the reason.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

COLUMN = "organization_id"

KEPT: Mapping[str, str] = MappingProxyType(
    {
        "organization_provision": "a provision that comes again must not make another organization",
        "token": "a replica: control deletes the token and tells its regions",
        "audit_entry": "what was done stays on record for the audit's own retention",
    }
)
"""Tables with an organization_id that outlive the organization, and why."""


def in_order(tables: Collection[str], references: Collection[tuple[str, str]]) -> list[str]:
    """The tables to empty, children first; `references` are (child, parent) of foreign keys.

    Raises ValueError when tables refer to each other in a ring.
    """
    left = {table for table in tables if table not in KEPT}
    children = {
        parent: {child for child, of in references if of == parent and child != parent and child in left}
        for parent in left
    }
    ordered: list[str] = []
    while left:
        free = sorted(table for table in left if not children[table] & left)
        if not free:
            raise ValueError(f"these tables refer to each other in a ring: {', '.join(sorted(left))}")
        ordered += free
        left.difference_update(free)
    return ordered
