"""Names come back as the keys that they were made from; digits are ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import names
from shared.errors import InvalidArgument

versions = st.text(min_size=1, max_size=50).filter(lambda text: "\0" not in text)
ids = st.integers(min_value=1, max_value=2**63 - 1)


@given(ids, versions)
def test_a_release_name_comes_back_as_its_parts(organization: int, version: str) -> None:
    name = names.release_name(organization, version)
    assert names.parse_release(name, "name") == names.ReleaseName(organization, version)


@given(ids, st.from_regex(r"\A[a-z][a-z0-9-]{0,20}\Z"))
def test_a_project_name_comes_back_as_its_parts(organization: int, slug: str) -> None:
    name = names.project_name(organization, slug)
    assert names.parse_project(name, "name") == names.ProjectName(organization, slug)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("7", 7),
        ("acme", "acme"),
        ("007", "007"),
        ("0", "0"),
        ("9" * 20, "9" * 20),
        ("٣", "٣"),
        (str(2**63), str(2**63)),
    ],
)
def test_only_canonical_digits_are_an_id(text: str, key: int | str) -> None:
    assert names.parse_key(text) == key


@pytest.mark.parametrize(
    "name", ["", "organizations", "organizations/", "organization/1", "organizations/1/projects", "organizations/a\0"]
)
def test_a_malformed_name_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        names.parse_organization(name, "parent")
    assert refused.value.violations[0].field == "parent"


@pytest.mark.parametrize(
    "name", ["organizations/1/releases/", "organizations//releases/1", "organizations/1/release/1"]
)
def test_a_malformed_release_name_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        names.parse_release(name, "release.name")
    assert refused.value.violations[0].field == "release.name"


@given(ids, st.from_regex(r"\A[^/\0]{1,30}\Z"), ids)
def test_a_deploy_name_comes_back_as_its_parts(organization: int, version: str, deploy: int) -> None:
    name = names.deploy_name(organization, version, deploy)
    assert names.parse_deploy(name, "name") == names.DeployName(organization, version, deploy)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "organizations/1/releases/v/deploys/",
        "organizations/1/releases/v/deploys/x",
        "organizations/1/releases/v/deploys/0",
        "organizations/1/releases/v/deploys/1/more",
        "organizations/1/releases/a/b/deploys/1",
        "organizations//releases/v/deploys/1",
        "organizations/1/releases//deploys/1",
        "organizations/1/teams/v/deploys/1",
        "organizations/1/releases/v",
    ],
)
def test_what_names_no_deploy_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        names.parse_deploy(name, "name")
