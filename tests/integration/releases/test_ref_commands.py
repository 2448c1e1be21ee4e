"""`siloway repositories` and `siloway release set-refs`, `fetches` and `compare` against a region's public door."""

import pytest

from tests.region_client import Client
from tests.region_commands import Run

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_repositories_are_made_listed_and_shown(run: Run) -> None:
    made = run("repositories", "create", "acme", "app", "--provider", "local-git", "--setting", "path=a=b", "--json")
    assert made["provider_settings"] == {"path": "a=b"}
    number = made["name"].rpartition("/")[2]
    shown = run("repositories", "get", "acme", number)
    assert shown.splitlines() == [f"{made['name']}: app, active, provider local-git", "  path: a=b"]
    assert run("repositories", "list", "acme", "--json") == [made]
    assert run("repositories", "list", "acme").split()[-3:] == [number, "app", "local-git"]
    assert run("repositories", "list", "acme", "--hidden") == "(none)\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("repositories", "create", "acme", "app", "--setting", "path"),
        ("release", "set-refs", "acme", "1", "--ref", "x"),
    ],
)
def test_what_cannot_be_read_is_told_as_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2


def test_refs_are_set_fetches_are_shown_and_releases_compared(run: Run, client: Client) -> None:
    client.create("1.0")
    client.create("2.0")
    run("repositories", "create", "acme", "app")
    assert run("release", "fetches", "acme", "1.0") == "(none)\n"
    run("release", "set-refs", "acme", "1.0", "--ref", "app@old", "--without-fetch")
    told = run("release", "set-refs", "acme", "2.0", "--ref", "app@a..b", "--ref", "app@new")
    assert "  app: new\n" in told
    assert "queued, 0 commits, tried 0 times" in told
    assert "1.0 is the newest earlier release of its projects with a head of app" in told
    assert run("release", "fetches", "acme", "2.0").splitlines()[-2:] == [
        "  app: a .. b: waits",
        "  app: old .. new: waits",
    ]
    (fetch,) = run("release", "fetches", "acme", "2.0", "--json")
    assert [ref["commit"] for ref in fetch["refs"]] == ["b", "new"]
    compared = run("release", "compare", "acme", "1.0", "2.0")
    assert compared.splitlines() == ["0 commits, 0 files", "  app: old .. new", "(none)"]
    assert run("release", "compare", "acme", "1.0", "2.0", "--json")["heads"] == [
        {"repository": "app", "base_commit_id": "old", "commit_id": "new"}
    ]
