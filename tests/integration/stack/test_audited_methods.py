"""Every privileged change stands in the audit: each mutating method of the tables, called and looked up."""

import secrets
from typing import Any

import grpc
import pytest

from control_silo import wiring as control_wiring
from region_silo import wiring as region_wiring
from shared.rpc.methods import Method
from shared.silo import COMMON_METHODS
from tests.integration.stack.crafted import Names, answer, output_of, request_of
from tests.stack import RunningStack

pytestmark = pytest.mark.integration

_PRIVILEGED = {"silo:operate", "org:admin"}
_ROWS = {
    "control": (*control_wiring.PUBLIC_METHODS, *COMMON_METHODS),
    "us": (*region_wiring.PUBLIC_METHODS, *COMMON_METHODS),
}
_ACTIONS = {
    "ProvisionOrganization": "organization.provision",
    "RenameOrganization": "slug.rename",
    "SwapSlugs": "slug.swap",
    "ReleaseRedirect": "slug.release_redirect",
    "DrainRegion": "region.drain",
    "UndrainRegion": "region.undrain",
    "CreateToken": "token.create",
    "RevokeToken": "token.revoke",
    "CreateUser": "user.create",
    "SuspendUser": "user.suspend",
    "UnsuspendUser": "user.unsuspend",
    "AddMember": "member.add",
    "UpdateMember": "member.change_role",
    "RemoveMember": "member.remove",
    "CreateTeam": "team.create",
    "AddTeamMember": "team.add_member",
    "RemoveTeamMember": "team.remove_member",
    "GrantProjectTeam": "team.grant_project",
    "RevokeProjectTeam": "team.revoke_project",
    "DeleteTeam": "team.delete",
    "DeleteOrganization": "organization.delete",
    "UndeleteOrganization": "organization.undelete",
    "CreateExport": "export.create",
    "CancelExport": "export.cancel",
    "DeleteExport": "export.delete",
}
"""In an order in which they can be called, but for UndrainRegion and the like, which need nothing before."""
_ELSEWHERE = {
    "DeclareRegionLost": "takes a region away: tests/integration/operators/test_lost_region.py",
    "RecoverRegion": "as above",
    "ReplayShard": "needs a shard that is stuck: tests/integration/operators/test_outbox_service.py",
    "SkipMessage": "as above",
    "RepairFindings": "needs something to repair: tests/integration/doctor/test_checks.py",
    "RepairDifferences": "needs a difference: tests/integration/reconciliation/test_doors.py",
    "AgreeOnEpoch": "needs a restored silo: tests/faults/restore/test_restored_silos.py",
    "EndRestoration": "as above",
    "RepairOrganizations": "as above",
    "UploadImport": "its answer is a stream's: tests/integration/operators/test_audit_service.py",
    "PlanImport": "as above: tests/integration/imports/test_plans_at_the_door.py",
    "ApplyImport": "as above: tests/integration/imports/test_plans_at_the_door.py",
    "PauseImport": "needs an import: tests/integration/imports/test_life.py",
    "ResumeImport": "as above",
    "CancelImport": "as above",
    "RetryImport": "as above",
    "UndoImport": "as above: tests/integration/imports/test_undo_life.py",
}


def _privileged() -> dict[str, tuple[str, Method]]:
    return {
        row.name.rpartition("/")[2]: (silo, row)
        for silo, rows in _ROWS.items()
        for row in rows
        if row.mutating and _PRIVILEGED & set(row.scopes) and not _is_everyday(row)
    }


def _is_everyday(row: Method) -> bool:
    """One that a scope below administration opens too."""
    return bool({"project:write", "org:ci"} & set(row.scopes))


def test_every_privileged_method_is_audited_or_says_where_that_is_shown() -> None:
    assert set(_privileged()) == {*_ACTIONS, *_ELSEWHERE}


def test_each_privileged_change_stands_in_the_audit_of_its_organization(stack: RunningStack) -> None:
    mark = secrets.token_hex(4)
    made, names = _Calls(stack), dict[str, str]()
    for slug in (f"a-{mark}", f"b-{mark}"):
        wish = {"region": "us", "display_name": slug, "slug": slug, "owner_email": "ada@example.com"}
        names[slug] = made.call("ProvisionOrganization", {}, wish).organization
    parent, other = names.values()
    one, two = names
    swapped = [{"organization": parent, "slug": two}, {"organization": other, "slug": one}]
    made.call("SwapSlugs", {}, {"pairs": swapped})
    made.call("RenameOrganization", {"siloway/Organization": parent}, {"slug": f"c-{mark}", "exact": True})
    made.call("ReleaseRedirect", {"siloway/SlugReservation": f"slugReservations/{two}"}, {})
    made.call("DrainRegion", {}, {"name": "regions/de"})
    made.call("UndrainRegion", {}, {"name": "regions/de"})
    user = made.call("CreateUser", {}, {"user": {"username": f"user-{mark}"}}).name
    made.call("SuspendUser", {}, {"name": user})
    made.call("UnsuspendUser", {}, {"name": user})
    token = {"display_name": "x", "scopes": ["org:read"], "audience": ["us"]}
    minted = made.call("CreateToken", {"siloway/Organization": parent}, {"token": token}).name
    made.call("RevokeToken", {"siloway/Token": minted}, {})
    at = {"siloway/Organization": parent}
    at["siloway/Member"] = made.call("AddMember", at, {"member": {"user": user, "role": "ROLE_MEMBER"}}).name
    made.call("UpdateMember", at, {"member": {"role": "ROLE_ADMIN"}})
    at["siloway/Team"] = made.call("CreateTeam", at, {"team": {"display_name": "red"}}).name
    at["siloway/Project"] = made.call("CreateProject", at, {"project": {"display_name": "web"}}).name
    for name in ("AddTeamMember", "RemoveTeamMember", "GrantProjectTeam", "RevokeProjectTeam", "DeleteTeam"):
        made.call(name, at, {})
    made.call("RemoveMember", at, {})
    made.call("DeleteOrganization", {"siloway/Organization": parent}, {})
    made.call("UndeleteOrganization", {"siloway/Organization": parent}, {})
    export = made.call("CreateExport", {}, {"scope": "SCOPE_USER"}).name
    made.call("CancelExport", {}, {"name": export})
    made.call("DeleteExport", {}, {"name": export})
    made.check(int(parent.removeprefix("organizations/")))


class _Calls:
    """Calls methods by their short names as the operator, and remembers their request ids."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._rows = {
            row.name.rpartition("/")[2]: (silo, row) for silo, rows in _ROWS.items() for row in rows if row.mutating
        }
        self._ids: dict[str, str] = {}

    def call(self, name: str, names: Names, values: dict[str, Any]) -> Any:
        silo, row = self._rows[name]
        described = self._stack.describe["control"] if silo == "control" else self._stack.describe["regions"][silo]
        message = request_of(row, names, values)
        self._ids[name] = message.request_id
        with grpc.insecure_channel(described["public_address"]) as channel:
            reason, told = answer(channel, row, self._stack.token, message)
        assert reason == "OK", f"{name}: {reason}"
        return output_of(row, told)

    def check(self, organization_id: int) -> None:
        missing = []
        for name, action in _ACTIONS.items():
            silo, row = self._rows[name]
            found = self._stack.query(
                silo, "SELECT action, organization_id FROM audit_entry WHERE request_id = %s", self._ids[name]
            )
            is_of_one = bool(row.names) or name == "SwapSlugs"
            wanted = (action, organization_id if is_of_one else None)
            if name == "ProvisionOrganization":
                wanted = (action, found[0][1] if found else 0)
            if wanted not in found:
                missing.append((name, found))
        assert not missing
