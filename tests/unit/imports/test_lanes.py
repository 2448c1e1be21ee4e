"""Models of the two silos are written side by side, each behind those that it needs; one cut stops both lanes."""

import threading
from collections.abc import Callable

import pytest

from region_silo.imports.lanes import Lanes, LaneTask, in_one_lane, tasks_of
from region_silo.imports.own_addresses import OWN_ADDRESSES, with_own_addresses
from region_silo.imports.store import LeaseLostError
from region_silo.imports.writing_order import in_order_of_writing
from shared.importing.index import ModelRows
from shared.importing.registry import Silo, models

_WAIT_S = 20.0
_FILE = ("sentry.organization", "sentry.user", "sentry.organizationmember", "sentry.email", "sentry.useremail")


class Broken(Exception):
    pass


def _tasks() -> list[LaneTask]:
    order = [each.model for each in in_order_of_writing(tuple(ModelRows(name, 1) for name in _FILE))]
    return tasks_of(order, [name for name in order if models()[name].silo is Silo.CONTROL])


def _run(tasks: list[LaneTask], work: Callable[[Lanes, str], None]) -> Lanes:
    lanes: Lanes

    def of_model(model: str) -> None:
        work(lanes, model)

    lanes = Lanes(tasks, of_model)
    lanes.run()
    return lanes


def test_a_model_of_one_silo_is_written_while_one_of_the_other_is() -> None:
    met = threading.Barrier(2)
    done: list[str] = []

    def work(_: Lanes, model: str) -> None:
        if model in ("sentry.organization", "sentry.user"):
            met.wait(_WAIT_S)
        done.append(model)

    _run(_tasks(), work)
    assert sorted(done) == sorted(_FILE)


def test_every_model_comes_behind_all_that_it_refers_to_and_those_of_a_lane_one_after_the_other() -> None:
    order = [name for name, model in models().items() if model.table or model.silo is Silo.CONTROL]
    tasks = tasks_of(order, [name for name in order if models()[name].silo is Silo.CONTROL])
    done: set[str] = set()
    under_way: list[str] = []

    def work(_: Lanes, model: str) -> None:
        references = {each.model for each in models()[model].references} | set(models()[model].after)
        assert (references - {model}) & set(order) <= done
        assert models()[model].silo not in [models()[each].silo for each in under_way]
        under_way.append(model)
        done.add(model)
        under_way.remove(model)

    _run(tasks, work)
    assert done == set(order)


@pytest.mark.parametrize("has_lanes", [True, False])
def test_own_addresses_are_asked_for_behind_all_that_a_file_says_of_users(has_lanes: bool) -> None:
    tasks = _tasks() if has_lanes else in_one_lane(list(_FILE))
    done: list[str] = []
    _run(with_own_addresses(tasks, _FILE), lambda _, model: done.append(model))
    in_control = [model for model in done if model == OWN_ADDRESSES or models()[model].silo is Silo.CONTROL]
    assert in_control == ["sentry.user", "sentry.email", "sentry.useremail", OWN_ADDRESSES]


def test_a_file_whose_users_are_not_taken_has_no_such_task() -> None:
    tasks = _tasks()
    assert with_own_addresses(tasks, [each for each in _FILE if each != "sentry.user"]) == tasks


def test_a_lane_takes_a_later_model_while_an_earlier_one_waits_for_the_other_lane() -> None:
    began: list[str] = []
    tasks = [
        LaneTask("organization", Silo.REGION, frozenset()),
        LaneTask("user", Silo.CONTROL, frozenset()),
        LaneTask("member", Silo.REGION, frozenset({"user"})),
        LaneTask("project", Silo.REGION, frozenset({"organization"})),
    ]
    project_began = threading.Event()

    def work(_: Lanes, model: str) -> None:
        began.append(model)
        if model == "user":
            assert project_began.wait(_WAIT_S)
        if model == "project":
            project_began.set()

    _run(tasks, work)
    assert [model for model in began if model != "user"] == ["organization", "project", "member"]


def test_a_lane_that_waits_does_early_what_it_can_after_each_step_of_the_other() -> None:
    tasks = [
        LaneTask("organization", Silo.REGION, frozenset()),
        LaneTask("user", Silo.CONTROL, frozenset({"organization"})),
        LaneTask("member", Silo.REGION, frozenset({"organization", "user"})),
    ]
    steps, answered, done_early = 0, -1, 0
    changed = threading.Condition()
    began: list[str] = []

    def has_answered() -> bool:
        return answered == steps

    def work(model: str) -> None:
        nonlocal steps
        began.append(model)
        while model == "user" and steps < 3:
            steps += 1
            lanes.step()
            with changed:
                assert changed.wait_for(has_answered, _WAIT_S)

    def early(model: str, needs: frozenset[str]) -> bool:
        nonlocal answered, done_early
        assert (model, needs) == ("member", frozenset({"user"}))
        if done_early < steps - 1:
            done_early += 1
            return True
        with changed:
            answered = steps
            changed.notify_all()
        return False

    lanes = Lanes(tasks, work, early)
    lanes.run()
    assert began == ["organization", "user", "member"]
    assert done_early == 2


def test_nothing_is_done_early_for_what_needs_a_model_that_has_not_begun() -> None:
    tasks = [
        LaneTask("user", Silo.CONTROL, frozenset()),
        LaneTask("email", Silo.CONTROL, frozenset({"user"})),
        LaneTask("member", Silo.REGION, frozenset({"email"})),
    ]
    done: list[str] = []
    asked: list[list[str]] = []

    def early(_model: str, _needs: frozenset[str]) -> bool:
        asked.append([*done])
        return False

    Lanes(tasks, done.append, early).run()
    assert done == ["user", "email", "member"]
    assert all("user" in each for each in asked)


def test_without_lanes_the_order_is_the_one_given() -> None:
    done: list[str] = []
    _run(in_one_lane(["b", "a", "c"]), lambda _, model: done.append(model))
    assert done == ["b", "a", "c"]
    _run([], lambda _, model: done.append(model))


@pytest.mark.parametrize("broken", ["organization", "user"])
def test_what_cuts_one_lane_is_raised_when_the_other_has_stopped_too(broken: str) -> None:
    tasks = [
        LaneTask("organization", Silo.REGION, frozenset()),
        LaneTask("team", Silo.REGION, frozenset({"organization"})),
        LaneTask("user", Silo.CONTROL, frozenset()),
        LaneTask("email", Silo.CONTROL, frozenset({"user"})),
    ]
    done: list[str] = []
    met = threading.Barrier(2)

    def work(lanes: Lanes, model: str) -> None:
        met.wait(_WAIT_S)
        if model == broken:
            raise Broken
        while not lanes.is_cut:
            pass
        done.append(model)

    with pytest.raises(Broken):
        _run(tasks, work)
    assert done == [{"organization": "user", "user": "organization"}[broken]]


def test_a_lease_that_the_other_lane_gave_back_is_not_told_as_lost() -> None:
    tasks = [LaneTask("organization", Silo.REGION, frozenset()), LaneTask("user", Silo.CONTROL, frozenset())]

    met = threading.Barrier(2)

    def work(lanes: Lanes, model: str) -> None:
        met.wait(_WAIT_S)
        if model == "user":
            raise LeaseLostError
        while not lanes.is_cut:
            pass
        raise Broken

    with pytest.raises(Broken):
        _run(tasks, work)


def test_a_lane_that_waits_is_woken_by_the_cut_of_the_other() -> None:
    tasks = [
        LaneTask("user", Silo.CONTROL, frozenset()),
        LaneTask("member", Silo.REGION, frozenset({"user"})),
    ]

    def work(_: Lanes, model: str) -> None:
        assert model == "user"
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        _run(tasks, work)


def test_models_that_need_each_other_end_the_run_in_place_of_waiting_for_ever() -> None:
    tasks = [
        LaneTask("first", Silo.REGION, frozenset()),
        LaneTask("here", Silo.REGION, frozenset({"there"})),
        LaneTask("there", Silo.CONTROL, frozenset({"here"})),
    ]
    done: list[str] = []
    with pytest.raises(AssertionError, match="need each other"):
        _run(tasks, lambda _, model: done.append(model))
    assert done == ["first"]
