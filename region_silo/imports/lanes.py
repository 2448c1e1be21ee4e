"""Lets the models of the two silos be written side by side, for control's database is idle while the region's works.

A lane is one thread that writes the models of one silo, one after the other. A model is begun when all those that it
refers to, in either lane, are done; so a lane may take a later model first, and which rows stand at the end is the same
as with one lane. A lane that has to wait may write batches of its next model early whose rows refer to nothing that is
missing. What cuts one lane short stops the other behind its batch: no batch is at hand any more when `run` has
returned or raised.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass

from region_silo.imports.store import LeaseLostError
from shared.importing.registry import MEMBER, Silo, models

FOLLOWING = "members follow"
"""The task behind the region's models: members follow their users, while control still writes. No model."""


@dataclass(frozen=True)
class LaneTask:
    """One model of the file, the lane that it is written in, and the models of the file that must be done before."""

    model: str
    lane: Silo
    needs: frozenset[str]


class LaneCutError(Exception):
    """The other lane was cut short, and what is to be told is told there."""


def tasks_of(wanted: Sequence[str], handed: Collection[str]) -> list[LaneTask]:
    """The models in the order of writing; those that are `handed` over to control have a lane of their own."""
    present = frozenset(wanted)
    return [
        LaneTask(model, Silo.CONTROL if model in handed else Silo.REGION, _needed(model) & present) for model in wanted
    ]


def following_of(wanted: Sequence[str]) -> list[LaneTask]:
    """The task that stands behind all models, where there are members."""
    return [LaneTask(FOLLOWING, Silo.REGION, frozenset({MEMBER}))] if MEMBER in wanted else []


def in_one_lane(wanted: Sequence[str]) -> list[LaneTask]:
    """The models one after the other."""
    return [LaneTask(model, Silo.REGION, frozenset()) for model in wanted]


class Lanes:
    """Runs `work(model)` for each task, once. Tasks stand behind those that they need.

    `early(model, needs)` may do a part of the work while these needs are at hand, but not done; whether it has.
    """

    def __init__(
        self,
        tasks: Sequence[LaneTask],
        work: Callable[[str], None],
        early: Callable[[str, frozenset[str]], bool] = lambda _model, _needs: False,
    ) -> None:
        self._work = work
        self._early = early
        self._waiting: Mapping[Silo, list[LaneTask]] = {
            lane: [task for task in tasks if task.lane is lane] for lane in dict.fromkeys(task.lane for task in tasks)
        }
        self._undone = {task.model for task in tasks}
        self._at_hand = 0
        self._steps = 0
        self._changed = threading.Condition()
        self._cuts: list[BaseException] = []

    @property
    def is_cut(self) -> bool:
        """Whether a lane was cut short, so that no other batch may be begun."""
        return bool(self._cuts)

    def step(self) -> None:
        """Say that a part of some work is done: a lane that waits looks whether that suffices to do more."""
        with self._changed:
            self._steps += 1
            self._changed.notify_all()

    def run(self) -> None:
        """Returns when all is done. Raises what cut the first lane short, when both have come to rest."""
        if not self._waiting:
            return
        first, *others = self._waiting
        threads = [
            threading.Thread(target=copy_context().run, args=(self._run, lane), name=f"import-{lane.value}")
            for lane in others
        ]
        for thread in threads:
            thread.start()
        self._run(first)
        for thread in threads:
            thread.join()
        if self._cuts:
            raise self._told()

    def _run(self, lane: Silo) -> None:
        try:
            while (task := self._next(lane)) is not None:
                self._work(task.model)
                with self._changed:
                    self._undone.discard(task.model)
                    self._at_hand -= 1
                    self._steps += 1
                    self._changed.notify_all()
        except BaseException as cut:  # noqa: BLE001 - it is raised again where the lanes come together
            with self._changed:
                self._cuts.append(cut)
                self._changed.notify_all()

    def _next(self, lane: Silo) -> LaneTask | None:
        """The first model whose needs are done, waited for; None when the lane is done. Raises LaneCutError.

        The wait ends: the other lane has a model at hand, each of whose batches has its deadlines, or is about to.
        """
        waiting = self._waiting[lane]
        while waiting:
            with self._changed:
                if self._cuts:
                    raise LaneCutError
                ready = self._ready(lane)
                if ready is not None:
                    waiting.remove(ready)
                    self._at_hand += 1
                    return ready
                assert self._at_hand or any(map(self._ready, self._waiting)), "models need each other"
                seen, needs = self._steps, waiting[0].needs & self._undone
                is_begun = not any(task.model in needs for tasks in self._waiting.values() for task in tasks)
            if not (is_begun and self._early(waiting[0].model, needs)):
                with self._changed:
                    self._changed.wait_for(lambda seen=seen: self._cuts or self._steps != seen)  # type: ignore[misc]
        return None

    def _ready(self, lane: Silo) -> LaneTask | None:
        return next((task for task in self._waiting[lane] if not task.needs & self._undone), None)

    def _told(self) -> BaseException:
        """The first cut; but that the lease is lost tells nothing where the import came to rest in the other lane."""
        told = [cut for cut in self._cuts if not isinstance(cut, LeaseLostError | LaneCutError)]
        return (told or self._cuts)[0]


def _needed(model: str) -> frozenset[str]:
    known = models().get(model)
    if known is None:
        return frozenset()
    return frozenset({*(each.model for each in known.references), *known.after}) - {model}
