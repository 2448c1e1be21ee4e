"""Who may compare which files, which files can be compared at all, and what the audit has of it."""

from dataclasses import replace
from typing import Any

import grpc
import pytest

from region_silo.exports.domain import FILE_KEEP
from region_silo.file_comparison.domain import FileName
from region_silo.file_comparison.usecases import FileComparisonUseCases
from shared.errors import SpoolFull, UploadIncomplete
from shared.importing.spool import Spool
from shared.rpc.call import Caller, acting
from tests.integration.exports.test_permissions import organization_of
from tests.integration.exports.test_rules import two_organizations
from tests.integration.file_comparison.doors import Doors
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import CALLER, METHOD, OPERATOR

pytestmark = pytest.mark.integration

_FILE = [rows.organization(1), rows.team(1, 1, "one")]


@pytest.fixture
def own(doors: Doors) -> dict[str, str]:
    """Exports that tokens of two organizations and an operator made, by whose they are."""
    stack = doors.stack
    stack.import_all(two_organizations())
    other = stack.bound(organization_of(stack, "umbrella"))
    doors.callers["umbrella"] = replace(other, principal="tokens/10", token_id=10)
    stack.rights["tokens/10"] = stack.rights["tokens/9"]
    doors.callers["acme"] = stack.bound(organization_of(stack, "acme"))
    return {token: doors.export(doors.callers[token]) for token in ("acme", "umbrella", "operator")}


def test_a_token_of_an_organization_compares_its_own_exports_and_sees_no_others(
    doors: Doors, own: dict[str, str]
) -> None:
    assert doors.compare(own["acme"], own["acme"], "acme").result.rows_matched
    missing = doors.refused("exports/99", own["acme"], "acme")
    assert missing.reason == "EXPORT_NOT_FOUND"
    for other in (own["umbrella"], own["operator"]):
        for pair in ((own["acme"], other), (other, own["acme"])):
            told = doors.refused(*pair, "acme")
            assert (told.code, told.reason) == (missing.code, missing.reason)
    assert doors.compare(own["acme"], own["umbrella"]).result, "operators see all"


def test_the_file_of_an_import_is_for_its_creator_and_operators_alone(doors: Doors, own: dict[str, str]) -> None:
    file = doors.upload(_FILE, caller=CALLER)
    doors.callers["stranger"] = Caller("tokens/99", frozenset({"import:write"}))
    bound = doors.callers["acme"]
    for principal in (bound.principal, CALLER.principal):
        scopes = bound.scopes | {"import:write", "silo:operate"}
        doors.callers["bound"] = replace(bound, principal=principal, scopes=scopes)
        assert doors.refused(file, file, "bound").reason == "IMPORT_NOT_FOUND"
    assert doors.refused(file, file, "stranger").reason == "IMPORT_NOT_FOUND"
    assert doors.refused("imports/99", file).reason == "IMPORT_NOT_FOUND"
    assert doors.compare(file, file, "importer").result.equal
    assert doors.compare(file, own["acme"]).findings


@pytest.mark.parametrize(
    ("scopes", "left", "right"),
    [
        ({"import:write"}, "imports/1", "exports/1"),
        ({"org:admin"}, "imports/1", "exports/1"),
        ({"org:read", "project:write"}, "exports/1", "exports/1"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(sorted(value)),
)
def test_each_file_needs_a_scope_of_its_kind(doors: Doors, scopes: set[str], left: str, right: str) -> None:
    file, export = doors.upload(_FILE, caller=CALLER), doors.export()
    names = {"imports/1": file, "exports/1": export}
    doors.callers["some"] = replace(CALLER, scopes=frozenset(scopes))
    assert doors.refused(names[left], names[right], "some").reason == "SCOPE_MISSING"


def test_who_acts_as_a_user_must_still_be_owner_or_manager(doors: Doors) -> None:
    stack = doors.stack
    stack.import_all(two_organizations())
    user = stack.value("control", "SELECT id FROM user_account WHERE username = 'ada'")
    stack.imports.change_in("region", f"UPDATE organization_member SET role = 'owner' WHERE user_id = {user}")
    doors.callers["ada"] = stack.bound(organization_of(stack, "acme"), user_id=user)
    export = doors.export(doors.callers["ada"])
    assert doors.compare(export, export, "ada").result.rows_matched
    stack.imports.change_in("region", f"UPDATE organization_member SET role = 'member' WHERE user_id = {user}")
    assert doors.refused(export, export, "ada").code is grpc.StatusCode.PERMISSION_DENIED


def test_a_file_that_is_not_there_yet_or_any_more_is_told(doors: Doors) -> None:
    stack, file = doors.stack, doors.upload(_FILE)
    queued = stack.create().name
    assert doors.refused(file, queued).reason == "EXPORT_NOT_READY"
    assert stack.runner().run_once()
    assert doors.compare(file, queued).result.finding_count
    stack.clock.advance(FILE_KEEP.total_seconds())
    assert doors.refused(file, queued).reason == "EXPORT_EXPIRED"
    with pytest.raises(UploadIncomplete):
        doors.upload(_FILE, finish=False)
    begun = stack.value("region", "SELECT max(id) FROM data_import")
    assert doors.refused(file, f"imports/{begun}").reason == "IMPORT_STATE"
    stack.imports.spool.remove(file.removeprefix("imports/"))
    assert doors.refused(file, file).reason == "SPOOL_MISSING"


@pytest.mark.parametrize("name", ["", "exports/", "exports/x", "organizations/1", "imports/1/findings", "imports/../1"])
def test_a_name_of_nothing_that_has_a_file_is_refused(doors: Doors, name: str) -> None:
    assert doors.refused("exports/1", name).fields == ["right"]
    assert doors.refused(name, "exports/1").fields == ["left"]


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ([rows.organization(1), {"model": "sentry.team", "pk": "x", "fields": {}}], "left: not an export file"),
        ([rows.row("sentry.diary", 1)], "left: no version is known"),
    ],
)
def test_what_is_no_export_is_told_with_its_side_and_nothing_of_the_machine(
    doors: Doors, spoiled: list[dict[str, Any]], told: str
) -> None:
    refusal = doors.refused(doors.upload(spoiled), doors.upload(_FILE))
    assert refusal.reason == "FILE_NOT_COMPARABLE"
    assert told in refusal.message
    assert str(doors.stack.imports.spool_folder) not in refusal.message
    assert doors.workspaces() == []


def test_without_room_for_what_it_needs_meanwhile_nothing_is_compared(doors: Doors) -> None:
    file = FileName.of(doors.upload(_FILE))
    folder = doors.stack.imports.spool_folder
    used = sum(path.stat().st_size for path in folder.iterdir())
    usecases = FileComparisonUseCases(doors.stack.region, Spool(folder, used + 100), doors.stack.files)
    with acting(OPERATOR, method=METHOD), pytest.raises(SpoolFull):
        next(usecases.compare(file, file, 1))


def test_each_comparison_stands_in_the_audit_of_the_organization_whose_file_it_is(
    doors: Doors, own: dict[str, str]
) -> None:
    def entries() -> list[tuple[str, str, str, int | None]]:
        statement = """
            SELECT principal, target, detail ->> 'right' AS other, organization_id FROM audit_entry
            WHERE action = 'files.compare' ORDER BY id
        """
        return [tuple(row.values()) for row in doors.stack.imports.all_in("region", statement)]

    doors.compare(own["acme"], own["acme"], "acme")
    organization = doors.callers["acme"].organization_id
    assert entries() == [("tokens/9", own["acme"], own["acme"], organization)]
    doors.refused(own["acme"], own["umbrella"], "acme")
    doors.compare(own["acme"], own["umbrella"])
    assert entries()[1:] == [("tokens/8", own["acme"], own["umbrella"], None)]
