"""Each check finds what it is for, finds nothing in good data, and repairs what can be repaired safely."""

import uuid

import pytest
from siloway.common.v1 import audit_service_pb2 as audit_pb
from siloway.common.v1 import doctor_service_pb2 as doctor_pb

from control_silo.reconciliation.domain import RepairMode
from shared.comparing.domain import Kind
from shared.snowflake.domain import LAYOUT_2
from siloway_client.client import new_request_id
from siloway_client.doctor.checking import Checker, Finding, Result
from siloway_client.doctor.comparing import Difference
from tests.integration.callbacks.silos import add_organizations, execute, organization_ids, reservations, rows
from tests.integration.doctor.world import World
from tests.integration.provisioning.asking import ask, ask_rename, at_end, id_of, made, renamed
from tests.integration.reconciliation.comparing import Reconciling
from tests.invariants import check_quiet

pytestmark = pytest.mark.integration

_MAPPING = "INSERT INTO organization_mapping VALUES (7, 'lone', 'Lone', 'us', 'active', 1, '2026-01-01', '2026-01-01')"
_RECORD = """
    INSERT INTO request_record (principal, request_id, method, fingerprint, state, created_at, updated_at)
    VALUES ('tokens/1', gen_random_uuid(), '/m', '', 'RUNNING', '2026-01-01', '2026-01-01')
"""
_SLUG = """
    INSERT INTO slug_reservation (slug, organization_id, holder, region, type, state, fence_version, expires_at,
        created_at, updated_at)
    VALUES ('odd', {organization}, '{holder}', 'us', {type}, {state}, 1, {expires}, '2026-01-01', '2026-01-01')
"""
_ORGANIZATION = """
    INSERT INTO organization (id, slug, base_slug, name, state, status, default_role, flags, is_test, date_added)
    VALUES (7, NULL, 'x', 'X', {state}, 0, 'member', 0, false, '2026-01-01')
"""
_RELEASE = "INSERT INTO release (id, organization_id, version, status, date_added) VALUES (8, 7, '1', 0, '2026-01-01')"
_FETCH = """
    INSERT INTO commit_fetch (id, organization_id, release_id, principal, refs, state, next_try_at, created_at,
        updated_at)
    VALUES (9, 7, 8, 'tokens/1', '[]', 'queued', '2026-01-01', '2026-01-01', '2026-01-01')
"""
_LEASE = "INSERT INTO outbox_lease VALUES ('us', 'odd', NULL, NULL, '2026-01-01')"
_MESSAGE = """
    INSERT INTO outbox_message (target, aggregate, sequence, category, subject, payload, created_at, last_error)
    VALUES ('nowhere', 'odd', {sequence}, 'region', 'us', NULL, '2026-01-01', {error})
"""


def slug(organization: str = "NULL", holder: str = "x", of: int = 0, state: int = 1, expires: str = "NULL") -> str:
    return _SLUG.format(organization=organization, holder=holder, type=of, state=state, expires=expires)


BROKEN = {
    "slug_unique": (
        "control",
        [
            "ALTER TABLE slug_reservation DROP CONSTRAINT slug_reservation_slug_check",
            slug().replace("'odd'", "'Odd'"),
        ],
    ),
    "one_slug_of_a_type": (
        "control",
        ["DROP INDEX slug_reservation_organization_id_type_key", _MAPPING, slug("7"), slug("7").replace("odd", "even")],
    ),
    "held_pending": ("control", [slug(holder="requests/tokens/1/x", state=0)]),
    "mapping_slug": ("control", [_MAPPING]),
    "reservation_mapped": ("control", [slug("7")]),
    "expired_slugs": ("control", [slug(of=3, expires="'2026-01-02'")]),
    "lost_region_holds": (
        "control",
        ["UPDATE region_directory SET lost_at = now()", slug(holder="imports/1", state=0)],
    ),
    "request_running": ("control", [_RECORD]),
    "token_organization": (
        "control",
        ["INSERT INTO token SELECT 5, '\\x01', name, audience, scopes, 7, NULL, NULL, 1, '2026-01-01' FROM token"],
    ),
    "change_holds": (
        "control",
        [
            """INSERT INTO organization_change VALUES ('tokens/1', gen_random_uuid(), 2, 'RUNNING', '', 'us', 7, 'x',
            '{}', NULL, '2026-01-01', '2026-01-01')"""
        ],
    ),
    "provision_once": (
        "control",
        [
            """INSERT INTO organization_change SELECT 'tokens/1', gen_random_uuid(), 1, 'SUCCEEDED', '', 'us', 7, 'x',
            '{}', NULL, '2026-01-01', '2026-01-01' FROM generate_series(1, 2)"""
        ],
    ),
    "outbox_contiguous": (
        "control",
        ["INSERT INTO outbox_shard VALUES ('nowhere', 'odd', 3)", _MESSAGE.format(sequence=2, error="NULL")],
    ),
    "out_of_step": (
        "control",
        [
            "INSERT INTO outbox_shard VALUES ('nowhere', 'odd', 1)",
            _MESSAGE.format(sequence=1, error="'GAP SEQUENCE_GAP: x'"),
            "INSERT INTO outbox_lease VALUES ('nowhere', 'odd', NULL, NULL, '2036-01-01', 1, 1)",
        ],
    ),
    "dead_leases": ("control", [_LEASE]),
    "parked_shards": ("control", [_LEASE, "UPDATE outbox_lease SET parked_at = now()"]),
    "parked_subjects": (
        "control",
        ["INSERT INTO outbox_parked VALUES ('us', 'odd', 'token', '1', 1, 12, 'no', now(), now())"],
    ),
    "inbox_epochs": ("us", ["INSERT INTO inbox_shard VALUES ('control', 'odd', gen_random_uuid(), 1, now())"]),
    "silo_open": ("us", ["UPDATE silo_identity SET restored_at = now()"]),
    "active_slug": ("us", [_ORGANIZATION.format(state=1)]),
    "importing_has_import": ("us", [_ORGANIZATION.format(state=0)]),
    "fetch_moves": (
        "us",
        [_ORGANIZATION.format(state=1), _RELEASE, _FETCH],
    ),
    "deploy_announced": (
        "us",
        [
            _ORGANIZATION.format(state=1),
            _RELEASE,
            "INSERT INTO environment (organization_id, name, date_added) VALUES (7, 'production', '2026-01-01')",
            """INSERT INTO deploy (id, organization_id, release_id, environment_id, date_added, date_finished)
            SELECT 9, 7, 8, id, '2026-01-01', '2026-01-01' FROM environment""",
        ],
    ),
    "membership_mapped": (
        "control",
        ["INSERT INTO organization_membership VALUES (7, 1, 'us', 5, NULL, 'owner', 1, '2026-01-01')"],
    ),
    "announcements_counted": (
        "control",
        [
            "INSERT INTO announcement_counter VALUES (7, 2)",
            "INSERT INTO announcement VALUES (7, 3, 'us', 'deploy', '1', '{}', '2026-01-01')",
        ],
    ),
    "token_confirmed": ("us", ["UPDATE token SET version = 0"]),
    "id_marks": (
        "control",
        [
            f"""INSERT INTO token SELECT {LAYOUT_2.encode(2_000_000_000, 0, 1)}, '\\x00', name, audience, scopes, NULL,
            NULL, now(), 1, now() FROM token LIMIT 1"""
        ],
    ),
}


def run(world: World, silo: str, check: str) -> tuple[int, list[Finding]]:
    return world.checker().run_check(silo, check)


def the_check(checker: Checker, silo: str, check: str) -> doctor_pb.Check:
    client = checker.control if silo == "control" else checker.regions[silo]
    assert client is not None
    found = {each.id: each for each in client.doctor.ListChecks(doctor_pb.ListChecksRequest()).checks}
    return found[check]


@pytest.mark.parametrize("check", sorted(BROKEN))
def test_a_check_finds_what_it_is_for(world: World, check: str) -> None:
    silo, statements = BROKEN[check]
    assert run(world, silo, check)[1] == [], "good data has no finding"
    for statement in statements:
        execute(world.database(silo), statement)
    _, found = run(world, silo, check)
    assert found, the_check(world.checker(), silo, check).description
    assert {each.check for each in found} == {check}


@pytest.mark.parametrize("check", ["dead_leases", "expired_slugs", "id_marks", "token_confirmed"])
def test_what_can_be_repaired_is_repaired_once_and_stands_in_the_audit(world: World, check: str) -> None:
    silo, statements = BROKEN[check]
    for statement in statements:
        execute(world.database(silo), statement)
    checker = world.checker()
    _, found = checker.run_check(silo, check)
    client = checker.control if silo == "control" else checker.regions[silo]
    assert client is not None
    keys = [each.key for each in found]
    request = doctor_pb.RepairFindingsRequest(check=check, keys=keys, request_id=new_request_id())
    first = client.doctor.RepairFindings(request)
    assert list(first.repaired_keys) == keys
    assert client.doctor.RepairFindings(request) == first, "the same request again has the same answer"
    request.request_id = str(uuid.uuid4())
    if check == "token_confirmed":  # the doctor's own token was unknown too; it is believed for another second
        return
    assert list(client.doctor.RepairFindings(request).gone_keys) == keys
    assert checker.run_check(silo, check)[1] == []
    entries = client.audit.ListAuditEntries(audit_pb.ListAuditEntriesRequest(action="doctor.repair")).audit_entries
    assert len(entries) == 1


def test_every_check_runs_over_good_data_in_pages_and_finds_nothing(world: World) -> None:
    for number in range(3):
        change = made(world.silos, slug=f"s{number}", region="us" if number % 2 else "de")
        renamed(world.silos, id_of(change), f"t{number}")
    assert world.findings() == []
    checker = world.checker()
    assert checker.control is not None
    seen, token = 0, ""
    while True:
        request = doctor_pb.ListFindingsRequest(check="slug_unique", page_size=2, page_token=token)
        page = checker.control.doctor.ListFindings(request)
        assert page.row_count <= 2
        seen, token = seen + page.row_count, page.next_page_token
        if not token:
            break
    assert seen == len(reservations(world.silos.control)) == 6


def test_parked_subjects_of_one_shard_are_all_found_however_small_the_pages(world: World) -> None:
    add = "INSERT INTO outbox_parked VALUES ('us', 'odd', 'token', :subject, 1, 12, 'no', now(), now())"
    for subject in ("1", "2", "3"):
        execute(world.silos.control, add, subject=subject)
    client = world.checker().control
    assert client is not None
    seen, request = [], doctor_pb.ListFindingsRequest(check="parked_subjects", page_size=2)
    while True:
        page = client.doctor.ListFindings(request)
        seen += [finding.description for finding in page.findings]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert seen == ["token 1: no", "token 2: no", "token 3: no"]


@pytest.mark.parametrize("kind", ["provision", "rename", "import"])
def test_what_is_held_without_a_message_is_asked_again_and_comes_to_its_end(world: World, kind: str) -> None:
    silos = world.silos
    if kind == "import":
        (organization_id,) = organization_ids(1, 1)
        add_organizations(silos.regions["us"], [(organization_id, "imported")])
        silos.reserve("us", [(organization_id, "imported")])
        change = None
    else:
        a = made(silos, slug="a")
        change = ask(silos, slug="b") if kind == "provision" else ask_rename(silos, id_of(a), "a2")
    lost = "DELETE FROM outbox_shard USING outbox_message AS m WHERE (m.target, m.aggregate) = {key}"
    execute(silos.control, lost.format(key="(outbox_shard.target, outbox_shard.aggregate)"))
    execute(silos.control, "DELETE FROM outbox_message")
    world.clock.advance(120)
    checker = world.checker()
    _, found = checker.run_check("control", "held_pending")
    assert len(found) == 1

    assert checker.repair([Finding("control", "held_pending", found[0].key, "", repairable=True)]) == 1

    world.drain()
    if change is not None:
        assert at_end(silos, change).state.value == "SUCCEEDED"
        check_quiet(silos.control, silos.regions)
    else:
        assert rows(silos.regions["us"], "SELECT slug FROM organization") == [("imported",)]


def test_a_region_that_differs_is_told_controls_slug_again(world: World) -> None:
    silos = world.silos
    a = made(silos, slug="a")
    execute(silos.regions["us"], "UPDATE organization SET slug = 'wrong'")
    checker = world.checker()
    found = checker.run().findings
    assert [(each.silo, each.check, each.key) for each in found] == [("us", "organization_slug", str(id_of(a)))]

    assert checker.repair(found) == 1

    world.drain()
    check_quiet(silos.control, silos.regions)
    assert world.findings() == []


def test_what_is_on_its_way_is_no_finding(world: World) -> None:
    silos = world.silos
    a = made(silos, slug="a")
    ask_rename(silos, id_of(a), "a2")
    ask(silos, slug="b")
    checker = world.checker()
    checker.settle = lambda: None
    assert checker.run().findings == []
    silos.drain("control")
    assert checker.run().findings == [], "the region has it, its answer waits"


def test_a_restored_database_in_its_own_place_is_closed_only_while_no_program_uses_it(world: World) -> None:
    from shared.clock import SystemClock
    from shared.database import Database
    from shared.errors import FailedPrecondition
    from shared.restoration import restored, restored_at

    running = Database.open(world.urls["us"], clock=SystemClock(), application_name="siloway us")
    running.read(restored_at)
    told = Database.open(world.urls["us"], clock=SystemClock(), application_name="siloway-restored")
    try:
        with pytest.raises(FailedPrecondition):
            restored(told, wait_s=0.2)
        running.close()
        epoch = restored(told)
        assert rows(told, "SELECT CAST(epoch AS text), restored_at IS NOT NULL FROM silo_identity") == [(epoch, True)]
    finally:
        told.close()
        running.close()


def test_what_the_continuous_comparison_has_found_is_a_finding_once(world: World) -> None:
    organization = id_of(made(world.silos, slug="acme", region="us"))
    world.drain()
    execute(world.database("control"), "UPDATE organization_mapping SET name = 'Wrong'")
    execute(world.database("us"), "UPDATE organization SET slug = 'wrong'")
    reconciling = Reconciling(world.silos, repair=RepairMode.NONE)
    reconciling.go()
    assert {kind for _, kind, *_ in reconciling.told()} == {Kind.ORGANIZATION, Kind.SLUG}

    found = world.checker().run().findings
    assert [(each.check, each.key) for each in found] == [("organization_slug", str(organization))], "once"

    execute(world.database("us"), "UPDATE organization SET slug = 'acme'")
    reconciling.go()
    checker = world.checker()
    (finding,) = checker.run().findings
    assert (finding.silo, finding.check, finding.repairable) == ("us", "reconciliation", True)
    assert finding.says.startswith(f"organization {organization}: control has ")
    assert checker.repair([finding]) == 1
    reconciling.go()
    world.drain()
    reconciling.go()
    assert checker.run().findings == []


def test_while_a_silo_is_closed_its_findings_are_mended_by_bringing_it_back() -> None:
    odd = Finding("us", "token_confirmed", "5", "unknown to control", repairable=True)
    elsewhere = Finding("de", "token_confirmed", "5", "unknown to control", repairable=True)
    for_people = Finding("de", "active_slug", "7", "active without a slug")
    difference = Finding("de", "slug", "7", "differs", True, Difference("slug", 7, "differs"))
    seen = [odd, elsewhere, for_people, difference]
    assert [way for _, way in Result(findings=seen).ways()] == ["--repair", "--repair", "-", "--repair"]
    closed = Finding("us", "silo_open", "us", "closed since then")
    back = "--after-restore us"
    assert [way for _, way in Result(findings=[closed, *seen]).ways()] == [back, back, "--repair", "-", "--repair"]
    closed = Finding("control", "silo_open", "control", "closed since then")
    assert Result(findings=[closed, difference]).ways()[1][1] == "--after-restore control"
