"""The schedules of the rules alone, driven through PostgreSQL: after each step the silos' databases hold what the rules
say, and have sent the same messages.

Messages are taken out of the outboxes and handed to the handlers in the schedule's order, so that they come late,
twice, and after newer ones: what is kept then is kept by fence versions, not by the inbox.
"""

import random

import pytest
from sqlalchemy import text

from control_silo.slugs.answers import settle_answers
from region_silo.slugs.usecases import apply_slugs
from shared import delivery
from shared.database import Database
from shared.delivery import ApplySlugs, SlugsApplied
from shared.errors import ServiceError, SlugHeld
from tests.integration.callbacks.silos import Silos, execute, organization_ids, rows
from tests.integration.provisioning.asking import PRINCIPAL, ask_rename, ask_swap, id_of, made
from tests.slug_world import TAKEN, Apply, Rename, Settle, SlugWorld, Step, Swap

pytestmark = pytest.mark.integration

HOMES = {"acme": "us", "beta": "us", "crow": "de", "dune": "de"}
NAMES = (*HOMES, "echo", "fawn", "wild")
STEPS = 120


class Databases:
    """The silos' side of a schedule: the same steps, and every message that was ever sent."""

    def __init__(self, silos: Silos) -> None:
        self.silos = silos
        self.messages: list[tuple[str, ApplySlugs]] = []
        self.answers: list[tuple[str, SlugsApplied]] = []

    def act(self, step: Step) -> str:
        try:
            if isinstance(step, Rename):
                ask_rename(self.silos, step.organization_id, step.slug, redirect_ttl_s=0, request_id=step.request_id)
            elif isinstance(step, Swap):
                ask_swap(self.silos, step.pairs, step.request_id)
            elif isinstance(step, Apply):
                region, message = self.messages[step.place]
                self.silos.regions[region].transact(
                    lambda transaction: apply_slugs(transaction, [("any", message)], wake=self.silos.woken.append)
                )
            else:
                origin, answer = self.answers[step.place]
                self.silos.control.transact(
                    lambda transaction: settle_answers(transaction, region=origin, answers=[answer])
                )
        except SlugHeld:
            return TAKEN
        except ServiceError as error:
            return error.reason
        finally:
            self._collect()
        return ""

    def holdings(self) -> dict[int, tuple[object, ...]]:
        """organization -> (PRIMARY, TEMPORARY, fence version, is moving)."""
        found = rows(
            self.silos.control,
            """
            SELECT mapping.organization_id, mapping.slug, mapping.fence_version, own.slug, own.state, temporary.slug,
                temporary.fence_version
            FROM organization_mapping mapping
            JOIN slug_reservation own ON own.organization_id = mapping.organization_id AND own.type = 0
            LEFT JOIN slug_reservation temporary
                ON temporary.organization_id = mapping.organization_id AND temporary.type = 2
            """,
        )
        assert all(mapped == own for _, mapped, _, own, *_ in found), "the mapping has not the PRIMARY slug"
        return {
            int(str(organization_id)): (own, temporary, fence if temporary is None else newer, state == 0)
            for organization_id, _, fence, own, state, temporary, newer in found
        }

    def region_rows(self, region: str) -> dict[int, tuple[object, object]]:
        """organization -> (slug, fence version)."""
        found = rows(self.silos.regions[region], "SELECT id, slug, fence_version FROM organization")
        return {int(str(organization_id)): (slug, fence) for organization_id, slug, fence in found}

    def _collect(self) -> None:
        """Take the new messages out of all outboxes, in the order of their sending."""
        for target, payload in _taken(self.silos.control, delivery.APPLY_SLUGS.name):
            self.messages.append((target, delivery.decode(payload, ApplySlugs)))
        for region, database in self.silos.regions.items():
            for _, payload in _taken(database, delivery.SLUGS_APPLIED.name):
                self.answers.append((region, delivery.decode(payload, SlugsApplied)))


def _taken(database: Database, category: str) -> list[tuple[str, dict[str, object]]]:
    statement = text("DELETE FROM outbox_message WHERE category = :category RETURNING id, target, payload")
    found = database.transact(lambda transaction: transaction.execute(statement, {"category": category}).all())
    return [(row.target, row.payload) for row in sorted(found, key=lambda row: (row.target, row.id))]


def compare(world: SlugWorld, real: Databases) -> None:
    assert real.messages[-3:] == world.messages[-3:]
    assert real.answers[-3:] == world.answers[-3:]
    assert real.holdings() == {each: tuple(holding) for each, holding in world.holdings.items()}
    for region, there in world.rows.items():
        assert real.region_rows(region) == {each: (row.slug, row.fence_version) for each, row in there.items()}
    states = rows(
        real.silos.control, "SELECT request_id, state, error ->> 'reason' FROM organization_change WHERE kind > 1"
    )
    told = {f"requests/{PRINCIPAL}/{request_id}": (state, reason) for request_id, state, reason in states}
    assert told == {
        **dict.fromkeys(world.running, ("RUNNING", None)),
        **{each: ("FAILED", "SLUG_CONFLICT") if why else ("SUCCEEDED", None) for each, why in world.ended.items()},
    }


def add_strangers(silos: Silos) -> tuple[tuple[int, str, str], ...]:
    """Organizations that a restored region has, and control never heard of."""
    strangers = ((organization_ids(1, 1)[0], "us", "wild"), (organization_ids(2, 1)[0], "de", "acme"))
    for organization_id, region, slug in strangers:
        execute(
            silos.regions[region],
            """
            INSERT INTO organization
                (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added)
            VALUES (:id, :slug, :slug, 'Stranger', 1, 0, 'member', 0, false, :now)
            """,
            id=organization_id,
            slug=slug,
            now=silos.clock.now(),
        )
    return strangers


@pytest.mark.parametrize("seed", range(3))
def test_databases_go_through_every_schedule_as_the_rules_do(silos: Silos, seed: int) -> None:
    homes = {id_of(made(silos, slug=slug, region=region)): region for slug, region in HOMES.items()}
    world = SlugWorld(homes, list(HOMES), add_strangers(silos) if seed % 2 else (), PRINCIPAL)
    real = Databases(silos)
    chance = random.Random(seed)
    for _ in range(STEPS):
        step = world.draw(chance, NAMES)
        assert real.act(step) == world.act(step), step
        compare(world, real)
    for place in range(len(world.messages)):
        assert real.act(Apply(place)) == world.act(Apply(place))
    for place in range(len(world.answers)):
        assert real.act(Settle(place)) == world.act(Settle(place))
    compare(world, real)
