"""What a client may do with snowflake ids. No state of its own: the allocator decides which ids are new."""

from shared import errors
from shared.snowflake import domain
from shared.snowflake.allocator import SnowflakeAllocator


def generate_ids(allocator: SnowflakeAllocator, count: int) -> list[int]:
    """New ids, ascending. Raises what SnowflakeAllocator.take raises; InvalidArgument names the field `count`."""
    return allocator.take(count)


def describe_id(snowflake: str) -> domain.SnowflakeParts:
    """The parts of a decimal id of either layout. Raises InvalidArgument of the field `id` for any other text."""
    if not (snowflake.isascii() and snowflake.isdigit()):
        raise errors.InvalidArgument.of("id", "must be decimal digits")
    try:
        return domain.describe(int(snowflake))
    except domain.NotASnowflakeError as exc:
        raise errors.InvalidArgument.of("id", "is not a snowflake id") from exc
