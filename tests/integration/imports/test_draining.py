"""An import into a region that is being drained waits for its slugs, however long, and loses nothing."""

import json
import uuid
from collections.abc import Callable

from control_silo.regions.usecases import drain_region, undrain_region
from region_silo.imports.domain import State
from shared.database import Transaction
from shared.requests import Mutation
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import ImportStack


def change(stack: ImportStack, how: Callable[[Transaction, Mutation, str], object]) -> None:
    mutation = Mutation("tokens/1", str(uuid.uuid4()), "/test", b"")
    stack.control.transact(lambda transaction: how(transaction, mutation, "us"))


def test_an_import_waits_while_its_region_is_draining_and_goes_on_when_it_is_undrained(stack: ImportStack) -> None:
    change(stack, drain_region)
    uploaded = stack.upload(json.dumps([rows.organization(1), rows.team(1, 1, "good")]).encode())
    runner = stack.runner()
    for _ in range(12):
        runner.run_once()
        stack.silos.drain()
        stack.clock.advance(60)
    waiting = stack.report(uploaded.id).data_import
    assert (waiting.state, waiting.error) == (State.RESERVING, None)
    assert stack.all_in("control", "SELECT * FROM slug_reservation") == []
    assert stack.all_in("control", "SELECT * FROM organization_mapping") == []
    assert [row["slug"] for row in stack.all_in("region", "SELECT slug FROM organization")] == [None]

    change(stack, undrain_region)
    assert stack.run(uploaded.id, runner).state is State.SUCCEEDED
    assert [row["slug"] for row in stack.all_in("region", "SELECT slug FROM organization")] == ["acme"]
