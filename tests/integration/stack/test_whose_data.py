"""Whose data a method is about: a token that is bound to one organization, against another one's, by every row."""

import uuid
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from control_silo import wiring as control_wiring
from control_silo.tokens.command import mint_token
from region_silo import wiring as region_wiring
from shared.rpc.methods import Method, Whose
from shared.silo import COMMON_METHODS
from shared.tokens import SCOPES
from tests.integration.stack.crafted import Names, answer, first_answer, references, request_of
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration

_ROWS = {
    "control": (*control_wiring.PUBLIC_METHODS, *COMMON_METHODS),
    "us": (*region_wiring.PUBLIC_METHODS, *COMMON_METHODS),
}
_EVERYBODYS = {"CheckSlug", "GetRegion", "ListRegions", "GenerateIds", "DescribeId", "ParseVersion"}
_CALLERS = {
    "ListOrganizations",
    "GetOrganizationChange",
    "ListSlugReservations",
    "ListUserOrganizations",
    "GetImport",
    "GetUpload",
    "WatchImport",
    "VerifyImport",
    "ListImports",
    "ListImportFindings",
    "ListPlanDecisions",
    "CreateExport",
    "GetExport",
    "ListExports",
    "DownloadExport",
    "CompareFiles",
    "CancelExport",
    "DeleteExport",
    "GetRequest",
    "ListAuditEntries",
}
# What besides names a request must hold to be looked at; a method that needs more than nothing has its line here.
_VALUES: dict[str, dict[str, Any]] = {
    "RenameOrganization": {"slug": "wanted"},
    "CreateToken": {"token": {"display_name": "x", "scopes": ["org:read"], "audience": ["us"]}},
    "AddMember": {"member": {"email": "x@example.com", "role": "ROLE_MEMBER"}},
    "UpdateMember": {"member": {"role": "ROLE_MEMBER"}},
    "CreateTeam": {"team": {"display_name": "x"}},
    "CreateProject": {"project": {"display_name": "x"}},
    "CreateRelease": {"release": {"version": "1.0"}, "projects": ["web"]},
    "SetRefs": {"refs": {"refs": [{"repository": "x", "commit": "a"}]}},
    "CreateRepository": {"repository": {"display_name": "x"}},
    "UpdateRepository": {"repository": {"display_name": "x"}},
    "CreateDeploy": {"deploy": {"environment": "production"}},
    "UpdateDeploy": {"deploy": {"display_name": "x"}},
    "SetCommits": {"mode": "COMMIT_MODE_APPEND", "commits": {"commits": [{"id": "a"}]}},
    "StreamCommits": {"header": {"mode": "COMMIT_MODE_APPEND", "request_id": str(uuid.uuid4())}},
    "SetPullRequest": {"pull_request": {"key": "1", "title": "x"}},
    "CreateIssue": {"issue": {"title": "x"}},
    "LinkTrackerIssue": {"integration": "jira", "key": "OPS-1"},
    "UpdateRelease": {"release": {"ref": "x"}, "update_mask": "ref"},
}


@dataclass
class _Two:
    """A token of one organization; names of things of another one, by id and by slug, and names that nobody has."""

    token: str
    others: tuple[Names, Names]
    unknown: tuple[Names, Names]


def _rows(*whose: Whose) -> list[Any]:
    return [
        pytest.param(silo, row, id=f"{silo}-{_short(row)}")
        for silo, rows in _ROWS.items()
        for row in rows
        if row.whose in whose
    ]


def _short(row: Method) -> str:
    return row.name.rpartition("/")[2]


def _names(organization: str, token: str, slug: str, ids: tuple[str, str, str]) -> Names:
    project, member, team = ids
    parent = f"organizations/{organization}"
    return {
        "siloway/Organization": parent,
        "siloway/Project": f"{parent}/projects/{project}",
        "siloway/Member": f"{parent}/members/{member}",
        "siloway/Team": f"{parent}/teams/{team}",
        "siloway/Release": f"{parent}/releases/1.0",
        "siloway/Repository": f"{parent}/repositories/5",
        "siloway/CommitFetch": f"{parent}/commitFetches/5",
        "siloway/Deploy": f"{parent}/releases/1.0/deploys/77",
        "siloway/Issue": f"{parent}/issues/77",
        "siloway/PullRequest": f"{parent}/repositories/5/pullRequests/1",
        "siloway/SlugReservation": f"slugReservations/{slug}",
        "siloway/Token": token,
    }


@pytest.fixture(scope="module")
def two(stack: RunningStack) -> _Two:
    url = stack.database_url("control")
    ids = []
    for name in ("own", "foreign"):
        made = stack.command("orgs", "provision", name, "--slug", f"whose-{name}", "--owner", f"{name}@example.com")
        assert made.returncode == 0, made.stderr
        ids.append(
            stack.value("control", "SELECT organization_id FROM organization_mapping WHERE slug = %s", f"whose-{name}")
        )
    own, foreign = ids
    token = mint_token(url, name="whose own", scopes=SCOPES, organization=str(own))
    mint_token(url, name="whose foreign", scopes=SCOPES, organization=str(foreign))
    wait_until(
        lambda: stack.value("us", "SELECT count(*) FROM token WHERE name LIKE 'whose %%'") == 2,
        "the tokens did not reach the region",
    )
    foreign_token = stack.value("control", "SELECT id FROM token WHERE name = 'whose foreign'")
    things = tuple(
        str(stack.value("us", statement, foreign))
        for statement in (
            "SELECT coalesce(max(id), 5) FROM project WHERE organization_id = %s",
            "SELECT id FROM organization_member WHERE organization_id = %s",
            "SELECT id FROM team WHERE organization_id = %s",
        )
    )
    there = (things[0], things[1], things[2])
    return _Two(
        token,
        (
            _names(str(foreign), f"tokens/{foreign_token}", "whose-foreign", there),
            _names("whose-foreign", f"tokens/{foreign_token}", "whose-foreign", there),
        ),
        (
            _names(str(foreign + 1), "tokens/5", "nobody-has-this", ("5", "5", "5")),
            _names("nobody-has-this", "tokens/5", "nobody-has-this", ("5", "5", "5")),
        ),
    )


def test_only_these_methods_are_everybodys_or_decide_by_themselves() -> None:
    rows = [row for rows in _ROWS.values() for row in rows]
    assert {_short(row) for row in rows if row.whose is Whose.EVERYBODY} == _EVERYBODYS
    assert {_short(row) for row in rows if row.whose is Whose.CALLER} == _CALLERS


def test_a_row_names_every_field_that_leads_to_an_organization() -> None:
    """SwapSlugs and the like, which are about several organizations at once, are the silo's."""
    forgotten = {
        row.name: references(row) - set(row.names)
        for rows in _ROWS.values()
        for row in rows
        if row.whose is not Whose.SILO and not references(row) <= set(row.names)
    }
    assert not forgotten


@pytest.mark.parametrize(("silo", "row"), _rows(Whose.ORGANIZATION))
def test_what_is_another_organizations_is_told_as_what_is_not_there(
    stack: RunningStack, two: _Two, silo: str, row: Method
) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        for others, unknown in zip(two.others, two.unknown, strict=True):
            values = _VALUES.get(_short(row), {})
            told, _ = answer(channel, row, two.token, request_of(row, others, values))
            assert told.endswith("_NOT_FOUND"), f"{others}: {told}"
            assert (told, b"") == answer(channel, row, two.token, request_of(row, unknown, values))


@pytest.mark.parametrize(("silo", "row"), [each for each in _rows(Whose.CALLER) if each.values[1].names])
def test_a_list_of_another_organization_is_as_empty_as_that_of_none(
    stack: RunningStack, two: _Two, silo: str, row: Method
) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        told = answer(channel, row, two.token, request_of(row, two.others[0], {}))
        assert told == ("OK", b"")
        assert told == answer(channel, row, two.token, request_of(row, two.unknown[0], {}))


@pytest.mark.parametrize(("silo", "row"), _rows(Whose.SILO))
def test_what_is_the_silos_is_closed_to_a_token_of_one_organization(
    stack: RunningStack, two: _Two, silo: str, row: Method
) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        assert first_answer(channel, row, two.token) == "PERMISSION_DENIED"


def _address(stack: RunningStack, silo: str) -> str:
    described = stack.describe["control"] if silo == "control" else stack.describe["regions"][silo]
    return str(described["public_address"])
