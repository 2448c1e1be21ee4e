"""An import's states: what may follow what, and what belongs to each change."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_silo.imports.domain import (
    RUNNING,
    DataImport,
    Effect,
    Event,
    ImpossibleChangeError,
    Scope,
    State,
    after_batch,
    back_off_s,
    change,
    may_change,
    seconds_left,
)


def test_the_way_of_an_import_that_goes_well() -> None:
    state = State.UPLOADING
    seen = [state]
    for event in (
        Event.RECEIVED,
        Event.LEASED,
        Event.ROWS_WRITTEN,
        Event.LEASED,
        Event.SLUGS_APPLIED,
        Event.LEASED,
        Event.FINISHED,
    ):
        state, _ = change(state, event)
        seen.append(state)
    assert seen == [
        State.UPLOADING,
        State.QUEUED,
        State.WRITING,
        State.RESERVING,
        State.RESERVING,
        State.FINISHING,
        State.FINISHING,
        State.SUCCEEDED,
    ]


def test_organizations_are_opened_and_the_request_is_closed_with_the_success() -> None:
    assert change(State.RESERVING, Event.SLUGS_APPLIED) == (State.FINISHING, frozenset())
    _, effects = change(State.FINISHING, Event.FINISHED)
    assert effects == {Effect.ACTIVATE_ORGANIZATIONS, Effect.CLOSE_REQUEST, Effect.SPARE_FILE}


@pytest.mark.parametrize("state", [State.WRITING, State.RESERVING, State.FINISHING])
def test_a_failed_import_closes_its_request_opens_nothing_and_keeps_its_file(state: State) -> None:
    assert change(state, Event.GAVE_UP) == (State.FAILED, frozenset({Effect.CLOSE_REQUEST}))


@pytest.mark.parametrize("seed", range(50))
def test_no_schedule_of_events_leaves_what_is_final_or_works_on_a_file_that_is_removed(seed: int) -> None:
    chooser = random.Random(seed)
    state = State.UPLOADING
    file_is_here, retried, undone = True, False, False
    for _ in range(200):
        event = chooser.choice(list(Event))
        if undone and event is Event.RETRIED:
            continue  # imports.life knows that its rows were undone
        try:
            following, effects = change(state, event)
        except ImpossibleChangeError:
            assert not may_change(state, event)
            continue
        assert may_change(state, event)
        assert state is not State.CANCELLED or event is Event.UNDO, "what was cancelled went on"
        asked = (Event.RESUMED, Event.RETRIED, Event.CANCELLED, Event.UNDO)
        assert state in (*RUNNING, State.UPLOADING) or event in asked
        assert (Effect.ACTIVATE_ORGANIZATIONS in effects) == (following is State.SUCCEEDED)
        assert (Effect.REMOVE_FILE in effects) == (following in (State.CANCELLED, State.UNDONE))
        retried, undone = retried or event is Event.RETRIED, undone or event is Event.UNDO
        assert not undone or following in (State.UNDOING, State.UNDONE, State.FAILED, State.CANCELLED)
        if following in (State.SUCCEEDED, State.FAILED, State.STOPPED) and not undone:
            assert Effect.CLOSE_REQUEST in effects
        if following is State.CANCELLED and state in (*RUNNING, State.PAUSED):
            assert Effect.CLOSE_REQUEST in effects, "its request would run for ever"
        if event is Event.RETRIED and state is State.SUCCEEDED:
            file_is_here = True  # what succeeded with errors keeps its file; the runner looks at their count
        assert file_is_here or following not in RUNNING or following is State.UNDOING
        file_is_here = file_is_here and Effect.REMOVE_FILE not in effects
        state = following


class _Imported:
    """An import as its process and its clients see it: batches, some with errors, and wishes at any time."""

    def __init__(self, chooser: random.Random) -> None:
        self.failing = {place for place in range(12) if chooser.random() < 0.2}
        self.continue_on_error = chooser.random() < 0.3
        self.state = State.QUEUED
        self.wanted: State | None = None
        self.written: list[int] = []
        self.tried: set[int] = set()

    def work(self, batches_max: int) -> None:
        """One stretch of work; it may end in the middle, as if the process had been killed."""
        if self.state not in RUNNING:
            return
        self.state, _ = change(self.state, Event.LEASED)
        self._settle(0)
        while self.state is State.WRITING and batches_max:
            place = len(self.written) if not self.tried else min(self.tried)
            if place == 12:
                self.state, _ = change(self.state, Event.ROWS_WRITTEN)
                return
            errors = int(place in self.failing)
            if self.tried:
                self.tried.discard(place)
            else:
                self.written.append(place)
            self._settle(errors)
            batches_max -= 1
        if self.state is State.RESERVING:
            self.state, _ = change(self.state, Event.SLUGS_APPLIED)

    def wish(self, event: Event, *, leased: bool) -> None:
        """As region_silo.imports.life does it."""
        if not may_change(self.state, event):
            return
        if leased and event in (Event.PAUSED, Event.CANCELLED) and self.state in RUNNING:
            if self.wanted is not State.CANCELLED:
                self.wanted, _ = change(self.state, event)
            return
        if event is Event.RETRIED:
            self.tried = {place for place in self.written if place in self.failing}
        self.state, _ = change(self.state, event)

    def _settle(self, errors: int) -> None:
        event = after_batch(self.wanted, errors, self.continue_on_error)
        if event is not None:
            self.state, _ = change(self.state, event)
            self.wanted = None


@pytest.mark.parametrize("seed", range(100))
def test_whatever_is_wished_and_killed_each_batch_is_written_once_and_errors_stop_it(seed: int) -> None:
    chooser = random.Random(seed)
    run = _Imported(chooser)
    for _ in range(60):
        match chooser.randrange(6):
            case 0:
                run.wish(Event.PAUSED, leased=chooser.random() < 0.5)
            case 1:
                run.wish(Event.RESUMED, leased=False)
            case 2:
                run.wish(Event.RETRIED, leased=False)
            case 3 if chooser.random() < 0.1:
                run.wish(Event.CANCELLED, leased=chooser.random() < 0.5)
            case _:
                run.work(chooser.randint(0, 5))
        assert run.written == list(range(len(run.written)))
        if run.state is State.STOPPED:
            assert not run.continue_on_error
            assert run.failing & set(run.written)
    if run.state is State.SUCCEEDED:
        assert len(run.written) == 12
        assert run.continue_on_error or not run.failing


@pytest.mark.parametrize(
    ("wanted", "errors", "continue_on_error", "event"),
    [
        (None, 0, False, None),
        (None, 3, True, None),
        (None, 3, False, Event.ERRORS_FOUND),
        (State.PAUSED, 0, False, Event.PAUSED),
        (State.PAUSED, 3, False, Event.ERRORS_FOUND),
        (State.PAUSED, 3, True, Event.PAUSED),
        (State.CANCELLED, 3, False, Event.CANCELLED),
    ],
)
def test_behind_a_batch_an_end_goes_before_errors_and_errors_before_a_pause(
    wanted: State | None, errors: int, continue_on_error: bool, event: Event | None
) -> None:
    assert after_batch(wanted, errors, continue_on_error) is event


def test_the_time_that_is_left_is_told_only_while_rows_are_written_and_come_on() -> None:
    assert seconds_left(State.WRITING, 100, 20.0) == 5
    assert seconds_left(State.WRITING, 100, 0.0) is None
    assert seconds_left(State.RESERVING, 0, 20.0) is None


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    assert [back_off_s(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert back_off_s(10_000) == 30


def test_each_scope_has_its_permission() -> None:
    assert (Scope.USER.permission, Scope.ORGANIZATION.permission) == ("silo:operate", "import:write")


def test_the_rate_counts_from_the_begin_of_writing_to_the_end() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    waiting = DataImport(
        id=1,
        principal="tokens/1",
        request_id="",
        scope=Scope.ORGANIZATION,
        state=State.QUEUED,
        size_bytes=1,
        sha256="",
        object_count=10,
        done_count=10,
        finding_count=0,
        models=(),
        error=None,
        attempts=0,
        peer_failures=0,
        asked_at=None,
        created_at=begin,
        started_at=None,
        ended_at=None,
        updated_at=begin,
    )
    assert waiting.objects_per_second(begin) == 0
    writing = replace(waiting, started_at=begin)
    assert writing.objects_per_second(begin) == 0
    assert writing.objects_per_second(begin + timedelta(seconds=5)) == 2
    done = replace(writing, ended_at=begin + timedelta(seconds=2))
    assert done.objects_per_second(begin + timedelta(hours=5)) == 5
