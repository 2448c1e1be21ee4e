"""Whatever is asked of an import, and wherever its process dies, it ends with the rows of an undisturbed run."""

import json
import random
from collections.abc import Callable

import pytest

from control_silo.model_imports import usecases as control_usecases
from region_silo.imports import own_batches, writer
from region_silo.imports.domain import DataImport, State
from region_silo.imports.writer import BatchLimits
from shared import barrier
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.living import ask, refusing
from tests.integration.imports.stack import ImportStack

pytestmark = pytest.mark.faults

_COUNT = range(1, 7)
_FILE = [
    rows.organization(1),
    *(rows.user(pk, last_active=rows.TIME) for pk in _COUNT),
    *(rows.member(pk, 1, pk) for pk in _COUNT),
    *(rows.team(pk, 1, f"team-{pk}") for pk in _COUNT),
    *(rows.member_team(pk, pk, pk) for pk in _COUNT),
]
_MODELS = ("sentry.user", "sentry.team", "sentry.organizationmember")
_LIMITS = {"rows_max": 2}


class Killed(BaseException):
    """Stands for the end of the process."""


class _Life:
    """Disturbs an import as the chooser says, until it is left in peace."""

    def __init__(self, stack: ImportStack, import_id: int, chooser: random.Random) -> None:
        self.stack, self.import_id, self.chooser = stack, import_id, chooser
        self.kills = self.pauses = 0

    def in_batch(self, _: int) -> None:
        if self.chooser.random() < 0.1:
            self.kills += 1
            raise Killed

    def after_batch(self, times: int) -> None:
        if self.chooser.random() < 0.25:
            self.pauses += 1
            ask(self.stack, "pause", self.import_id)
            if self.chooser.random() < 0.3:
                ask(self.stack, "resume", self.import_id)
        self.in_batch(times)

    def stretch(self) -> DataImport:
        """One process's work, and what an operator does about the state that it left."""
        try:
            with (
                barrier.registered("import.in_batch", self.in_batch),
                barrier.registered("import.after_batch", self.after_batch),
            ):
                self.stack.runner(**_LIMITS).run_once()
        except Killed:
            self.stack.clock.advance(BatchLimits().lease_s + 10)
        self.stack.silos.drain("control", "us")
        self.stack.clock.advance(1)
        found = self.stack.report(self.import_id).data_import
        if found.state is State.PAUSED:
            return ask(self.stack, "resume", self.import_id)
        if found.state is State.STOPPED:
            return ask(self.stack, "retry", self.import_id, self.chooser.random() < 0.5)
        return found


@pytest.mark.parametrize("seed", range(3))
def test_a_disturbed_import_ends_like_an_undisturbed_one(
    make_stack: Callable[[], ImportStack], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chooser = random.Random(seed)
    undisturbed = make_stack()
    wanted = undisturbed.natural_rows(undisturbed.do_import(_FILE).id)
    stack = make_stack()
    refused = [(chooser.choice(_MODELS), chooser.choice(_COUNT)) for _ in range(3)]
    with monkeypatch.context() as patched:
        for module in (writer, own_batches, control_usecases):
            patched.setattr(module, "RowDecoder", refusing(*refused))
        import_id = stack.upload(json.dumps(_FILE).encode(), continue_on_error=chooser.random() < 0.5).id
        life = _Life(stack, import_id, chooser)
        for _ in range(12):
            found = life.stretch()
    for _ in range(40):
        if found.state is State.SUCCEEDED and found.finding_count == 0:
            break
        if found.state is State.SUCCEEDED:
            ask(stack, "retry", import_id, None)
        found = life.stretch()
    assert (found.state, found.finding_count, found.error_count) == (State.SUCCEEDED, 0, 0)
    assert life.kills + life.pauses > 0, "nothing disturbed it"
    assert found.done_count == len(_FILE)
    natural = stack.natural_rows(import_id)
    assert {name: sorted(map(repr, table)) for name, table in natural.items()} == {
        name: sorted(map(repr, table)) for name, table in wanted.items()
    }
