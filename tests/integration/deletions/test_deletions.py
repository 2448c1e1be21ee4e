"""Organizations are deleted in two steps: read only first and undone at will, then nothing is left of them anywhere."""

from datetime import timedelta

import pytest

from control_silo.deletions.domain import GRACE, QUARANTINE
from control_silo.deletions.usecases import Deletion, preview
from control_silo.organizations.domain import Mapping
from control_silo.organizations.usecases import list_organizations, resolve
from control_silo.provisioning.usecases import provision
from control_silo.slugs.checking import check_slug
from control_silo.slugs.lookup import get_reservation
from control_silo.slugs.redirects import redirect_tasks, release_redirect
from control_silo.slugs.rules import IN_QUARANTINE, Availability
from control_silo.tokens.domain import NewToken
from control_silo.tokens.grants import TokenUseCases
from control_silo.tokens.usecases import mint_token
from region_silo.organizations.lookup import hold_active
from shared.cleaner import Cleaner
from shared.deletion import DeletionStage
from shared.errors import (
    FailedPrecondition,
    OrganizationDeleting,
    OrganizationNotDeleted,
    OrganizationNotFound,
    OrganizationPendingDeletion,
    ScopeMissing,
    SlugTaken,
)
from shared.requests import RequestState
from shared.rpc.call import Caller, acting
from shared.snowflake.allocator import SnowflakeAllocator
from tests.clock import FakeClock
from tests.integration.callbacks.silos import (
    Silos,
    add_organizations,
    execute,
    organization_ids,
    region_slugs,
    reservations,
    rows,
)
from tests.integration.deletions.deleting import (
    ADMIN,
    AT_ONCE,
    OPERATOR,
    SETTINGS,
    ask_delete,
    ask_undelete,
    carry_on,
    fill,
    left_in_control,
    left_in_region,
    purged,
)
from tests.integration.provisioning.asking import (
    CALLER,
    NEW,
    add_user,
    ask,
    ask_rename,
    ask_swap,
    at_end,
    id_of,
    made,
    mutation,
    new_id,
    renamed,
)
from tests.invariants import check_always, check_quiet

pytestmark = pytest.mark.integration


def write_below(silos: Silos, organization: int, region: str = "us") -> None:
    """What every write below an organization does first."""
    with acting(CALLER, method="/test"):
        silos.regions[region].transact(lambda transaction: hold_active(transaction, organization))


def mapping(silos: Silos, organization: int) -> Mapping:
    with acting(CALLER, method="/test"):
        return silos.control.read(lambda transaction: resolve(transaction, organization))[0]


def minted(silos: Silos, **fields: object) -> int:
    allocator = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
    new = NewToken(**{"name": "ci", "audience": ("*",), "scopes": ("org:read",), **fields})  # type: ignore[arg-type]
    return mint_token(silos.control, allocator, new)[0].id


def actions(silos: Silos, organization: int) -> list[object]:
    found = rows(
        silos.control, "SELECT action FROM audit_entry WHERE organization_id = :id ORDER BY id", id=organization
    )
    return [row[0] for row in found]


def test_a_deletion_makes_the_organization_read_only_until_its_purge_time(silos: Silos) -> None:
    organization = id_of(made(silos))

    deleted = ask_delete(silos, "acme", caller=ADMIN)
    silos.drain()

    assert (deleted.organization_id, deleted.deletion) == (organization, DeletionStage.PENDING)
    assert (deleted.deleted_at, deleted.purge_at) == (silos.clock.now(), silos.clock.now() + GRACE)
    assert mapping(silos, organization).purge_at == deleted.purge_at
    with pytest.raises(OrganizationPendingDeletion) as refused:
        write_below(silos, organization)
    assert refused.value.metadata == {"purge_time": (silos.clock.now() + GRACE).isoformat()}
    assert region_slugs(silos.regions["us"]) == {organization: "acme"}, "it is still read"
    check_quiet(silos.control, silos.regions)


def test_an_undeleted_organization_is_as_it_was(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    ask_delete(silos, organization)
    silos.drain()
    clock.advance(GRACE.total_seconds() - 1)
    carry_on(silos)

    ask_undelete(silos, organization)
    silos.drain()
    clock.advance(10)
    carry_on(silos)

    write_below(silos, organization)
    kept = mapping(silos, organization)
    assert (kept.deletion, kept.deleted_at, kept.purge_at) == (DeletionStage.NONE, None, None)
    assert actions(silos, organization) == ["organization.provision", "organization.delete", "organization.undelete"]
    assert renamed(silos, organization, "acme-2").state is RequestState.SUCCEEDED
    check_quiet(silos.control, silos.regions)


def test_the_last_word_counts_however_late_the_region_hears_it(silos: Silos) -> None:
    organization = id_of(made(silos))
    for _ in range(3):
        ask_delete(silos, organization)
        ask_undelete(silos, organization)
    silos.drain()
    write_below(silos, organization)
    ask_delete(silos, organization)
    ask_undelete(silos, organization)
    ask_delete(silos, organization)
    silos.drain()
    with pytest.raises(OrganizationPendingDeletion):
        write_below(silos, organization)


def test_case_49_nothing_of_a_deleted_organization_is_left_and_its_slug_can_be_had_again(
    silos: Silos, clock: FakeClock
) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "acme-2")
    fill(silos.regions["us"], organization)
    token = minted(silos, organization_id=organization)
    other = minted(silos)
    silos.drain()
    assert {row[0] for row in rows(silos.regions["us"], "SELECT id FROM token")} == {token, other}

    purged(silos, organization)

    assert left_in_region(silos.regions["us"], organization) == {}
    assert left_in_control(silos, organization) == {}
    for database in (silos.control, *silos.regions.values()):
        assert rows(database, "SELECT id FROM token") == [(other,)]
    resting = silos.clock.now() + QUARANTINE
    assert rows(
        silos.control,
        "SELECT slug, organization_id, holder, type, state, expires_at FROM slug_reservation ORDER BY slug",
    ) == [("acme", None, "", 3, 2, resting), ("acme-2", None, "", 0, 2, resting)]
    assert actions(silos, organization) == [
        "organization.provision",
        "slug.rename",
        "token.create",
        "organization.delete",
        "organization.purge_begin",
        "organization.purge",
    ]
    assert rows(silos.regions["us"], "SELECT principal, action, organization_id FROM audit_entry") == [
        ("machine", "organization.purge", organization)
    ]
    check_quiet(silos.control, silos.regions)

    assert made(silos, slug="acme-2", region="de").slug != "acme-2", "it rests"
    clock.advance(QUARANTINE.total_seconds() + 1)
    again = made(silos, slug="acme-2", region="de")
    assert (again.state, again.slug) == (RequestState.SUCCEEDED, "acme-2")
    assert id_of(again) != organization
    check_quiet(silos.control, silos.regions)


def test_case_49_without_quarantine_the_slugs_are_free_at_once(silos: Silos) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "acme-2")

    purged(silos, organization, AT_ONCE)

    assert reservations(silos.control) == {}
    assert [made(silos, slug=slug).slug for slug in ("acme", "acme-2")] == ["acme", "acme-2"]
    check_quiet(silos.control, silos.regions)


def test_case_49_an_organization_that_went_in_its_region_alone_is_forgotten_too(silos: Silos) -> None:
    organization = id_of(made(silos))
    execute(silos.regions["us"], "UPDATE organization SET deletion = 2, purge_at = :now", now=silos.clock.now())
    carry_on(silos)
    assert left_in_control(silos, organization) == {}
    check_quiet(silos.control, silos.regions)


def test_a_resting_slug_is_taken_and_is_nobodys_to_release(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    renamed(silos, organization, "acme-2")
    other = id_of(made(silos, slug="other"))
    purged(silos, organization)

    checked = silos.control.read(lambda transaction: check_slug(transaction, "acme-2"))
    assert (checked.availability, checked.reason) == (Availability.TAKEN, IN_QUARANTINE)
    assert checked.suggestions
    with pytest.raises(SlugTaken):
        ask_rename(silos, other, "acme-2")
    with acting(CALLER, method="/test"):
        assert silos.control.read(lambda t: get_reservation(t, "slugReservations/acme")).organization_id is None
        with pytest.raises(OrganizationNotFound):
            silos.control.read(lambda transaction: resolve(transaction, "acme"))
        with pytest.raises(FailedPrecondition):
            silos.control.transact(
                lambda t: release_redirect(t, mutation(new_id(), "release", "acme"), "slugReservations/acme")
            )
    Cleaner(silos.control, redirect_tasks()).clean_once()
    assert {"acme", "acme-2"} <= reservations(silos.control).keys()
    clock.advance(QUARANTINE.total_seconds() + 1)
    assert Cleaner(silos.control, redirect_tasks()).clean_once() == {"expired_slugs": 2}
    assert reservations(silos.control).keys() == {"other"}


def test_what_is_asked_of_one_that_is_to_be_deleted_is_refused_by_name(silos: Silos, clock: FakeClock) -> None:
    organization, other = id_of(made(silos)), id_of(made(silos, slug="other"))
    with pytest.raises(OrganizationNotDeleted):
        ask_undelete(silos, organization)
    ask_delete(silos, organization)
    with pytest.raises(OrganizationPendingDeletion) as refused:
        ask_delete(silos, organization)
    assert refused.value.metadata == {"purge_time": (silos.clock.now() + GRACE).isoformat()}
    with pytest.raises(OrganizationPendingDeletion):
        ask_rename(silos, organization, "acme-2")
    with pytest.raises(OrganizationPendingDeletion):
        ask_swap(silos, {organization: "other", other: "acme"})
    tokens = TokenUseCases(silos.control, SnowflakeAllocator(silos.control, clock=clock, number=0))
    wish = NewToken(name="late", audience=("*",), scopes=("org:read",))
    with acting(OPERATOR, method="/test"), pytest.raises(OrganizationPendingDeletion):
        tokens.create_token(organization, wish, lambda *parts: mutation(new_id(), *parts))

    clock.advance(GRACE.total_seconds())
    with pytest.raises(OrganizationDeleting):
        ask_undelete(silos, organization)
    silos.drain()
    check_always(silos.control, silos.regions)
    carry_on(silos)
    for asked in (ask_delete, ask_undelete):
        with pytest.raises(OrganizationNotFound):
            asked(silos, organization)
    with pytest.raises(OrganizationNotFound):
        ask_rename(silos, organization, "acme-3")


def test_one_that_is_being_deleted_cannot_be_taken_back_nor_written_nor_found_in_its_region(
    silos: Silos, clock: FakeClock
) -> None:
    organization = id_of(made(silos))
    execute(
        silos.control,
        "UPDATE organization_mapping SET deletion = 2, deletion_version = 1, purge_at = :n",
        n=clock.now(),
    )
    for refused in (ask_delete, ask_undelete):
        with pytest.raises(OrganizationDeleting):
            refused(silos, organization)
    execute(silos.regions["us"], "UPDATE organization SET deletion = 2, purge_at = :n", n=clock.now())
    with pytest.raises(OrganizationNotFound):
        write_below(silos, organization)


def test_a_repeat_gets_the_first_answer_also_when_nothing_is_left(silos: Silos) -> None:
    provisioned, deleted = new_id(), new_id()
    organization = id_of(made(silos, request_id=provisioned))
    first = ask_delete(silos, organization, grace=timedelta(), request_id=deleted)
    assert ask_delete(silos, organization, grace=timedelta(), request_id=deleted) == first
    carry_on(silos)

    assert ask_delete(silos, organization, grace=timedelta(), request_id=deleted) == first
    again = ask(silos, provisioned)
    silos.drain()
    assert (at_end(silos, again).state, id_of(again)) == (RequestState.SUCCEEDED, organization)
    assert region_slugs(silos.regions["us"]) == {}, "no second one"
    check_quiet(silos.control, silos.regions)


def test_a_preview_tells_the_purge_time_and_changes_nothing(silos: Silos) -> None:
    organization = id_of(made(silos))
    with acting(ADMIN, method="/test"):
        shown = silos.control.read(lambda transaction: preview(transaction, Deletion("acme"), SETTINGS))
    assert (shown.organization_id, shown.purge_at) == (organization, silos.clock.now() + GRACE)
    assert mapping(silos, organization).deletion is DeletionStage.NONE


def test_a_grace_time_of_ones_own_and_deletions_by_strangers_are_refused(silos: Silos) -> None:
    organization = id_of(made(silos))
    with pytest.raises(ScopeMissing):
        ask_delete(silos, organization, grace=timedelta(), caller=ADMIN)
    acting_as_user = Caller("users/7", frozenset({"org:admin"}), user_id=7)
    with pytest.raises(OrganizationNotFound):
        ask_delete(silos, organization, caller=acting_as_user)
    bound_elsewhere = Caller("tokens/9", frozenset({"org:admin"}), organization_id=organization + 1)
    with pytest.raises(OrganizationNotFound):
        ask_delete(silos, organization, caller=bound_elsewhere)
    ask_delete(silos, organization, caller=Caller("tokens/9", frozenset({"org:admin"}), organization_id=organization))


def test_lists_leave_out_what_is_to_be_deleted_unless_asked(silos: Silos) -> None:
    organization, other = id_of(made(silos)), id_of(made(silos, slug="other"))
    ask_delete(silos, organization)

    def listed(show_deleted: bool) -> set[int]:
        with acting(CALLER, method="/test"):
            page, _ = silos.control.read(
                lambda t: list_organizations(t, page_size=0, token="", region="", show_deleted=show_deleted)
            )
        return {each.organization_id for each in page}

    assert (listed(False), listed(True)) == ({other}, {organization, other})


def test_an_organization_that_an_import_left_behind_can_be_deleted(silos: Silos) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    silos.drain()
    purged(silos, organization)
    assert left_in_region(silos.regions["us"], organization) == {}
    assert left_in_control(silos, organization) == {}


def test_thousands_of_tokens_of_an_organization_go_in_batches(silos: Silos) -> None:
    organization = id_of(made(silos))
    execute(
        silos.control,
        """
        INSERT INTO token (id, secret_hash, name, audience, scopes, organization_id, version, created_at)
        SELECT n, decode(md5(CAST(n AS text)), 'hex'), 'ci', ARRAY['us'], ARRAY['x'], :id, 1, :now
        FROM generate_series(1, 2500) AS n
        """,
        id=organization,
        now=silos.clock.now(),
    )
    purged(silos, organization)
    assert left_in_control(silos, organization) == {}
    assert rows(silos.control, "SELECT count(*) FROM outbox_tombstone WHERE category = 'token'") == [(2500,)]


def test_the_new_owner_of_a_freed_slug_is_not_touched_by_words_about_the_former(silos: Silos) -> None:
    organization = id_of(made(silos))
    purged(silos, organization, AT_ONCE)
    again = id_of(made(silos))
    for target, seen in list(silos.transport.seen):
        silos.transport.receivers[target](seen)
    silos.drain()
    carry_on(silos, AT_ONCE)
    assert region_slugs(silos.regions["us"]) == {again: "acme"}
    assert mapping(silos, again).slug == "acme"
    assert add_user(silos)
    with acting(CALLER, method="/test"):
        repeated = silos.control.transact(lambda t: provision(t, mutation(new_id(), "provision", NEW), NEW))
    assert repeated.slug != "acme"
