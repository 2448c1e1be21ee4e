import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from shared import deadline, errors
from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2, SegmentOutOfRangeError, describe
from tests.clock import FakeClock
from tests.integration.snowflake.conftest import OpenAllocator

pytestmark = pytest.mark.integration
BURST = 163_840


@contextmanager
def counted_statements(allocator: SnowflakeAllocator) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = allocator._database.engine
    sqlalchemy.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sqlalchemy.event.remove(engine, "before_cursor_execute", note)


def test_the_first_id_is_of_this_second_and_carries_the_number(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    parts = describe(open_allocator(number=7).take(1)[0])
    assert (parts.layout, parts.time, parts.region, parts.sequence) == (2, clock.now().replace(microsecond=0), 7, 0)


def test_ids_ascend_through_the_whole_burst(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    ids = open_allocator().take(BURST)
    assert ids == sorted(set(ids))
    assert len(ids) == BURST
    assert describe(ids[-1]).time == clock.now() + timedelta(seconds=4)


def test_beyond_the_burst_ids_are_exhausted_until_the_next_second(
    open_allocator: OpenAllocator, clock: FakeClock
) -> None:
    allocator = open_allocator()
    first = allocator.take(BURST)
    with pytest.raises(errors.IdsExhausted) as refused:
        allocator.take(1)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    clock.advance(refused.value.retry_after_s or 0)
    second = allocator.take(LAYOUT_2.per_second)
    assert min(second) > max(first)
    with pytest.raises(errors.IdsExhausted):
        allocator.take(1)


def test_case_06_and_fault_F3_exhaustion_is_typed_and_costs_no_statement(open_allocator: OpenAllocator) -> None:
    other, allocator = open_allocator(), open_allocator()
    other.take(BURST)
    with pytest.raises(errors.IdsExhausted):
        allocator.take(1)
    with counted_statements(allocator) as statements:
        for _ in range(500):
            with pytest.raises(errors.IdsExhausted):
                allocator.take(1)
    assert statements == []


def test_a_refused_call_takes_nothing(open_allocator: OpenAllocator) -> None:
    allocator = open_allocator()
    allocator.take(1)
    with pytest.raises(errors.IdsExhausted) as refused:
        allocator.take(BURST)
    assert refused.value.retry_after_s == pytest.approx(1.0)
    rest = allocator.take(BURST - 1)
    assert len(set(rest)) == BURST - 1


@pytest.mark.parametrize("count", [0, -1, BURST + 1])
def test_a_count_that_can_never_fit_is_an_invalid_argument(open_allocator: OpenAllocator, count: int) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        open_allocator().take(count)
    assert [violation.field for violation in refused.value.violations] == ["count"]


def test_fault_F2_a_clock_set_back_ten_minutes_is_refused_and_repeats_nothing(
    open_allocator: OpenAllocator, clock: FakeClock
) -> None:
    allocator, other = open_allocator(), open_allocator()
    before = allocator.take(100) + other.take(100)
    clock.advance(-600)
    for refusing in (allocator, other, open_allocator()):
        with pytest.raises(errors.ClockBehind) as refused:
            refusing.take(1)
        assert refused.value.retry_after_s == pytest.approx(596, abs=1)
    clock.advance(596)
    after = allocator.take(100) + other.take(100)
    assert len({*before, *after}) == 400


def test_a_clock_set_back_two_seconds_goes_on_without_a_repeat(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    allocator = open_allocator()
    before = allocator.take(100)
    clock.advance(-2)
    assert min(allocator.take(100)) > max(before)


def test_a_clock_before_the_epoch_is_behind(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    clock.advance(-365 * 86_400)
    with pytest.raises(errors.ClockBehind):
        open_allocator().take(1)


def test_a_range_is_dropped_after_a_second(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    allocator = open_allocator()
    allocator.take(1)
    clock.advance(1.0)
    assert describe(allocator.take(1)[0]).time == clock.now() - timedelta(seconds=1)
    clock.advance(0.5)
    parts = describe(allocator.take(1)[0])
    assert parts.time == clock.now().replace(microsecond=0)


def test_ranges_grow_with_use(open_allocator: OpenAllocator) -> None:
    allocator = open_allocator()
    with counted_statements(allocator) as statements:
        ids = [allocator.take(1)[0] for _ in range(20_000)]
    assert len(set(ids)) == 20_000
    assert len(statements) < 20


def test_threads_and_processes_share_without_a_repeat(open_allocator: OpenAllocator) -> None:
    allocators = [open_allocator(), open_allocator()]
    begin = threading.Barrier(8)

    def take_many(worker: int) -> list[int]:
        begin.wait()
        return [snowflake for count in range(1, 60) for snowflake in allocators[worker % 2].take(count)]

    with ThreadPoolExecutor(8) as pool:
        ids = [snowflake for taken in pool.map(take_many, range(8)) for snowflake in taken]
    assert len(set(ids)) == len(ids) == 8 * sum(range(1, 60))


def test_the_first_row_of_another_process_is_not_taken_for_used_up(open_allocator: OpenAllocator) -> None:
    first, second = open_allocator(), open_allocator()
    taken: list[int] = []

    def overtake(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "UPDATE snowflake_mark" in statement and not taken:
            taken.extend(second.take(1))

    event.listen(first._database.engine, "after_cursor_execute", overtake)
    ids = first.take(1)
    assert len({*ids, *taken}) == 2


def test_layout_one_gives_sixteen_a_second_after_its_burst(open_allocator: OpenAllocator, clock: FakeClock) -> None:
    allocator = open_allocator(number=4095, layout=LAYOUT_1)
    ids = allocator.take(80)
    for _ in range(3):
        with pytest.raises(errors.IdsExhausted):
            allocator.take(1)
        clock.advance(1)
        ids += [allocator.take(1)[0] for _ in range(16)]
    assert len(set(ids)) == 80 + 48
    assert {describe(snowflake).region for snowflake in ids} == {4095}


def test_the_layouts_of_one_number_do_not_meet(open_allocator: OpenAllocator) -> None:
    ids = open_allocator(layout=LAYOUT_1).take(80) + open_allocator().take(80)
    assert len(set(ids)) == 160


@pytest.mark.parametrize(("number", "layout"), [(32, LAYOUT_2), (-1, LAYOUT_2), (4096, LAYOUT_1)])
def test_a_number_that_the_layout_cannot_hold_is_refused_at_the_start(
    open_allocator: OpenAllocator, number: int, layout: Any
) -> None:
    with pytest.raises(SegmentOutOfRangeError, match="region"):
        open_allocator(number=number, layout=layout)


def test_a_call_does_not_wait_beyond_its_deadline(open_allocator: OpenAllocator) -> None:
    allocator = open_allocator()
    with allocator._lock, deadline.within(0.01), pytest.raises(errors.DeadlineExceeded):
        allocator.take(1)
