"""What a snowflake id is made of: 53 bits of prefix, seconds, region and sequence, in two layouts.

Layout 1 is bit-compatible with the system that Siloway re-thinks; layout 2 gives 32,768 ids a second. The prefixes
keep the two ranges apart, so that an id tells its own layout, and no id exceeds 2^53 - 1, the largest integer of a
JSON double. A position is an id without prefix and region: seconds since the epoch times ids a second, plus the
sequence.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

ID_BITS = 53
ID_MAX = (1 << ID_BITS) - 1


class SegmentOutOfRangeError(ValueError):
    """A segment's value does not fit its bits. `segment` is its name: version, time, region, sequence."""

    def __init__(self, segment: str, value: int, bits: int) -> None:
        super().__init__(f"the {segment} segment holds 0 to {(1 << bits) - 1}, not {value}")
        self.segment = segment


class NotASnowflakeError(ValueError):
    """The number is not an id of any layout."""


@dataclass(frozen=True)
class Layout:
    """How the 53 bits are cut, most significant first: prefix, time, region, sequence."""

    number: int
    epoch_s: int
    prefix: int
    prefix_bits: int
    time_bits: int
    region_bits: int
    sequence_bits: int

    @property
    def per_second(self) -> int:
        """How many ids one region has in a second."""
        return 1 << self.sequence_bits

    @property
    def regions(self) -> int:
        """How many region numbers there are; 0 is the control silo's."""
        return 1 << self.region_bits

    def floor(self, now: datetime) -> int:
        """The first position of the second of `now`; negative before the epoch."""
        return self.seconds(now) * self.per_second

    def seconds(self, now: datetime) -> int:
        """Whole seconds since the epoch, rounded down."""
        return (now - datetime.fromtimestamp(self.epoch_s, UTC)) // timedelta(seconds=1)

    def encode(self, seconds: int, region: int, sequence: int) -> int:
        """The id of these segments. Raises SegmentOutOfRangeError, which names the first segment that does not fit."""
        segments = (
            ("version", self.prefix, self.prefix_bits),
            ("time", seconds, self.time_bits),
            ("region", region, self.region_bits),
            ("sequence", sequence, self.sequence_bits),
        )
        snowflake = 0
        for name, value, bits in segments:
            if value >> bits:
                raise SegmentOutOfRangeError(name, value, bits)
            snowflake = snowflake << bits | value
        return snowflake

    def encode_position(self, position: int, region: int) -> int:
        """The id at a position. Raises SegmentOutOfRangeError."""
        return self.encode(position >> self.sequence_bits, region, position & (self.per_second - 1))

    def encode_positions(self, start: int, end: int, region: int) -> list[int]:
        """The ids at the positions from `start` up to `end`, without it, ascending. Raises SegmentOutOfRangeError."""
        ids: list[int] = []
        while start < end:
            first = self.encode_position(start, region)
            second_end = (start | (self.per_second - 1)) + 1
            stop = min(end, second_end)
            ids.extend(range(first, first + stop - start))
            start = stop
        return ids

    def decode(self, snowflake: int) -> "SnowflakeParts":
        """The segments of an id of this layout. Raises NotASnowflakeError when the prefix is another."""
        if snowflake >> (ID_BITS - self.prefix_bits) != self.prefix:
            raise NotASnowflakeError(f"{snowflake} is not an id of layout {self.number}")
        sequence = snowflake & (self.per_second - 1)
        region = snowflake >> self.sequence_bits & (self.regions - 1)
        seconds = snowflake >> self.sequence_bits + self.region_bits & (1 << self.time_bits) - 1
        time = datetime.fromtimestamp(self.epoch_s, UTC) + timedelta(seconds=seconds)
        return SnowflakeParts(layout=self.number, time=time, seconds=seconds, region=region, sequence=sequence)


@dataclass(frozen=True)
class SnowflakeParts:
    """What an id tells: its layout, the second it is of, the number of the region that gave it out, its sequence."""

    layout: int
    time: datetime
    seconds: int
    region: int
    sequence: int


def reversed_version(version: int) -> int:
    """Layout 1's prefix: the version's 5 bits reversed, 1 -> 10000b. Raises SegmentOutOfRangeError above 31.

    Rule: spec/hybrid.md 5.1, without its flaw of letting 32 pass as 16's prefix.
    """
    bits = 5
    if version >> bits:
        raise SegmentOutOfRangeError("version", version, bits)
    return int(f"{version:05b}"[::-1], 2)


def compatible_layout(*, epoch_s: int, version: int = 1) -> Layout:
    """Layout 1 with another epoch or version; `describe` knows only LAYOUT_1 itself."""
    return Layout(
        number=1,
        epoch_s=epoch_s,
        prefix=reversed_version(version),
        prefix_bits=5,
        time_bits=32,
        region_bits=12,
        sequence_bits=4,
    )


LAYOUT_1 = compatible_layout(epoch_s=int(datetime(2022, 8, 8, tzinfo=UTC).timestamp()))
LAYOUT_2 = Layout(
    number=2,
    epoch_s=int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
    prefix=0b11,
    prefix_bits=2,
    time_bits=31,
    region_bits=5,
    sequence_bits=15,
)
LAYOUTS = {layout.number: layout for layout in (LAYOUT_1, LAYOUT_2)}


def describe(snowflake: int) -> SnowflakeParts:
    """The segments of an id of either layout. Raises NotASnowflakeError for any other number."""
    for layout in LAYOUTS.values():
        if snowflake >> (ID_BITS - layout.prefix_bits) == layout.prefix:
            return layout.decode(snowflake)
    raise NotASnowflakeError(f"{snowflake} is not a snowflake id")
