"""`siloway issues` against a region's public door."""

import pytest

from tests.region_commands import Run
from tests.region_features import RegionFeatures

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_an_issue_is_made_resolved_in_the_next_release_and_opened_again(run: Run, features: RegionFeatures) -> None:
    made = run("issues", "create", "acme", "web", "it broke", "--json")
    assert (made["short_id"], made["in_inbox"]) == ("WEB-1", True)
    assert "WEB-1: unresolved, in the inbox: it broke" in run("issues", "get", "acme", "WEB-1")
    assert "in the inbox" not in run("issues", "inbox-remove", "acme", "WEB-1", "--action", "mark-reviewed")
    features.client.create("1.0")
    assert "resolved in: the one after 1.0" in run("issues", "resolve", "acme", "web-1", "--in-next-release")
    assert "resolved in: 1.0" in run("issues", "resolve", "acme", "web-1", "--in-release", "1.0")
    assert len(run("issues", "list", "acme", "--resolved-in", "1.0", "--state", "resolved", "--json")) == 1
    assert "WEB-1: unresolved" in run("issues", "reopen", "acme", "WEB-1")
    assert "WEB-1" in run("issues", "list", "acme")
    assert run("issues", "list", "acme", "--inbox") == "(none)\n"


@pytest.mark.parametrize(
    "given",
    [
        ("resolve", "acme", "WEB-1", "--in-next-release", "--in-release", "1.0"),
        ("list", "acme", "--state", "nonsense"),
        ("inbox-remove", "acme", "WEB-1", "--action", "nonsense"),
    ],
)
def test_what_contradicts_itself_or_is_no_choice_is_wrong_usage(run: Run, given: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("issues", *given)
    assert ended.value.code == 2
