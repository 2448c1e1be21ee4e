"""Who may export what, who sees which export, and what control checks by itself."""

from dataclasses import replace

import pytest

from control_silo.model_exports.usecases import Right
from region_silo.exports.domain import Scope, State
from region_silo.exports.usecases import OPEN_MAX
from region_silo.organizations.lookup import OrganizationLookup, organization_cache
from shared import errors
from shared.exporting.handover import RowsWanted
from shared.importing.registry import ImportScope
from shared.model_cache_gate import CacheGate
from shared.rpc.call import Caller, acting
from tests.integration.exports.stack import METHOD, ExportStack, by_model, values
from tests.integration.exports.test_rules import two_organizations
from tests.integration.imports.stack import OPERATOR, REGION


def organization_of(stack: ExportStack, slug: str) -> int:
    found: int = stack.value("region", "SELECT id FROM organization WHERE slug = :slug", slug=slug)
    return found


def test_a_bound_token_exports_its_organization_and_nothing_else(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    caller = stack.bound(organization_of(stack, "acme"))
    for slugs in (None, ("acme",), ("acme", "umbrella")):
        found = stack.export(caller=caller, slugs=slugs)
        assert values(found, "sentry.organization", "slug") == ["acme"]
        assert values(found, "sentry.user", "username") == ["ada"]
        assert values(found, "sentry.projectoption", "value") == [1]
    assert stack.export(caller=caller, slugs=("umbrella",)) == []


def test_secrets_of_people_go_to_operators_only(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    stack.imports.change_in("control", "UPDATE user_account SET session_nonce = 'x'")
    mine = by_model(stack.export(caller=stack.bound(organization_of(stack, "acme"))))
    whole = by_model(stack.export(slugs=("acme",)))
    for model, field, nothing in (
        ("sentry.user", "password", ""),
        ("sentry.user", "session_nonce", None),
        ("sentry.useremail", "validation_hash", ""),
    ):
        assert {row["fields"][field] for row in mine[model]} == {nothing}
        assert all(row["fields"][field] for row in whole[model])


@pytest.mark.parametrize("scope", [Scope.USER, Scope.CONFIG, Scope.GLOBAL], ids=lambda scope: scope.name)
def test_other_scopes_are_for_operators(stack: ExportStack, scope: Scope) -> None:
    with pytest.raises(errors.ScopeMissing):
        stack.create(scope, caller=stack.bound(7))


def test_a_token_without_organization_needs_to_operate_the_silo(stack: ExportStack) -> None:
    with pytest.raises(errors.ScopeMissing):
        stack.create(caller=Caller("tokens/9", frozenset({"org:admin"}), token_id=9))


def test_a_bound_token_is_no_operator_whatever_its_scopes_say(stack: ExportStack) -> None:
    caller = replace(stack.bound(7), scopes=frozenset({"org:admin", "silo:operate"}))
    with pytest.raises(errors.ScopeMissing):
        stack.create(Scope.GLOBAL, caller=caller)


@pytest.mark.parametrize(("role", "may"), [("owner", True), ("manager", True), ("admin", False), ("member", False)])
def test_who_acts_as_a_user_must_be_owner_or_manager(stack: ExportStack, role: str, may: bool) -> None:
    stack.import_all(two_organizations())
    organization = organization_of(stack, "acme")
    user = stack.value("control", "SELECT id FROM user_account WHERE username = 'ada'")
    stack.imports.change_in("region", f"UPDATE organization_member SET role = '{role}' WHERE user_id = {user}")
    caller = stack.bound(organization, user_id=user)
    if may:
        export_id = stack.create(caller=caller).id
        assert stack.get(export_id, caller).organization_id == organization
        stack.imports.change_in("region", f"UPDATE organization_member SET role = 'member' WHERE user_id = {user}")
        with pytest.raises(errors.PermissionDenied):
            stack.get(export_id, caller)
    else:
        with pytest.raises(errors.PermissionDenied):
            stack.create(caller=caller)


def test_exports_are_seen_by_their_creator_and_by_operators(stack: ExportStack) -> None:
    one, other = stack.bound(7), replace(stack.bound(8), principal="tokens/10")
    export_id = stack.create(caller=one).id
    assert stack.get(export_id, one).id == stack.get(export_id).id == export_id
    for stranger in (other, replace(one, organization_id=8)):
        with pytest.raises(errors.ExportNotFound):
            stack.get(export_id, stranger)
        with pytest.raises(errors.ExportNotFound):
            stack.download(export_id, caller=stranger)
        with acting(stranger, method=METHOD):
            assert stack.usecases.page(None, 10) == []
            for change in (stack.usecases.cancel, stack.usecases.delete):
                with pytest.raises(errors.ExportNotFound):
                    change(stack.mutation(stranger), export_id)
    for caller in (one, OPERATOR):
        with acting(caller, method=METHOD):
            assert [each.id for each in stack.usecases.page(None, 10)] == [export_id]


def test_a_bound_token_hears_that_its_organization_is_elsewhere_or_not_there_yet(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    gate = CacheGate(stack.region, clock=stack.clock)
    stack.find = OrganizationLookup(organization_cache(stack.region, None, gate, REGION), stack.region).find
    acme = organization_of(stack, "acme")
    assert stack.create(caller=stack.bound(acme)).organization_id == acme
    with pytest.raises(errors.OrganizationNotFound):
        stack.create(caller=stack.bound(7))
    stack.imports.change_in("region", f"UPDATE organization SET state = 0, slug = NULL WHERE id = {acme}")
    stack.clock.advance(60)
    with pytest.raises(errors.OrganizationImporting):
        stack.create(caller=stack.bound(acme))


def test_filters_belong_to_their_scopes(stack: ExportStack) -> None:
    for scope in set(Scope) - {Scope.USER}:
        with pytest.raises(errors.InvalidArgument):
            stack.create(scope, usernames=("a",))
    for scope in set(Scope) - {Scope.ORGANIZATION}:
        with pytest.raises(errors.InvalidArgument):
            stack.create(scope, slugs=("a",))


def test_a_caller_has_so_many_exports_waiting_at_most(stack: ExportStack) -> None:
    caller = stack.bound(7)
    for _ in range(OPEN_MAX):
        stack.create(caller=caller)
    with pytest.raises(errors.ResourceExhausted):
        stack.create(caller=caller)
    stack.create()


def test_the_same_request_again_is_the_same_export(stack: ExportStack) -> None:
    request_id = "6f1b0f0e-93c5-4d5c-8d2e-0a4f6f2f7a11"
    first = stack.create(request_id=request_id)
    assert stack.create(request_id=request_id) == first
    with pytest.raises(errors.RequestIdReused):
        stack.create(Scope.GLOBAL, request_id=request_id)


def test_every_step_stands_in_the_audit(stack: ExportStack) -> None:
    organization = 7
    caller = stack.bound(organization)
    export_id = stack.create(caller=caller).id
    stack.runner().run_once()
    stack.download(export_id, caller=caller)
    with acting(caller, method=METHOD):
        stack.usecases.cancel(stack.mutation(caller), export_id)
        stack.usecases.delete(stack.mutation(caller), export_id)
    entries = stack.imports.all_in("region", "SELECT action, target, organization_id FROM audit_entry ORDER BY id")
    assert [(each["action"], each["target"], each["organization_id"]) for each in entries] == [
        (f"export.{action}", f"exports/{export_id}", organization)
        for action in ("create", "download", "cancel", "delete")
    ]


def _wanted(stack: ExportStack, scope: ImportScope, organizations: tuple[int, ...] | None) -> RowsWanted:
    return RowsWanted(stack.imports.ids[REGION].take(1)[0], "tokens/9", scope, organizations=organizations)


@pytest.mark.parametrize(
    ("scope", "organizations"),
    [
        (ImportScope.USER, None),
        (ImportScope.CONFIG, None),
        (ImportScope.GLOBAL, None),
        (ImportScope.ORGANIZATION, None),
        (ImportScope.ORGANIZATION, (8,)),
        (ImportScope.ORGANIZATION, (7, 8)),
    ],
)
def test_control_gives_a_bound_principal_rows_of_its_organization_only(
    stack: ExportStack, scope: ImportScope, organizations: tuple[int, ...] | None
) -> None:
    stack.bound(7)
    assert list(stack.model_exports.rows(REGION, _wanted(stack, ImportScope.ORGANIZATION, (7,)))) == []
    with pytest.raises(errors.ScopeMissing):
        list(stack.model_exports.rows(REGION, _wanted(stack, scope, organizations)))


def test_control_gives_nothing_without_a_right_nor_to_another_region(stack: ExportStack) -> None:
    wanted = _wanted(stack, ImportScope.ORGANIZATION, (7,))
    with pytest.raises(errors.ScopeMissing):
        list(stack.model_exports.rows(REGION, wanted))
    stack.rights["tokens/9"] = [Right(frozenset({"org:read"}), 7)]
    with pytest.raises(errors.ScopeMissing):
        list(stack.model_exports.rows(REGION, wanted))
    stack.rights["tokens/9"] = [Right(frozenset({"silo:operate"}), None)]
    for region, export_id in (("de", wanted.export_id), ("fr", wanted.export_id), (REGION, 5)):
        with pytest.raises(errors.PeerRefused):
            list(stack.model_exports.rows(region, replace(wanted, export_id=export_id)))


def test_what_control_refuses_fails_the_export_and_tells_why(stack: ExportStack) -> None:
    export_id = stack.create(caller=stack.bound(7)).id
    stack.rights.clear()
    assert stack.runner().run_once()
    found = stack.get(export_id)
    assert found.state is State.FAILED
    assert found.error is not None
    assert found.error.reason == "SCOPE_MISSING"
    assert stack.files.found() == []


def test_rows_about_organizations_of_another_region_stay_there(stack: ExportStack) -> None:
    stack.import_all(two_organizations())
    umbrella = organization_of(stack, "umbrella")
    for organization in (umbrella, organization_of(stack, "acme")):
        stack.keep("control", "sentry.apikey", {"organization_id": organization}, {"key": str(organization)})
    stack.imports.change_in(
        "control", f"UPDATE organization_mapping SET region = 'de' WHERE organization_id = {umbrella}"
    )
    assert values(stack.export(Scope.GLOBAL), "sentry.apikey", "key") == [str(organization_of(stack, "acme"))]
