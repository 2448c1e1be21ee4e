"""A token of a user changes the organizations that the user owns or manages, and no other."""

from collections.abc import Callable

import pytest

from control_silo.slugs.redirects import release_redirect
from control_silo.slugs.renames import REDIRECT_TTL_S, Rename, rename
from control_silo.slugs.swaps import Exchange, swap
from region_silo.members.domain import Role
from shared.database import Transaction
from shared.errors import OrganizationNotFound, SlugNotFound
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.silos import Silos, reservations
from tests.integration.deletions.deleting import ask_delete, ask_undelete
from tests.integration.people.crowd import Crowd
from tests.integration.provisioning.asking import mutation, new_id

pytestmark = pytest.mark.integration


def of(user_id: int) -> Caller:
    return Caller(f"users/{user_id}", frozenset({"org:admin"}), user_id=user_id)


def changes(silos: Silos, caller: Caller, organization: int, other: int) -> dict[str, Callable[[], object]]:
    """All that may be asked of an organization in control, by what it is."""

    def run(work: Callable[[Transaction], object]) -> object:
        with acting(caller, method="/test"):
            return silos.control.transact(work)

    def asked(what: str) -> object:
        return mutation(new_id(), what, principal=caller.principal)

    wish = Rename(organization, "renamed", True, REDIRECT_TTL_S)
    pairs = (Exchange(organization, "globex"), Exchange(other, "renamed"))
    return {
        "rename": lambda: run(lambda t: rename(t, asked("rename"), wish)),  # type: ignore[arg-type]
        "swap": lambda: run(lambda t: swap(t, asked("swap"), pairs)),  # type: ignore[arg-type]
        "release": lambda: run(lambda t: release_redirect(t, asked("release"), "slugReservations/acme")),  # type: ignore[arg-type]
        "delete": lambda: ask_delete(silos, organization, caller=caller),
        "undelete": lambda: ask_undelete(silos, organization, caller=caller),
    }


@pytest.mark.parametrize("role", [Role.OWNER, Role.MANAGER])
def test_owners_and_managers_change_what_is_theirs(silos: Silos, crowd: Crowd, role: Role) -> None:
    acme, globex = crowd.organization(slug="acme"), crowd.organization(slug="globex", region="de")
    bob = crowd.user("bob")
    crowd.add(acme, bob, role=role)
    crowd.add(globex, bob, role=role, at="de")
    silos.drain()

    for change in changes(silos, of(bob), acme, globex).values():
        change()
        silos.drain()

    assert {slug: held[0] for slug, held in reservations(silos.control).items()} == {"globex": acme, "renamed": globex}


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MEMBER, None])
def test_nobody_else_changes_it_or_learns_that_it_is_there(silos: Silos, crowd: Crowd, role: Role | None) -> None:
    acme, globex = crowd.organization(slug="acme"), crowd.organization(slug="globex", region="de")
    bob = crowd.user("bob")
    if role is not None:
        crowd.add(acme, bob, role=role)
        crowd.add(globex, bob, role=Role.OWNER, at="de")
    silos.drain()
    operator = Caller("tokens/1", frozenset({"org:admin"}))
    changes(silos, operator, acme, globex)["rename"]()
    silos.drain()
    before = reservations(silos.control)

    for what, change in changes(silos, of(bob), acme, globex).items():
        with pytest.raises(SlugNotFound if what == "release" else OrganizationNotFound):
            change()

    silos.drain()
    assert reservations(silos.control) == before


def test_who_was_a_manager_is_none_any_more(silos: Silos, crowd: Crowd) -> None:
    acme, globex = crowd.organization(slug="acme"), crowd.organization(slug="globex", region="de")
    bob = crowd.user("bob")
    member = crowd.add(acme, bob, role=Role.MANAGER)
    silos.drain()
    crowd.remove(member)
    silos.drain()

    with pytest.raises(OrganizationNotFound):
        changes(silos, of(bob), acme, globex)["rename"]()
    operating = Caller(f"users/{bob}", frozenset({"org:admin", "silo:operate"}), user_id=bob)
    changes(silos, operating, acme, globex)["rename"]()
