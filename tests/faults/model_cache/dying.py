"""A process that changes a row, and stands still between COMMIT and telling the cache, to be killed there."""

import sys

from tests.cached_things import Thing, Things


def main(database_url: str, redis_url: str, change_s_max: float) -> None:
    things = Things(database_url, redis_url, change_s_max=change_s_max)
    with things.cache.changing(1):
        things.update(Thing(1, "first", "two"))
        sys.stdout.write("committed\n")
        sys.stdout.flush()
        sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
