"""Each kind: a difference that is made in SQL is found, repaired where one silo has the truth, and is equal again."""

import pytest

from control_silo.reconciliation.domain import Nature, Repair, RepairMode
from control_silo.tokens.domain import NewToken
from control_silo.tokens.usecases import mint_token
from shared.comparing.domain import Kind
from shared.snowflake.allocator import SnowflakeAllocator
from tests.integration.callbacks.silos import Silos, execute, pending, rows
from tests.integration.provisioning.asking import id_of, made
from tests.integration.reconciliation.comparing import Reconciling
from tests.invariants import check_quiet

pytestmark = pytest.mark.integration

ALL = [(name, kind) for name in ("de", "us") for kind in Kind]


def minted(silos: Silos, *audience: str) -> int:
    allocator = SnowflakeAllocator(silos.control, clock=silos.clock, number=0)
    new = NewToken(name="robot", audience=audience or ("*",), scopes=("project:read", "project:releases"))
    token = mint_token(silos.control, allocator, new)[0]
    silos.drain()
    return token.id


def filled(silos: Silos) -> int:
    """Two tokens and an organization in each region; the id of the one in `us`."""
    minted(silos)
    minted(silos, "us")
    made(silos, region="de", slug="other")
    return id_of(made(silos))


def test_what_is_equal_is_told_as_equal_up_to_the_begin_of_the_comparison(silos: Silos) -> None:
    filled(silos)
    reconciling = Reconciling(silos)
    before = silos.clock.now()

    assert sorted(reconciling.go()) == ["de", "us"]

    assert set(reconciling.states()) == set(ALL)
    for name, kind in ALL:
        assert reconciling.equal_up_to(name, kind) > before
    assert reconciling.differences(pending=True) == []
    assert {state.row_count for (name, kind), state in reconciling.states().items() if kind is Kind.REGION} == {2}
    assert reconciling.states()["us", Kind.TOKEN].row_count == 2
    assert reconciling.states()["de", Kind.TOKEN].row_count == 1
    assert "list_rows" not in {method for _, method in reconciling.regions.calls}


@pytest.mark.parametrize(
    ("spoil", "nature"),
    [
        ("DELETE FROM token WHERE id = :id", Nature.MISSING),
        ("UPDATE token SET version = 0 WHERE id = :id", Nature.OLDER),
    ],
)
def test_a_token_that_a_region_has_lost_or_has_old_is_sent_again_by_itself(
    silos: Silos, spoil: str, nature: Nature
) -> None:
    filled(silos)
    token_id = minted(silos)
    reconciling = Reconciling(silos)
    reconciling.go()
    equal_before = reconciling.equal_up_to("us", Kind.TOKEN)
    execute(silos.regions["us"], spoil, id=token_id)

    reconciling.go()

    assert reconciling.told() == [("us", Kind.TOKEN, str(token_id), nature, Repair.RESEND)]
    assert reconciling.equal_up_to("us", Kind.TOKEN) == equal_before
    assert reconciling.equal_up_to("de", Kind.TOKEN) > equal_before
    (entry,) = rows(silos.control, "SELECT principal, detail FROM audit_entry WHERE action = 'reconciliation.repair'")
    assert entry[0] == "machine"
    silos.drain()
    assert rows(silos.regions["us"], "SELECT name FROM token WHERE id = :id", id=token_id) == [("robot",)]
    reconciling.go()
    assert reconciling.told() == []
    (resolved,) = reconciling.differences(resolved=True)
    assert resolved.repair_count == 1
    assert reconciling.equal_up_to("us", Kind.TOKEN) > equal_before


def test_a_token_with_other_contents_under_one_version_is_found_and_repaired_when_all_is(silos: Silos) -> None:
    token_id = minted(silos)
    execute(silos.regions["us"], "UPDATE token SET scopes = '{silo:operate}' WHERE id = :id", id=token_id)
    careful = Reconciling(silos)

    careful.go()
    careful.go()

    assert careful.told() == [("us", Kind.TOKEN, str(token_id), Nature.CONTENT, Repair.RESEND)]
    assert pending(silos.control) == 0, "contents are not repaired without being asked"
    Reconciling(silos, repair=RepairMode.ALL).go()
    silos.drain()
    careful.go()
    assert careful.told() == []
    assert rows(silos.regions["us"], "SELECT scopes FROM token WHERE id = :id", id=token_id) == [
        (["project:read", "project:releases"],)
    ]


def test_the_copy_of_a_token_that_is_gone_is_deleted_when_all_is_repaired(silos: Silos) -> None:
    token_id = minted(silos, "us")
    execute(silos.control, "DELETE FROM token WHERE id = :id", id=token_id)
    reconciling = Reconciling(silos)

    reconciling.go()

    assert reconciling.told() == [("us", Kind.TOKEN, str(token_id), Nature.GONE, Repair.REMOVE)]
    assert pending(silos.control) == 0
    Reconciling(silos, repair=RepairMode.ALL).go()
    silos.drain()
    assert rows(silos.regions["us"], "SELECT id FROM token WHERE id = :id", id=token_id) == []
    reconciling.go()
    assert reconciling.told() == []


def test_a_newer_copy_of_a_token_is_told_and_left_alone(silos: Silos) -> None:
    token_id = minted(silos, "us")
    execute(silos.regions["us"], "UPDATE token SET version = 9, revoked_at = now() WHERE id = :id", id=token_id)
    reconciling = Reconciling(silos, repair=RepairMode.ALL)

    reconciling.go()

    assert reconciling.told() == [("us", Kind.TOKEN, str(token_id), Nature.NEWER, Repair.NONE)]
    assert pending(silos.control) == 0, "what a region has revoked is not taken back by an older row"


@pytest.mark.parametrize(
    ("spoil", "nature"),
    [
        ("DELETE FROM region_directory WHERE name = 'de'", Nature.MISSING),
        ("UPDATE region_directory SET version = 0 WHERE name = 'de'", Nature.OLDER),
    ],
)
def test_a_region_of_the_directory_is_told_again(silos: Silos, spoil: str, nature: Nature) -> None:
    reconciling = Reconciling(silos)
    execute(silos.regions["us"], spoil)

    reconciling.go()

    assert reconciling.told() == [("us", Kind.REGION, "de", nature, Repair.RESEND)]
    silos.drain()
    assert rows(silos.regions["us"], "SELECT number FROM region_directory WHERE name = 'de'") == [(2,)]
    reconciling.go()
    assert reconciling.told() == []
    assert {kind for name, kind in reconciling.states() if reconciling.equal_up_to(name, kind)} == set(Kind)


@pytest.mark.parametrize(
    ("spoil", "nature"),
    [
        ("UPDATE organization_mapping SET version = 0, name = 'Old' WHERE organization_id = :id", Nature.OLDER),
        ("DELETE FROM organization_mapping WHERE organization_id = :id", Nature.MISSING),
    ],
)
def test_the_region_tells_again_of_an_organization_whose_mapping_is_old_or_lost(
    silos: Silos, spoil: str, nature: Nature
) -> None:
    organization_id = filled(silos)
    reconciling = Reconciling(silos)
    execute(silos.control, spoil, id=organization_id)

    reconciling.go()

    assert reconciling.told() == [("us", Kind.ORGANIZATION, str(organization_id), nature, Repair.RESEND)]
    silos.drain()
    assert rows(
        silos.control,
        "SELECT slug, name, region, state, version FROM organization_mapping WHERE organization_id = :id",
        id=organization_id,
    ) == [("acme", "Acme Inc", "us", "active", 2)]
    reconciling.go()
    assert reconciling.told() == []
    check_quiet(silos.control, silos.regions)


@pytest.mark.parametrize(
    ("where", "spoil", "nature", "repair"),
    [
        ("us", "UPDATE organization SET name = 'Other' WHERE id = :id", Nature.CONTENT, Repair.RESEND),
        ("us", "UPDATE organization SET id = id + 1 WHERE id = :id", Nature.GONE, Repair.RESEND),
        (
            "control",
            "UPDATE organization_mapping SET region = 'de' WHERE organization_id = :id",
            Nature.ELSEWHERE,
            Repair.NONE,
        ),
    ],
)
def test_other_differences_of_organizations_are_told_and_nothing_is_sent(
    silos: Silos, where: str, spoil: str, nature: Nature, repair: Repair
) -> None:
    organization_id = filled(silos)
    reconciling = Reconciling(silos)
    for table in ("organization_member_team", "team", "organization_member"):
        execute(silos.regions["us"], f"DELETE FROM {table}")
    execute(silos.control if where == "control" else silos.regions[where], spoil, id=organization_id)

    reconciling.go()

    told = [each for each in reconciling.told() if each[0] == "us" and each[1] is Kind.ORGANIZATION]
    assert ("us", Kind.ORGANIZATION, str(organization_id), nature, repair) in told
    assert pending(silos.control) == pending(silos.regions["us"]) == 0


def test_an_organization_that_control_was_never_told_of_is_told_and_left_alone(silos: Silos) -> None:
    organization_id = filled(silos)
    reconciling = Reconciling(silos, repair=RepairMode.ALL)
    execute(
        silos.regions["us"],
        """
        INSERT INTO organization (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added)
        SELECT id + 1, 'stranger', 'stranger', name, state, status, default_role, flags, is_test, date_added
        FROM organization WHERE id = :id
        """,
        id=organization_id,
    )

    reconciling.go()

    subject = str(organization_id + 1)
    assert reconciling.told() == [
        ("us", Kind.ORGANIZATION, subject, Nature.MISSING, Repair.NONE),
        ("us", Kind.SLUG, subject, Nature.GONE, Repair.NONE),
    ]
    assert pending(silos.regions["us"]) == 0


def _is(silos: Silos, organization_id: int) -> object:
    return rows(silos.regions["us"], "SELECT slug FROM organization WHERE id = :id", id=organization_id)[0][0]


@pytest.mark.parametrize("slug", ["'wrong'", "NULL"])
def test_a_slug_that_the_region_has_wrong_is_applied_again_when_all_is_repaired(silos: Silos, slug: str) -> None:
    organization_id = filled(silos)
    careful = Reconciling(silos)
    careful.go()
    equal_before = careful.equal_up_to("us", Kind.SLUG)
    execute(silos.regions["us"], f"UPDATE organization SET slug = {slug} WHERE id = :id", id=organization_id)

    careful.go()

    assert ("us", Kind.SLUG, str(organization_id), Nature.CONTENT, Repair.APPLY) in careful.told()
    assert pending(silos.control) == 0, "slugs are not repaired without being asked"
    Reconciling(silos, repair=RepairMode.ALL).go()
    silos.drain()
    assert _is(silos, organization_id) == "acme"
    careful.go()
    assert careful.told() == []
    assert careful.equal_up_to("us", Kind.SLUG) > equal_before
    check_quiet(silos.control, silos.regions)


def test_rows_of_the_region_beyond_controls_last_and_holes_are_found(silos: Silos) -> None:
    ids = [minted(silos) for _ in range(25)]
    reconciling = Reconciling(silos, repair=RepairMode.NONE, range_rows=2)
    reconciling.go()
    assert reconciling.told() == []
    lost = (ids[0], ids[7], ids[24])
    for token_id in lost:
        execute(silos.control, "DELETE FROM token WHERE id = :id", id=token_id)

    reconciling.go()

    assert [(told[0], told[2], told[3]) for told in reconciling.told()] == [
        (name, str(token_id), Nature.GONE) for name in ("de", "us") for token_id in lost
    ]
