"""Which references decide whether a row goes, by scope; and that every model can be read."""

import pytest

from control_silo.model_exports import readings as of_control
from region_silo.exports import readings as of_region
from region_silo.exports.domain import Event, ImpossibleChangeError, State, back_off_s, change
from shared.exporting import closure
from shared.exporting.array import JsonArray
from shared.exporting.readings import Reading
from shared.importing.columns import columns_of
from shared.importing.registry import ImportScope, Silo, models

_OTHERS = [scope for scope in ImportScope if scope is not ImportScope.GLOBAL]


def test_every_model_is_read_by_the_silo_that_owns_it() -> None:
    for silo, readings in ((Silo.CONTROL, of_control.READINGS), (Silo.REGION, of_region.READINGS)):
        owned = {name for name, model in models().items() if model.silo is silo}
        assert set(readings) == owned


def test_a_reading_has_every_field_and_reference_of_its_model() -> None:
    for name, reading in {**of_control.READINGS, **of_region.READINGS}.items():
        assert isinstance(reading, Reading)
        assert set(reading.references) == {each.field for each in models()[name].references}
        if reading.fields is not None:
            assert list(reading.fields) == [column.name for column in columns_of(name)]


@pytest.mark.parametrize("scope", _OTHERS, ids=lambda scope: scope.name)
def test_outside_global_scope_all_references_are_checked_but_the_inviter(scope: ImportScope) -> None:
    for name, model in models().items():
        unchecked = {each.field for each in model.references} - {each.field for each in closure.checked(name, scope)}
        assert unchecked == ({"inviter_id"} if name == "sentry.organizationmember" else set())


def test_in_global_scope_only_controls_rows_about_regions_are_checked() -> None:
    found = {
        name: {each.field for each in closure.checked(name, ImportScope.GLOBAL)}
        for name in models()
        if closure.checked(name, ImportScope.GLOBAL)
    }
    assert all(models()[name].silo is Silo.CONTROL for name in found)
    assert found["sentry.useroption"] == {"organization_id", "project_id"}
    assert found["sentry.sentryapp"] >= {"owner_id"}
    assert found["sentry.sentryappcomponent"] == {"sentry_app"}, "it hangs on an app, and that on an organization"
    assert "sentry.useremail" not in found


def test_whatever_is_looked_back_to_is_remembered() -> None:
    for scope in ImportScope:
        for model in closure.exported_models(scope):
            for each in closure.checked(model.name, scope):
                assert each.model in closure.remembered(scope)
    assert "sentry.user" not in closure.remembered(ImportScope.GLOBAL), "the largest tables need no memory there"


def test_references_lead_back_only() -> None:
    for model in models().values():
        for each in model.references:
            target = models().get(each.model)
            assert target is None or target.order < model.order, f"{model.name}.{each.field} leads to itself or ahead"


def test_an_array_is_the_same_in_any_pieces() -> None:
    pieces: list[bytes] = []
    array = JsonArray(pieces.append)
    for pk in range(1, 4):
        array.add("sentry.user", pk, b'{"a":1}')
    array.finish()
    lines = b"".join(pieces).split(b"\n")
    assert lines[1] == b'{"model":"sentry.user","pk":1,"fields":{"a":1}},'
    assert lines[3] == b'{"model":"sentry.user","pk":3,"fields":{"a":1}}'
    assert array.objects == 3
    pieces.clear()
    empty = JsonArray(pieces.append)
    empty.finish()
    assert pieces == [b"[]\n"]


def test_an_end_is_final() -> None:
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        assert change(state, Event.CANCELLED) is state
        for event in (Event.LEASED, Event.BUILT, Event.GAVE_UP):
            with pytest.raises(ImpossibleChangeError):
                change(state, event)
    assert [back_off_s(failures) for failures in (1, 2, 6, 60)] == [1, 2, 30, 30]
