"""`siloway release` against the running stack: commits from lines, from a repository, appended, streamed, cleared."""

import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stack import RunningStack

pytestmark = pytest.mark.integration


def answer(stack: RunningStack, *arguments: str) -> Any:
    done = stack.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commits_are_set_appended_listed_and_cleared_by_the_command(stack: RunningStack, tmp_path: Path) -> None:
    mark = secrets.token_hex(4)
    answer(stack, "orgs", "provision", "Shop", "--slug", f"shop-{mark}", "--owner", "ada@example.com")
    answer(stack, "project", "create", f"shop-{mark}", "Web", "--slug", "web")
    release = (f"shop-{mark}", "shop@1.0")
    answer(stack, "release", "create", *release, "--project", "web")

    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    git(tmp_path, "commit", "--quiet", "--message", "second", "--allow-empty")
    local = answer(stack, "release", "set-commits", *release, "--local", "--path", str(tmp_path), "--repository", "s")
    assert local["added_count"] == 2
    assert local["release"]["heads"] == [{"repository": "s", "commit_id": git(tmp_path, "rev-parse", "HEAD")}]
    assert answer(stack, "release", "files", *release) == [
        {"repository": "s", "path": "a.py", "types": ["A"], "commit_count": 1}
    ]

    lines = tmp_path / "commits.jsonl"
    lines.write_text("".join(json.dumps({"id": f"c{n}", "repository": "many"}) + "\n" for n in range(5001)))
    assert answer(stack, "release", "append-commits", *release, str(lines))["added_count"] == 5001
    lines.write_text('{"id": "last", "repository": "many"}\n')
    shown = stack.command("release", "set-commits", *release, str(lines), "--replace", "repository")
    assert shown.stdout.startswith("1 commits added, 5001 removed, 0 of the given left out\n"), shown.stderr
    assert answer(stack, "release", "clear-commits", *release)["removed_count"] == 3

    both = stack.command("release", "set-commits", *release, str(lines), "--local")
    assert (both.returncode, "either a file of commits or --local" in both.stderr) == (2, True)
    absent = stack.command("release", "set-commits", *release, "--local", "--path", str(tmp_path), "--from", "nowhere")
    assert (absent.returncode, absent.stderr.startswith("siloway: git: ")) == (1, True)
