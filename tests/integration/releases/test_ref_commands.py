"""`siloway repositories` and `siloway release set-refs`, `fetches` and `compare` against a region's public door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siloway_client.__main__ import app
from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Run = Callable[..., Any]


@pytest.fixture
def run(features: RegionFeatures, tmp_path: Path) -> Run:
    """Runs a command; its JSON document when there is one, else its text."""
    token_file, nowhere = tmp_path / "token", "127.0.0.1:1"
    token_file.write_text("all")
    stack = {
        "control": {"public_address": nowhere},
        "regions": {"us": {"public_address": f"127.0.0.1:{features.server.port}"}},
        "token_file": str(token_file),
        "environment_file": nowhere,
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    def command(*arguments: str) -> Any:
        given = [*arguments, "--region", "us"]
        result: Result = CliRunner().invoke(app, ["--folder", str(tmp_path), *given])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return command


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
