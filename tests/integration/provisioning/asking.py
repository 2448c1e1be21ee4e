"""Asks control's use cases for changes, as the public door does."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from control_silo.changes.domain import Change
from control_silo.changes.usecases import get_change
from control_silo.organizations.usecases import resolve
from control_silo.provisioning.domain import NewOrganization
from control_silo.provisioning.usecases import provision
from control_silo.slugs.redirects import note_use
from control_silo.slugs.renames import REDIRECT_TTL_S, Rename, rename
from control_silo.slugs.swaps import Exchange, swap
from shared.names import Key
from shared.requests import Mutation, fingerprint
from shared.rpc.call import Caller, acting
from tests.integration.callbacks.silos import Silos, execute, rows

PRINCIPAL = "tokens/17"
CALLER = Caller(PRINCIPAL)
ADA = 4001
NEW = NewOrganization("us", "acme", "Acme Inc", ADA, None)


def new_id() -> str:
    return str(uuid.uuid4())


def mutation(request_id: str, *asked: object, principal: str = PRINCIPAL) -> Mutation:
    return Mutation(principal, request_id, f"/siloway.control.v1/{asked[0]}", fingerprint(*asked))


def add_user(silos: Silos, user_id: int = ADA, *, active: bool = True) -> int:
    execute(
        silos.control,
        """
        INSERT INTO user_account (id, username, name, email, password, is_staff, is_superuser, is_active, is_managed,
            is_unclaimed, is_suspended, is_password_expired, flags, avatar_type, date_joined)
        VALUES (:id, 'user-' || CAST(:id AS text), '', '', '', false, false, :active, false, false, false, false, 0, 0,
            :now)
        ON CONFLICT DO NOTHING
        """,
        id=user_id,
        active=active,
        now=silos.clock.now(),
    )
    return user_id


def ask(silos: Silos, request_id: str | None = None, new: NewOrganization = NEW, **fields: object) -> Change:
    """Provision, without delivering anything."""
    add_user(silos)
    wish = replace(new, **fields)  # type: ignore[arg-type]
    asked = mutation(request_id or new_id(), "provision", wish)
    return silos.control.transact(lambda transaction: provision(transaction, asked, wish))


def made(silos: Silos, **fields: object) -> Change:
    """Provision and deliver everything; the change at its end."""
    change = ask(silos, **fields)  # type: ignore[arg-type]
    silos.drain()
    return at_end(silos, change)


def ask_rename(
    silos: Silos,
    organization: Key,
    slug: str,
    *,
    exact: bool = True,
    redirect_ttl_s: int = REDIRECT_TTL_S,
    request_id: str | None = None,
) -> Change:
    """Rename, without delivering anything."""
    wish = Rename(organization, slug, exact, redirect_ttl_s)
    asked = mutation(request_id or new_id(), "rename", wish)
    with acting(CALLER, method="/test"):
        return silos.control.transact(lambda transaction: rename(transaction, asked, wish))


def renamed(silos: Silos, organization: Key, slug: str, **options: object) -> Change:
    """Rename and deliver everything; the change at its end."""
    change = ask_rename(silos, organization, slug, **options)  # type: ignore[arg-type]
    silos.drain()
    return at_end(silos, change)


def ask_swap(
    silos: Silos, wanted: Mapping[int, str] | Sequence[tuple[Key, str]], request_id: str | None = None
) -> Change:
    """Swap, without delivering anything."""
    pairs = wanted.items() if isinstance(wanted, Mapping) else wanted
    wishes = tuple(Exchange(organization, slug) for organization, slug in pairs)
    asked = mutation(request_id or new_id(), "swap", wishes)
    with acting(CALLER, method="/test"):
        return silos.control.transact(lambda transaction: swap(transaction, asked, wishes))


def found(silos: Silos, key: Key) -> tuple[int, str | None]:
    """The organization that a key leads to, and its slug; as GetOrganization does, uses counted."""
    with acting(CALLER, method="/test"):
        mapping, redirect = silos.control.read(lambda transaction: resolve(transaction, key))
    if redirect is not None:
        note_use(silos.control, redirect)
    return mapping.organization_id, mapping.slug


def id_of(change: Change) -> int:
    assert change.organization_id is not None
    return change.organization_id


def at_end(silos: Silos, change: Change) -> Change:
    return silos.control.read(lambda transaction: get_change(transaction, change.key.principal, change.key.request_id))


def record_state(silos: Silos, change: Change) -> object:
    found = rows(
        silos.control,
        "SELECT state FROM request_record WHERE request_id = CAST(:id AS uuid)",
        id=change.key.request_id,
    )
    return found[0][0] if found else None
