"""The order of undoing: what refers goes before what it refers to, and a user is looked at as a whole."""

from shared.importing.registry import USER, models
from shared.importing.undo_order import (
    ADDRESSES_OF_USERS,
    EMAIL,
    EMAILS_OF_USERS,
    PARTS_OF_USERS,
    Phase,
    Step,
    steps_of,
)

_STEPS = steps_of(list(models()))
_PLACES = {step.model: place for place, step in enumerate(_STEPS) if step.phase is Phase.UNDO}


def test_every_model_is_undone_once_and_behind_all_that_refer_to_it() -> None:
    undone = [step.model for step in _STEPS if step.phase is Phase.UNDO]
    assert sorted(undone) == sorted([*models(), EMAILS_OF_USERS, ADDRESSES_OF_USERS])
    for name, model in models().items():
        for reference in model.references:
            if reference.model in models():
                assert _PLACES[name] < _PLACES[reference.model], (name, reference)


def test_who_stays_is_known_before_the_first_part_of_a_user_goes_and_addresses_go_last() -> None:
    marks = [place for place, step in enumerate(_STEPS) if step.phase is Phase.MARK]
    parts = [_PLACES[name] for name in (*PARTS_OF_USERS, EMAILS_OF_USERS)]
    assert _STEPS[max(marks)].model == USER
    assert max(marks) < min(parts)
    assert max(parts) < _PLACES[USER] < _PLACES[ADDRESSES_OF_USERS] < _PLACES[EMAIL]


def test_whatever_refers_to_users_but_their_parts_goes_before_it_is_looked_who_stays() -> None:
    first = min(place for place, step in enumerate(_STEPS) if step.phase is Phase.MARK)
    for name, model in models().items():
        if USER in {each.model for each in model.references} and name not in PARTS_OF_USERS:
            assert _PLACES[name] < first, name


def test_an_import_without_users_has_none_of_their_steps() -> None:
    names = ["sentry.option", EMAIL, "sentry.organization"]
    assert steps_of(names) == [
        Step(Phase.BEGIN, ""),
        Step(Phase.UNDO, EMAIL),
        Step(Phase.UNDO, "sentry.organization"),
        Step(Phase.UNDO, "sentry.option"),
    ]
