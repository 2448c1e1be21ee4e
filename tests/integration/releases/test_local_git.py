"""What `local-git` reads of repositories that git made here, and what it must not."""

from pathlib import Path

import pytest
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.fetches import local_git
from region_silo.fetches.providers import (
    SourceRepository,
    SourceTooLargeError,
    SourceUnreachableError,
)
from region_silo.fetches.runner import FetchRunner
from tests.integration.releases.fetching import Work
from tests.integration.releases.refs import (
    Ref,
    add_repository,
    commit_ids,
    fetches,
    get_fetch,
    heads,
    set_refs,
)
from tests.region_client import Client
from tests.region_features import RegionFeatures

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sources")]


Fetch = commits_pb.CommitFetch


Spec = release_pb.CommitSpec


def test_release_case_29_the_commits_between_two_heads_are_fetched_with_authors_and_files(
    features: RegionFeatures, client: Client, work: Work
) -> None:
    app = work.git("app")
    first = app.commit("first", {"a.txt": "a", "gone.txt": "x"})
    second = app.commit("second\n\nwith a body", {"a.txt": "b", "gone.txt": None, "dir/ü.txt": "u"})
    third = app.commit("third", {"b.txt": "b"})
    fetch = set_refs(client, "1.0", Ref(repository="app", commit=f"{first}..main")).fetch
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert (done.state, done.commit_count, done.attempt_count) == (Fetch.STATE_SUCCEEDED, 2, 1)
    assert [(ref.done, ref.commit_count, ref.error_reason) for ref in done.refs] == [(True, 2, "")]
    assert not done.HasField("next_try_time")
    release = client.get("1.0")
    assert (commit_ids(client, "1.0"), heads(release)) == ([third, second], {"app": third})
    assert list(release.authors) == ["ann@example.com"]
    shown = client.commits("1.0").commits[1]
    assert (shown.message, shown.author_name, shown.commit_time.seconds) == (
        "second\n\nwith a body",
        "Ann",
        1_780_000_120,
    )
    files = features.rows(
        "SELECT filename, type FROM commit_file_change change JOIN commit ON commit.id = commit_id WHERE key = :key"
        ' ORDER BY filename COLLATE "C"',
        key=second,
    )
    assert files == [("a.txt", "M"), ("dir/ü.txt", "A"), ("gone.txt", "D")]
    assert work.run() == 0


def test_without_a_start_the_newest_twenty_are_fetched_and_merges_change_no_files(
    features: RegionFeatures, client: Client, work: Work
) -> None:
    app = work.git("app")
    keys = [app.commit(f"commit {n}", {"a.txt": str(n)}) for n in range(25)]
    set_refs(client, "1.0", Ref(repository="app", commit="main"))
    work.run()
    assert commit_ids(client, "1.0") == keys[:4:-1]
    app.git("checkout", "--quiet", "-b", "side", keys[20])
    side = app.commit("on the side", {"side.txt": "s"}, at=1_790_000_000)
    app.git("checkout", "--quiet", "main")
    when = "1780009999 +0000"
    app.git("merge", "--quiet", "--no-ff", "-m", "merged", "side", GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
    merge = app.git("rev-parse", "HEAD")
    client.create("2.0")
    set_refs(client, "2.0", Ref(repository="app", commit=f"{keys[24]}..{merge}"))
    work.run()
    # By time the commit of the side is the newest one; the head is what the ref says.
    assert (commit_ids(client, "2.0"), heads(client.get("2.0"))) == ([side, merge], {"app": merge})
    merged = "SELECT count(*) FROM commit_file_change change JOIN commit ON commit.id = commit_id WHERE key = :key"
    assert features.value(merged, key=merge) == 0


def test_the_next_release_begins_where_the_one_before_ended(client: Client, work: Work) -> None:
    app = work.git("app")
    app.commit("first")
    set_refs(client, "1.0", Ref(repository="app", commit="main"))
    work.run()
    second = app.commit("second")
    client.create("2.0")
    set_refs(client, "2.0", Ref(repository="app", commit="main"))
    work.run()
    assert commit_ids(client, "2.0") == [second]


def test_a_fetch_that_finds_nothing_has_succeeded_and_keeps_what_the_release_has(client: Client, work: Work) -> None:
    key = work.git("app").commit("only")
    client.update("1.0", commits=[Spec(id="kept", repository="one")])
    fetch = set_refs(client, "1.0", Ref(repository="app", commit=f"{key}..main")).fetch
    work.run()
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED
    assert commit_ids(client, "1.0") == ["kept"]


@pytest.mark.parametrize(
    ("settings", "commit", "reason"),
    [
        ({"path": "app"}, "no-such-branch", "RESOURCE_NOT_FOUND"),
        ({"path": "app"}, "--output=x", "FAILED_PRECONDITION"),
        ({"path": "app"}, "-n1", "FAILED_PRECONDITION"),
        ({"path": "app"}, "main:a.txt", "FAILED_PRECONDITION"),
        ({"path": "app"}, "HEAD@{0}", "FAILED_PRECONDITION"),
        ({"path": "app"}, "zzz..main", "RESOURCE_NOT_FOUND"),
        ({"path": "absent"}, "main", "RESOURCE_NOT_FOUND"),
        ({"path": "../200/theirs"}, "main", "FAILED_PRECONDITION"),
        ({"path": "link"}, "main", "FAILED_PRECONDITION"),
        ({"path": "."}, "main", "FAILED_PRECONDITION"),
        ({}, "main", "FAILED_PRECONDITION"),
    ],
)
def test_what_git_must_not_read_is_refused_and_told_with_the_ref(
    client: Client, work: Work, settings: dict[str, str], commit: str, reason: str
) -> None:
    work.git("app").commit("first")
    work.git("theirs", 200).commit("secret")
    (work.root / "100" / "link").symlink_to(work.root / "200" / "theirs")
    add_repository(client, "asked", provider="local-git", provider_settings=settings)
    fetch = set_refs(client, "1.0", Ref(repository="asked", commit=commit)).fetch
    assert work.run() == 1
    failed = get_fetch(client, fetch.name)
    assert (failed.state, failed.refs[0].error_reason) == (Fetch.STATE_FAILED, reason)
    assert failed.refs[0].error_message
    assert str(work.root) not in failed.refs[0].error_message
    assert commit_ids(client, "1.0") == []


def test_an_absolute_path_and_a_region_without_a_root_are_refused(client: Client, work: Work) -> None:
    theirs = work.git("theirs", 200)
    theirs.commit("secret")
    add_repository(client, "asked", provider="local-git", provider_settings={"path": str(theirs.folder)})
    set_refs(client, "1.0", Ref(repository="asked", commit="main"))
    work.run()
    work.git("app").commit("first")
    set_refs(client, "1.0", Ref(repository="app", commit="main"))
    FetchRunner(work.database, {local_git.NAME: local_git.LocalGit(None)}).run_once()
    assert [fetch.refs[0].error_reason for fetch in fetches(client, "1.0")] == ["FAILED_PRECONDITION"] * 2


def test_nothing_that_a_repository_configures_is_run(client: Client, work: Work, tmp_path: Path) -> None:
    app = work.git("app")
    app.commit("first", {"a.txt": "a", ".gitattributes": "*.txt diff=evil filter=evil"})
    app.commit("second", {"b.txt": "b"})
    proof = tmp_path / "proof"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch {proof}\n")
    script.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.smudge",
        "filter.evil.clean",
        "gpg.program",
    ):
        app.git("config", key, str(script))
    app.git("config", "log.showSignature", "true")
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (app.folder / ".git" / "hooks" / hook).write_text(script.read_text())
        (app.folder / ".git" / "hooks" / hook).chmod(0o755)
    proof.unlink(missing_ok=True)
    set_refs(client, "1.0", Ref(repository="app", commit="main"))
    work.run()
    assert len(commit_ids(client, "1.0")) == 2
    assert not proof.exists()


def test_limits_of_commits_output_and_time_are_kept(client: Client, work: Work) -> None:
    app = work.git("app")
    first = app.commit("first")
    for n in range(3):
        app.commit(f"commit {n} {'x' * 1000}", {f"{n}.txt": "x"})
    source = SourceRepository(100, "app", "", {"path": "app"})
    git = local_git.LocalGit(work.root)
    assert len(git.compare(source, first, "main", 3)) == 3
    assert len(git.compare(source, None, "main", 2)) == 2
    with pytest.raises(SourceTooLargeError):
        git.compare(source, first, "main", 2)
    with pytest.raises(SourceTooLargeError):
        local_git.LocalGit(work.root, output_bytes_max=500).compare(source, first, "main", 3)
    with pytest.raises(SourceUnreachableError, match="too long"):
        local_git.LocalGit(work.root, deadline_s=0.0).compare(source, first, "main", 3)
