"""Whose an id is that a region names: the one whose number it carries, whatever the region says."""

from shared.errors import PeerRefused
from shared.snowflake.domain import NotASnowflakeError, SnowflakeParts, describe


def check_own(what: str, snowflake: int, region: str, number: int | None) -> SnowflakeParts:
    """The segments of an id that the region of this number has made. Raises PeerRefused for any other."""
    try:
        parts = describe(snowflake)
    except NotASnowflakeError:
        parts = None
    if parts is None or parts.region != number:
        raise PeerRefused(f"{what} is not this region's", metadata={"region": region})
    return parts
