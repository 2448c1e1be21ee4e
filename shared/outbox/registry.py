"""Which categories a silo sends and which it receives; every category has one mode, one direction and one handler.

Checked when the process starts: a mistake here is a programmer's error, not a state of the system.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from shared.database import Transaction
from shared.outbox.domain import SKIP, Category, Message, Mode, Parked, SubjectState


class LatestSource(Protocol):
    """Reads the state that a LATEST category delivers."""

    def read(self, transaction: Transaction, subjects: Sequence[str]) -> Mapping[str, SubjectState]:
        """The state of each subject as (version, deleted, state); state is JSON values.

        A deleted subject answers from its tombstone. One that is left out was deleted, and that was delivered before.
        """
        ...


class Handler(Protocol):
    """Applies messages of one category."""

    def __call__(self, transaction: Transaction, messages: Sequence[Message]) -> None:
        """Apply all of them in the transaction; raises ServiceError to refuse.

        LATEST messages are newer than anything applied before, one a subject; EVERY messages come once, in their order.
        """
        ...


class OnParked(Protocol):
    """Told when a message of a category is given up."""

    def __call__(self, transaction: Transaction, parked: Parked) -> None:
        """In the transaction that parks or skips it: close what waits for the message. It is undone when it raises."""
        ...


class Registry:
    """A silo's categories. `sends` maps a category to its source (None for EVERY), `receives` to its handler, and
    `on_parked` a sent category to who is told when one of its messages is given up. Nobody may skip what is `needed`:
    another silo would wait for it for ever.
    """

    def __init__(
        self,
        *,
        sends: Mapping[Category, LatestSource | None] | None = None,
        receives: Mapping[Category, Handler] | None = None,
        on_parked: Mapping[Category, OnParked] | None = None,
        needed: Collection[Category] = (),
    ) -> None:
        self._sources: dict[str, LatestSource | None] = {}
        self._handlers: dict[str, Handler] = {}
        self._modes: dict[str, Mode] = {}
        for category, source in (sends or {}).items():
            self._add(category)
            latest = category.mode is Mode.LATEST
            assert latest == (source is not None), f"{category.name}: a source belongs to LATEST, and only to it"
            self._sources[category.name] = source
        for category, handler in (receives or {}).items():
            self._add(category)
            self._handlers[category.name] = handler
        self._on_parked = {category.name: told for category, told in (on_parked or {}).items()}
        assert self._on_parked.keys() <= self._sources.keys(), "only who sends a category is told that it parked"
        self._needed = frozenset(category.name for category in needed)
        assert self._needed <= self._sources.keys(), "only what is sent can be needed"

    def sends(self, category: str) -> bool:
        """Whether this silo sends the category."""
        return category in self._sources

    def source(self, category: str) -> LatestSource | None:
        """The source of a LATEST category that this silo sends. Raises LookupError for what it does not send."""
        return self._sources[category]

    def handler(self, category: str) -> Handler | None:
        """The handler of a category that this silo receives, or None."""
        return self._handlers.get(category)

    def on_parked(self, category: str) -> OnParked | None:
        """Who is told when a message of the category is given up."""
        return self._on_parked.get(category)

    def is_needed(self, category: str) -> bool:
        """Whether messages of the category must not be skipped."""
        return category in self._needed

    def is_latest(self, category: str) -> bool:
        """Whether the category coalesces. Raises LookupError for an unknown one."""
        return self._modes[category] is Mode.LATEST

    def _add(self, category: Category) -> None:
        assert category.name != SKIP, f"{SKIP} is no category of its own"
        assert category.name not in self._modes, f"category {category.name} has two directions, modes or handlers"
        self._modes[category.name] = category.mode
