"""What a principal may do is looked up here, whatever its region says of it."""

from collections.abc import Collection

from shared.errors import ScopeMissing


def check_scope(granted: Collection[str], needed: str, principal: str) -> None:
    """Raises ScopeMissing unless the scope that is needed is among those that the principal has."""
    if needed not in granted:
        raise ScopeMissing(metadata={"scope": needed, "principal": principal})
