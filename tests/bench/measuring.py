"""How a figure is made: floor and ours in turn, the ratio of their medians, and every run kept for the reader."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One named ratio. `unit` is what `floor` and `ours` are in; `runs` are the pairs (floor, ours) as measured."""

    value: float | None
    floor: float | None
    ours: float | None
    unit: str
    runs: tuple[tuple[float, float], ...] = ()
    note: str = ""


def in_turn(floor: Callable[[], float], ours: Callable[[], float], *, rounds: int, unit: str, note: str = "") -> Figure:
    """Measure floor, ours, floor, ours ...; one unmeasured round first. The value is ours over floor.

    With rates a higher value is better, with times a lower one: the unit tells which it is.
    """
    floor()
    ours()
    return from_runs([(floor(), ours()) for _ in range(rounds)], unit=unit, note=note)


def from_runs(runs: Sequence[tuple[float, float]], *, unit: str, note: str = "") -> Figure:
    """The ratio of the medians of pairs (floor, ours) that were measured in turn."""
    middle_floor = statistics.median(pair[0] for pair in runs)
    middle_ours = statistics.median(pair[1] for pair in runs)
    return Figure(middle_ours / middle_floor, middle_floor, middle_ours, unit, tuple(runs), note)


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
