"""When users get the addresses that are their own: behind all that the file says of users and addresses.

Control makes those that the file has not brought. So it is asked only when everything is written that could bring one,
and for all users of the import, each time that its file is gone through: what is there is not made again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from region_silo.imports import store
from region_silo.imports.domain import DataImport, State
from region_silo.imports.lanes import LaneTask
from region_silo.imports.peers import ControlPeer
from region_silo.imports.resting import RestedError, rest_if_wanted
from region_silo.imports.sharing import TurnOverError
from region_silo.imports.store import Lease
from shared import barrier
from shared.database import Database, Transaction
from shared.importing.handover import UsersToComplete
from shared.importing.registry import USER
from shared.importing.undo_order import EMAIL, USER_EMAIL

OWN_ADDRESSES = "own addresses of users"
"""The task of the lanes, beside models."""


def with_own_addresses(tasks: Sequence[LaneTask], taken: Sequence[str]) -> list[LaneTask]:
    """The tasks, with one more, the last of its lane, when the file has users among the models that are `taken`."""
    lanes = {task.model: task.lane for task in tasks}
    if USER not in taken:
        return list(tasks)
    needs = frozenset({USER, EMAIL, USER_EMAIL}) & frozenset(lanes)
    return [*tasks, LaneTask(OWN_ADDRESSES, lanes[USER], needs)]


class OwnAddresses:
    """Has control complete the users of one import, which is worked on under a lease."""

    def __init__(
        self, database: Database, control: ControlPeer, lease: Lease, lease_s: float, data_import: DataImport
    ) -> None:
        self._database = database
        self._control = control
        self._lease = lease
        self._lease_s = lease_s
        self._import = data_import

    def ask_for(self, do: Callable[[Callable[[], RestedError | None]], None]) -> None:
        """Call control until no user is left, each call as one batch by `do`. Raises what `do` does.

        That another import's turn has come is not heeded here, it is told again a turn later: all users would be gone
        through anew, and no turn might suffice for them.
        """
        after: int | None = 0
        while after is not None:
            asked: list[int | None] = []
            with suppress(TurnOverError):
                do(partial(self._ask, after, asked))
            (after,) = asked

    def _ask(self, after: int, asked: list[int | None]) -> RestedError | None:
        """One call; `asked` gets where the next begins, None when there is none."""
        rested = self._database.transact(self._hold)
        if rested is not None:
            return rested
        barrier.reach("import.completing")
        wanted = UsersToComplete(
            self._import.id, self._import.principal, self._import.terms, after, planned=self._import.is_plan
        )
        done = self._control.complete_users(wanted)
        asked.append(done.last if done.has_more else None)
        return None

    def _hold(self, transaction: Transaction) -> RestedError | None:
        """Hold on to the import; where no batch is at hand, what was asked for takes effect now."""
        wanted = store.renew(transaction, self._lease, self._lease_s)
        state = State.PLANNING if self._import.is_plan else State.WRITING
        return rest_if_wanted(transaction, self._lease, self._import, state, wanted)
