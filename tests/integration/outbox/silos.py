"""Two or three small silos with real databases, whose outboxes deliver to each other's inboxes without a network.

The sender keeps a table of notes (LATEST, with tombstones) and says words (EVERY); the receiver keeps what it was told.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from sqlalchemy import text

from shared import errors
from shared.database import Database, Transaction
from shared.identity import read_identity
from shared.outbox.domain import Category, Delivery, Message, Mode, ShardResult, SubjectState
from shared.outbox.drainer import Drainer
from shared.outbox.enqueue import enqueue
from shared.outbox.inbox import receive
from shared.outbox.registry import Registry
from shared.outbox.settings import DrainerSettings
from tests.clock import FakeClock

NOTE = Category("note", Mode.LATEST)
WORD = Category("word", Mode.EVERY)

_TABLES = """
    CREATE TABLE note (name text PRIMARY KEY, body text, version bigint NOT NULL, deleted boolean NOT NULL);
    CREATE TABLE told_note (origin text, name text, body text, version bigint, PRIMARY KEY (origin, name));
    CREATE TABLE told_word (place bigint GENERATED ALWAYS AS IDENTITY, aggregate text, sequence bigint, body text);
"""


class Notes:
    """The LATEST source: the row, or its tombstone."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        rows = transaction.execute(
            text("SELECT name, body, version, deleted FROM note WHERE name = ANY(:names)"), {"names": list(subjects)}
        )
        return {row.name: (row.version, row.deleted, {"body": row.body}) for row in rows}


@dataclass
class Silo:
    """A database with the tables above and its side of the outbox."""

    name: str
    url: str
    clock: FakeClock
    refuses: set[str] = field(default_factory=set)
    refuses_subjects: set[str] = field(default_factory=set)
    refuses_bodies: set[str] = field(default_factory=set)
    calls: list[list[str]] = field(default_factory=list)
    has_tables: bool = False

    @classmethod
    def opened(cls, name: str, url: str, clock: FakeClock) -> "Silo":
        """A silo whose tables another process has made."""
        return cls(name, url, clock, has_tables=True)

    def __post_init__(self) -> None:
        if not self.has_tables:
            with psycopg.connect(self.url) as connection:
                connection.execute(_TABLES)
        self.database = Database.open(self.url, clock=self.clock)
        self.epoch = self.database.read(read_identity).epoch
        self.sends = Registry(sends={NOTE: Notes(), WORD: None})
        self.receives = Registry(receives={NOTE: self._apply_notes, WORD: self._apply_words})

    def drainer(self, transport: "Wires", **settings: float) -> Drainer:
        return Drainer(
            self.database,
            self.sends,
            transport,
            clock=self.clock,
            origin=self.name,
            epoch=self.epoch,
            settings=DrainerSettings(**settings),  # type: ignore[arg-type]
        )

    def write(self, name: str, body: str, *targets: str, aggregate: str = "") -> None:
        self.database.transact(lambda t: self.write_in(t, name, body, *targets, aggregate=aggregate))

    def write_in(
        self, transaction: Transaction, name: str, body: str | None, *targets: str, aggregate: str = ""
    ) -> None:
        """Write a note, or delete it (None)."""
        transaction.execute(
            text(
                "INSERT INTO note VALUES (:name, :body, 1, :deleted) ON CONFLICT (name) DO UPDATE"
                " SET body = excluded.body, deleted = excluded.deleted, version = note.version + 1"
            ).bindparams(name=name, body=body, deleted=body is None),
        )
        for target in targets or ("us",):
            enqueue(transaction, target=target, aggregate=aggregate or f"notes/{name}", category=NOTE, subject=name)

    def say(self, aggregate: str, *words: str, target: str = "us") -> None:
        def work(transaction: Transaction) -> None:
            for word in words:
                enqueue(
                    transaction, target=target, aggregate=aggregate, category=WORD, subject="s", payload={"body": word}
                )

        self.database.transact(work)

    def receive(self, delivery: Delivery) -> list[ShardResult]:
        return receive(self.database, self.receives, delivery)

    def told_words(self, aggregate: str) -> list[str]:
        query = text("SELECT body FROM told_word WHERE aggregate = :aggregate ORDER BY place")
        return list(self.database.read(lambda t: t.execute(query, {"aggregate": aggregate}).scalars().all()))

    def told_notes(self, origin: str = "control") -> dict[str, str]:
        query = text("SELECT name, body FROM told_note WHERE origin = :origin")
        rows = self.database.read(lambda t: t.execute(query, {"origin": origin}).all())
        return {row.name: row.body for row in rows}

    def notes(self) -> dict[str, str]:
        rows = self.database.read(lambda t: t.execute(text("SELECT name, body FROM note WHERE NOT deleted")).all())
        return {row.name: row.body for row in rows}

    def query(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        return [tuple(row) for row in self.database.read(lambda t: t.execute(text(statement), parameters).all())]

    def waiting(self, target: str = "us") -> int:
        query = text("SELECT count(*) FROM outbox_message WHERE target = :target")
        count: int = self.database.read(lambda t: t.execute(query, {"target": target}).scalar_one())
        return count

    def close(self) -> None:
        self.database.close()

    def _apply_notes(self, transaction: Transaction, messages: Sequence[Message]) -> None:
        self._called(messages)
        for message in messages:
            if message.deleted:
                transaction.execute(text("DELETE FROM told_note WHERE name = :name"), {"name": message.subject})
            else:
                transaction.execute(
                    text(
                        "INSERT INTO told_note VALUES ('control', :name, :body, :version) ON CONFLICT (origin, name)"
                        " DO UPDATE SET body = excluded.body, version = excluded.version"
                    ),
                    {"name": message.subject, "body": message.payload["body"], "version": message.version},
                )

    def _apply_words(self, transaction: Transaction, messages: Sequence[Message]) -> None:
        self._called(messages)
        for message in messages:
            transaction.execute(
                text("INSERT INTO told_word (aggregate, sequence, body) VALUES (:aggregate, :sequence, :body)"),
                {
                    "aggregate": message.aggregate,
                    "sequence": message.sequence,
                    "body": message.payload["body"],
                },
            )

    def _called(self, messages: Sequence[Message]) -> None:
        self.calls.append([message.subject for message in messages])
        for message in messages:
            if message.aggregate in self.refuses:
                raise errors.FailedPrecondition(f"{message.aggregate} is not wanted")
            if message.subject in self.refuses_subjects or message.payload.get("body") in self.refuses_bodies:
                raise errors.FailedPrecondition(f"{message.subject} is not wanted")


class Wires:
    """A transport that calls the other silos' inboxes in this process, and can be told to fail."""

    def __init__(self, *silos: Silo) -> None:
        self.silos = {silo.name: silo for silo in silos}
        self.down: set[str] = set()
        self.deliveries: list[tuple[str, Delivery]] = []
        self.before: Callable[[str, Delivery], None] | None = None
        self.after: Callable[[str, Delivery], None] | None = None
        self._lock = threading.Lock()

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> list[ShardResult]:
        with self._lock:
            self.deliveries.append((target, delivery))
        if target in self.down:
            raise errors.PeerUnavailable
        if self.before:
            self.before(target, delivery)
        results = self.silos[target].receive(delivery)
        if self.after:
            self.after(target, delivery)
        return results


def drain_all(drainer: Drainer) -> None:
    """Drain until a round finds nothing."""
    while drainer.drain_once().more:
        pass
