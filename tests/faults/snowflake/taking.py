"""A process that takes ids one block after another and prints each id as soon as it has it."""

import sys

from shared import errors
from shared.clock import SystemClock
from shared.snowflake.allocator import SnowflakeAllocator


def main(url: str, rounds: int) -> None:
    allocator = SnowflakeAllocator.open(url, clock=SystemClock(), number=3)
    allocator.take(1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for number in range(rounds):
        try:
            ids = allocator.take(number % 7 + 1)
        except errors.IdsExhausted:
            continue
        sys.stdout.write("".join(f"{snowflake}\n" for snowflake in ids))
        sys.stdout.flush()
    allocator.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
