"""A small model with a cache, as a process of its own would open it: for the model cache's tests and their children."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from shared.clock import SystemClock
from shared.database import Database, Transaction
from shared.model_cache import ModelCache
from shared.model_cache_gate import CacheGate
from shared.redis import RedisLink
from tests.shared_tables import create_shared_tables

KNOWLEDGE_S = 0.1


@dataclass(frozen=True)
class Thing:
    id: int
    slug: str
    name: str


class Things:
    """A table `thing`, its loaders (counted, and stoppable in the middle) and its cache."""

    def __init__(
        self, database_url: str, redis_url: str | None, *, change_s_max: float = 60, timeout_s: float = 0.5
    ) -> None:
        clock = SystemClock()
        self.database = Database.open(database_url, clock=clock)
        self.link = RedisLink.open(redis_url, clock=clock, timeout_s=timeout_s) if redis_url else None
        self.gate = CacheGate(self.database, clock=clock, knowledge_s=KNOWLEDGE_S)
        self.loads = 0
        self.after_load: Callable[[], None] = lambda: None
        self.cache = ModelCache(
            self.link,
            self.gate,
            silo="us",
            model="Thing",
            row_type=Thing,
            load_by={"id": lambda value: self._load("id", value), "slug": lambda value: self._load("slug", value)},
            change_s_max=change_s_max,
        )

    def create_tables(self) -> None:
        create_shared_tables(self.database.engine.url.set(drivername="postgresql").render_as_string(False))
        self._run("CREATE TABLE thing (id bigint PRIMARY KEY, slug text UNIQUE NOT NULL, name text NOT NULL)")

    def insert(self, thing: Thing) -> None:
        self._run("INSERT INTO thing VALUES (:id, :slug, :name)", id=thing.id, slug=thing.slug, name=thing.name)

    def update(self, thing: Thing) -> None:
        """Without a word to the cache."""
        self._run("UPDATE thing SET slug = :slug, name = :name WHERE id = :id", **thing.__dict__)

    def change(self, thing: Thing) -> None:
        with self.cache.changing(thing.id):
            self.update(thing)

    def delete(self, thing_id: int) -> None:
        with self.cache.changing(thing_id):
            self._run("DELETE FROM thing WHERE id = :id", id=thing_id)

    def close(self) -> None:
        self.database.close()
        if self.link:
            self.link.close()

    def _run(self, statement: str, **values: Any) -> None:
        self.database.transact(lambda transaction: transaction.execute(text(statement), values))

    def _load(self, field: str, value: Any) -> Thing | None:
        def look(transaction: Transaction) -> Thing | None:
            row = transaction.execute(text(f"SELECT * FROM thing WHERE {field} = :value"), {"value": value})
            found = row.one_or_none()
            return Thing(**found._mapping) if found else None

        thing = self.database.read(look)
        self.loads += 1
        self.after_load()
        return thing
