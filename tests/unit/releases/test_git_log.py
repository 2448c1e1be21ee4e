"""The command's reading of a repository, against the git command itself."""

import subprocess
from pathlib import Path

import pytest
import typer
from siloway.region.v1 import release_service_pb2 as release_pb

from siloway_client import git_log
from siloway_client.commands import release_commits
from siloway_client.git_log import GitFailed, read_commits, repository_name

Change = release_pb.FileChange


def git(folder: Path, *arguments: str, name: str = "Ann Ärger", time: int = 1_700_000_000) -> str:
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": "ann@x.org",
        "GIT_COMMITTER_NAME": "Committer",
        "GIT_COMMITTER_EMAIL": "c@x.org",
        "GIT_AUTHOR_DATE": f"{time - 60} +0000",
        "GIT_COMMITTER_DATE": f"{time} +0000",
    }
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    return folder


def commit(folder: Path, message: str, time: int, **files: str | None) -> str:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_ü_", "ü ü")
        path.parent.mkdir(exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message, time=time)
    return git(folder, "rev-parse", "HEAD")


def changes(spec: release_pb.CommitSpec) -> list[tuple[str, str]]:
    return [(Change.Type.Name(change.type).removeprefix("TYPE_"), change.path) for change in spec.patch_set]


def test_commits_come_newest_first_with_all_that_git_knows(repository: Path) -> None:
    first = commit(repository, "one\n\nfixes SHOP-1\n\nA line: x", 1_700_000_000, a="1", b="1", dir___ü_="1")
    second = commit(repository, "two\nlines", 1_700_000_100, a="2", b=None, c="3")
    third = commit(repository, "nothing", 1_700_000_200)
    found = read_commits(repository, "", "HEAD", "acme/shop")
    assert [spec.id for spec in found] == [third, second, first]
    oldest = found[2]
    assert (oldest.repository, oldest.author_name, oldest.author_email) == ("acme/shop", "Ann Ärger", "ann@x.org")
    assert oldest.message == "one\n\nfixes SHOP-1\n\nA line: x"
    assert oldest.commit_time.seconds == 1_700_000_000
    assert changes(oldest) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "dir/ü ü")]
    assert changes(found[1]) == [("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "c")]
    assert changes(found[0]) == []
    assert [spec.id for spec in read_commits(repository, first, "HEAD~1", "r")] == [second]
    assert read_commits(repository, "HEAD", "HEAD", "r") == []


def test_what_the_contract_bounds_is_cut(repository: Path) -> None:
    commit(repository, "ä" * 40_000, 1_700_000_000, **{f"f{n}": "" for n in range(1001)})
    (spec,) = read_commits(repository, "", "HEAD", "r")
    assert len(spec.message.encode()) == 65_536
    assert len(spec.patch_set) == 1000


def test_merges_have_no_file_changes(repository: Path) -> None:
    commit(repository, "base", 1_700_000_000, a="1")
    git(repository, "checkout", "--quiet", "-b", "side")
    commit(repository, "side", 1_700_000_010, b="1")
    git(repository, "checkout", "--quiet", "main")
    commit(repository, "main", 1_700_000_020, c="1")
    git(repository, "merge", "--quiet", "--no-ff", "--message", "merged", "side", time=1_700_000_030)
    found = {spec.message: changes(spec) for spec in read_commits(repository, "", "HEAD", "r")}
    assert found == {"merged": [], "main": [("ADDED", "c")], "side": [("ADDED", "b")], "base": [("ADDED", "a")]}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@example.com:acme/shop.git", "acme/shop"),
        ("https://example.com/acme/shop.git", "acme/shop"),
        ("https://example.com/group/acme/shop/", "acme/shop"),
        ("/srv/git/shop.git", "shop"),
        (None, "shop"),
    ],
)
def test_a_repository_is_named_by_its_remote(repository: Path, url: str | None, expected: str) -> None:
    if url is not None:
        git(repository, "remote", "add", "origin", url)
    assert repository_name(repository) == expected


@pytest.mark.parametrize("end", ["absent", "--output=stolen", "-n1"])
def test_what_is_no_revision_is_told_in_one_line(repository: Path, end: str) -> None:
    commit(repository, "one", 1_700_000_000, a="1")
    with pytest.raises(GitFailed, match=r"\Agit: [^\n]+\Z"):
        read_commits(repository, "", end, "r")
    assert not (repository / "stolen").exists()


def test_a_folder_without_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(GitFailed, match="git: "):
        repository_name(tmp_path)


def test_too_many_commits_are_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        commit(repository, str(n), 1_700_000_000 + n)
    monkeypatch.setattr(git_log, "COMMITS_MAX", 2)
    with pytest.raises(GitFailed, match="more than 2 commits"):
        read_commits(repository, "", "HEAD", "r")


def test_lines_are_commits_and_a_bad_one_is_named() -> None:
    good = '{"id": "a", "message": "text", "patch_set": [{"path": "p", "type": "TYPE_ADDED"}]}'
    (spec,) = release_commits.parse_lines([good, "", " \n"], "commits.jsonl")
    assert (spec.id, spec.message, changes(spec)) == ("a", "text", [("ADDED", "p")])
    for bad in ("no json", '{"unknown": 1}', "[]"):
        with pytest.raises(typer.BadParameter, match=r"commits\.jsonl, line 2: "):
            release_commits.parse_lines([good, bad], "commits.jsonl")


def test_parts_fit_messages_and_lose_nothing() -> None:
    specs = [release_pb.CommitSpec(id=str(n), message="m" * (n % 7) * 10_000) for n in range(6000)]
    found = list(release_commits.parts(specs))
    assert [spec for part in found for spec in part] == specs
    assert all(release_pb.CommitSet(commits=part).ByteSize() < 3.5 * 1024 * 1024 for part in found)
    assert [len(part) for part in release_commits.parts([release_pb.CommitSpec(id="a")] * 10_001)] == [5000, 5000, 1]
    assert list(release_commits.parts([])) == []
