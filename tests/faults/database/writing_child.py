"""Writes a row and a message in one transaction, as a process of its own that can be killed in the middle."""

import sys

from sqlalchemy import text

from shared import barrier
from shared.clock import SystemClock
from shared.database import Database, Transaction
from shared.outbox import Category, Mode, enqueue


def main() -> None:
    url, spec = sys.argv[1:]
    barrier.arm(spec)
    database = Database.open(url, clock=SystemClock())

    def work(transaction: Transaction) -> None:
        transaction.execute(text("INSERT INTO thing (name) VALUES ('a')"))
        enqueue(transaction, target="us", aggregate="a", category=Category("word", Mode.EVERY), subject="s")

    database.transact(work)
    database.close()


if __name__ == "__main__":
    main()
