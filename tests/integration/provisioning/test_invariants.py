"""The checks of the invariants see what they are there for: each kind of damage is told by its number."""

import pytest

from tests.integration.callbacks.silos import Silos, execute
from tests.integration.provisioning.asking import ask, ask_rename, id_of, made
from tests.invariants import check_end, check_quiet, check_while_running

pytestmark = pytest.mark.integration

DAMAGE = [
    ("I5", "us", "UPDATE inbox_shard SET last_sequence = last_sequence - 1"),
    ("I5", "control", "DELETE FROM inbox_shard"),
    ("I7", "us", "UPDATE organization SET version = version + 1"),
    ("I7", "us", "UPDATE organization SET fence_version = fence_version + 1"),
    ("record", "control", "UPDATE request_record SET state = 'FAILED'"),
    ("redirect", "control", "UPDATE slug_reservation SET region = 'de' WHERE type = 3"),
]


@pytest.mark.parametrize(("told", "silo", "damage"), DAMAGE)
def test_damage_is_told_in_the_end(silos: Silos, told: str, silo: str, damage: str) -> None:
    ask_rename(silos, id_of(made(silos)), "other")
    silos.drain()
    check_quiet(silos.control, silos.regions)
    check_end(silos.control, silos.regions)
    execute(silos.control if silo == "control" else silos.regions[silo], damage)
    with pytest.raises(AssertionError, match=told):
        check_end(silos.control, silos.regions)


def test_a_hold_whose_message_is_gone_is_told_while_running(silos: Silos) -> None:
    ask(silos)
    check_while_running(silos.control, silos.regions)
    silos.drain("control")
    check_while_running(silos.control, silos.regions)
    execute(silos.regions["us"], "DELETE FROM outbox_message")
    with pytest.raises(AssertionError, match="I4"):
        check_while_running(silos.control, silos.regions)
