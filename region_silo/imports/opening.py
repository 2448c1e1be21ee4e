"""The end of an import: its organizations open to others, and control begins to hear of their members.

Before an organization opens, its members follow what the region knows of their users, whatever the file says; that is
done as soon as all of them are written, while control still writes or its slugs are on their way. An import of many
organizations opens them in several transactions; whoever asks for its end when the first ones are open comes too late.
The last transaction ends the import and its request, and notes that its members are to be told of. All of it may be cut
short anywhere and is done again from its beginning, where it finds little left to do.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from region_silo.imports import organization_store, store
from region_silo.imports.domain import DataImport, Effect, Event, State, change
from region_silo.imports.resting import RestedError, request_key, rest_if_wanted
from region_silo.imports.store import Lease
from region_silo.members import following, retelling
from region_silo.slugs.usecases import announce_organizations
from shared import barrier, requests
from shared.database import Database, Transaction

Changing = Callable[[Sequence[int]], AbstractContextManager[None]]
"""Encloses the transaction that opens organizations to others, so that caches of them are told."""


Check = Callable[[], object]
"""Raises when the work is to be cut short."""


@dataclass(frozen=True)
class OpeningLimits:
    """How many rows one transaction is about, and how long the lease is held on to.

    `rows_max`: organizations that open, or members that control is told of; `followers_max`: members that follow.
    """

    rows_max: int = 1000
    followers_max: int = 5000
    lease_s: float = 20.0


class Opening:
    """Ends one import under its lease."""

    def __init__(
        self, database: Database, lease: Lease, data_import: DataImport, limits: OpeningLimits, changing: Changing
    ) -> None:
        self._database = database
        self._lease = lease
        self._import = data_import
        self._limits = limits
        self._changing = changing

    def follow(self, check: Check = lambda: None) -> None:
        """Let the members follow their users, in the order of their ids; they do from then on. All rows of members are
        written. Raises LeaseLostError, and what `check` raises, which is asked before each transaction.
        """
        barrier.reach("import.before_following")
        first, last = self._database.read(lambda transaction: following.span(transaction, self._import.id))
        after_id = first - 1

        def work(transaction: Transaction) -> int:
            transaction.commit_without_waiting()  # the import's end waits for all that stands before it
            store.renew(transaction, self._lease, self._limits.lease_s)
            return following.follow(transaction, self._import.id, (after_id, last), self._limits.followers_max)

        while after_id < last:
            check()
            after_id = self._database.transact(work)
            barrier.reach("import.between_followings")

    def run(self) -> int:
        """Open all organizations and end the import, whose members follow their users; how many were opened. Raises
        RestedError, LeaseLostError.
        """
        opened, closed = 0, self._closed()
        while True:
            ids, is_last = closed[: self._limits.rows_max], len(closed) <= self._limits.rows_max
            work = partial(self._open, ids=ids, is_first=not opened, is_last=is_last)
            with self._changing(ids):
                rested = self._database.transact(work)
            if rested is not None:
                raise rested
            opened += len(ids)
            if is_last:
                return opened
            barrier.reach("import.between_openings")
            closed = self._closed()

    def _closed(self) -> list[int]:
        rows_max = self._limits.rows_max + 1
        return self._database.read(
            lambda transaction: organization_store.closed_ids(transaction, self._import.id, rows_max)
        )

    def _open(
        self, transaction: Transaction, *, ids: Sequence[int], is_first: bool, is_last: bool
    ) -> RestedError | None:
        state, effects = change(State.FINISHING, Event.FINISHED)
        wanted = store.renew(transaction, self._lease, self._limits.lease_s)
        if is_first:
            rested = rest_if_wanted(transaction, self._lease, self._import, State.FINISHING, wanted)
            if rested is not None:
                return rested
        if Effect.ACTIVATE_ORGANIZATIONS in effects:
            organization_store.activate(transaction, self._import.id, ids)
            announce_organizations(transaction, ids)
        if not is_last:
            return None
        store.end(transaction, self._lease, state, None)
        barrier.reach("import.in_finish")
        retelling.begin_of_import(transaction, self._import.id)
        if Effect.CLOSE_REQUEST in effects:
            key, was_given_up = request_key(self._import), self._import.tries > 0
            requests.finish(transaction, key, error=None, was_given_up=was_given_up)
        return None
