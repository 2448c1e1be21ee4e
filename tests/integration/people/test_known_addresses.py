"""Users are found by their addresses through an index, which has those users alone of whom one is known."""

import pytest

from region_silo.members import invitations
from shared.database import Transaction
from tests.integration.callbacks.conftest import silos
from tests.integration.callbacks.silos import Silos

__all__ = ["silos"]

pytestmark = pytest.mark.integration


def test_who_is_invited_is_looked_up_by_address_in_the_index(silos: Silos) -> None:
    query = invitations.WHO.replace(":organization_id", "1")

    def plan_of(transaction: Transaction) -> str:
        transaction.driver.execute(b"SET LOCAL enable_seqscan = off")
        return "\n".join(line for (line,) in transaction.driver.execute(f"EXPLAIN {query}".encode()).fetchall())

    assert "known_user_addresses_idx" in silos.regions["us"].transact(plan_of)
