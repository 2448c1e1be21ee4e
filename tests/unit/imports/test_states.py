"""An import's states: what may follow what, and what belongs to each change."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from region_silo.imports.domain import (
    DataImport,
    Effect,
    Event,
    ImpossibleChangeError,
    Scope,
    State,
    back_off_s,
    change,
)

_FINAL = {State.SUCCEEDED, State.FAILED}
_ORDER = [
    State.UPLOADING,
    State.QUEUED,
    State.WRITING,
    State.RESERVING,
    State.FINISHING,
    State.SUCCEEDED,
    State.FAILED,
]


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
    assert effects == {Effect.ACTIVATE_ORGANIZATIONS, Effect.CLOSE_REQUEST, Effect.REMOVE_FILE}


@pytest.mark.parametrize("state", [State.WRITING, State.RESERVING, State.FINISHING])
def test_a_failed_import_closes_its_request_opens_nothing_and_keeps_its_file(state: State) -> None:
    assert change(state, Event.GAVE_UP) == (State.FAILED, frozenset({Effect.CLOSE_REQUEST}))


@pytest.mark.parametrize("seed", range(50))
def test_no_schedule_of_events_leaves_a_final_state_or_goes_back(seed: int) -> None:
    chooser = random.Random(seed)
    state = State.UPLOADING
    closed = 0
    for _ in range(200):
        try:
            following, effects = change(state, chooser.choice(list(Event)))
        except ImpossibleChangeError:
            continue
        assert state not in _FINAL
        assert _ORDER.index(following) >= _ORDER.index(state)
        closed += Effect.CLOSE_REQUEST in effects
        state = following
    assert closed == (state in _FINAL)


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
    )
    assert waiting.objects_per_second(begin) == 0
    writing = replace(waiting, started_at=begin)
    assert writing.objects_per_second(begin) == 0
    assert writing.objects_per_second(begin + timedelta(seconds=5)) == 2
    done = replace(writing, ended_at=begin + timedelta(seconds=2))
    assert done.objects_per_second(begin + timedelta(hours=5)) == 5
