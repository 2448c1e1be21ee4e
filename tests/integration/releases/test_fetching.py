"""Fetching commits: the runner of `work` on real rows, with repositories that git made here."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from region_silo.fetches import local_git
from region_silo.fetches.cleaner import RETENTION, fetch_tasks
from region_silo.fetches.domain import ATTEMPTS_MAX
from region_silo.fetches.providers import (
    Provider,
    SourceRepository,
    SourceTooLargeError,
    SourceUnreachableError,
)
from region_silo.fetches.runner import FetchRunner, RunnerSettings
from region_silo.releases.commits import CommitSpec
from shared import barrier
from shared.cleaner import Cleaner
from shared.database import Database, Transaction
from tests.clock import FakeClock
from tests.integration.releases.acme import MEMBER, Acme
from tests.integration.releases.refs import (
    GitRepository,
    Ref,
    add_git_repository,
    add_repository,
    commit_ids,
    fetches,
    get_fetch,
    heads,
    set_refs,
)
from tests.integration.releases.test_update import wait_for_a_lock
from tests.region_features import Client, RegionFeatures, refused

pytestmark = pytest.mark.integration

Fetch = commits_pb.CommitFetch
Spec = release_pb.CommitSpec


class Scripted:
    """A provider whose answers a test sets: commits, or an exception, by the ref's commit."""

    def __init__(self) -> None:
        self.answers: dict[str, Sequence[CommitSpec] | Exception] = {}
        self.asked: list[tuple[str, str | None, str, int]] = []
        self.before: Callable[[], None] = lambda: None

    def compare(self, repository: SourceRepository, start: str | None, end: str, limit: int) -> Sequence[CommitSpec]:
        self.asked.append((repository.name, start, end, limit))
        self.before()
        answer = self.answers.get(end, [CommitSpec(end, repository.name, message=f"of {end}")])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Work:
    """The runner of a `work` process with a clock of its own, and what it reads."""

    def __init__(self, database: Database, clock: FakeClock, root: Path) -> None:
        self.database = database
        self.clock = clock
        self.root = root
        self.scripted = Scripted()

    def runner(self, settings: RunnerSettings | None = None) -> FetchRunner:
        providers: dict[str, Provider] = {local_git.NAME: local_git.LocalGit(self.root), "scripted": self.scripted}
        return FetchRunner(self.database, providers, settings)

    def run(self, settings: RunnerSettings | None = None) -> int:
        """Work until nothing is due; how often there was something."""
        runner, times = self.runner(settings), 0
        while runner.run_once():
            times += 1
            assert times < 50
        return times

    def git(self, path: str, organization: int = 100) -> GitRepository:
        return GitRepository(self.root / str(organization) / path)


@pytest.fixture
def work(features: RegionFeatures, region_database_url: str, tmp_path: Path) -> Iterator[Work]:
    clock = FakeClock(features.clock.now() + timedelta(minutes=1))
    database = Database.open(region_database_url, clock=clock)
    yield Work(database, clock, tmp_path / "repositories")
    database.close()


@pytest.fixture(autouse=True)
def world(features: RegionFeatures, client: Client, work: Work) -> None:
    client.create("1.0")
    add_git_repository(client, "app")
    for name in ("one", "two", "three"):
        add_repository(client, name, provider="scripted")


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


def test_a_ref_that_fails_keeps_its_reason_and_the_others_go_on(client: Client, work: Work) -> None:
    add_repository(client, "foreign", provider="elsewhere")
    refs = [Ref(repository=name, commit=f"c-{name}") for name in ("one", "foreign", "two", "three")]
    work.scripted.answers["c-two"] = SourceTooLargeError("too much")
    fetch = set_refs(client, "1.0", *refs).fetch
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert done.state == Fetch.STATE_SUCCEEDED
    assert [ref.error_reason for ref in done.refs] == ["", "FAILED_PRECONDITION", "LIMIT_EXCEEDED", ""]
    assert done.refs[2].error_message == "too much"
    assert (done.commit_count, sorted(commit_ids(client, "1.0"))) == (2, ["c-one", "c-three"])
    # What failed keeps the head that its ref told.
    assert heads(client.get("1.0"))["two"] == "c-two"


def test_a_repository_that_went_meanwhile_is_told(features: RegionFeatures, client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    features.rows("UPDATE repository SET status = 1 WHERE name = 'one'")
    work.run()
    assert get_fetch(client, fetch.name).refs[0].error_reason == "REPOSITORY_NOT_FOUND"


def test_what_cannot_be_reached_is_tried_five_times_with_growing_pauses(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = SourceUnreachableError("away")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a"), Ref(repository="two", commit="fine")).fetch
    pauses = []
    for _ in range(ATTEMPTS_MAX - 1):
        assert work.run() == 1
        now = get_fetch(client, fetch.name)
        assert (now.state, now.refs[0].error_reason) == (Fetch.STATE_RUNNING, "UNAVAILABLE")
        assert commit_ids(client, "1.0") == []
        pauses.append(now.next_try_time.ToSeconds() - now.update_time.ToSeconds())
        work.clock.advance(pauses[-1] - 1)
        assert work.run() == 0
        work.clock.advance(2)
    assert pauses == [10, 40, 160, 300]
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count) == (Fetch.STATE_SUCCEEDED, ATTEMPTS_MAX)
    assert [ref.error_reason for ref in done.refs] == ["UNAVAILABLE", ""]
    assert commit_ids(client, "1.0") == ["fine"]


def test_a_source_that_comes_back_is_fetched_at_the_next_try(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = SourceUnreachableError("away")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    work.run()
    del work.scripted.answers["a"]
    work.clock.advance(60)
    work.run()
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count, done.refs[0].error_reason) == (Fetch.STATE_SUCCEEDED, 2, "")
    assert commit_ids(client, "1.0") == ["a"]


def test_an_unexpected_failure_of_a_provider_ends_as_failed_after_all_tries(client: Client, work: Work) -> None:
    work.scripted.answers["a"] = RuntimeError("a secret")
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    for _ in range(ATTEMPTS_MAX):
        assert work.run() == 1
        work.clock.advance(1000)
    assert work.run() == 0
    failed = get_fetch(client, fetch.name)
    assert (failed.state, failed.refs[0].error_reason) == (Fetch.STATE_FAILED, "INTERNAL")
    assert "secret" not in failed.refs[0].error_message


def test_a_writer_that_holds_the_release_is_waited_for_and_costs_no_try(
    features: RegionFeatures, client: Client, work: Work
) -> None:
    fetch = set_refs(client, "1.0", Ref(repository="one", commit="a")).fetch
    locked, done = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        locked.set()
        assert done.wait(20)

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(features.database.transact, hold)
        assert locked.wait(20)
        try:
            for _ in range(ATTEMPTS_MAX + 2):
                assert work.runner(RunnerSettings(write_s=0.2)).run_once()
                work.clock.advance(5)
            now = get_fetch(client, fetch.name)
            assert (now.state, now.attempt_count, commit_ids(client, "1.0")) == (Fetch.STATE_RUNNING, 0, [])
            waiting = pool.submit(work.run, RunnerSettings(write_s=30.0))
            wait_for_a_lock(features)
        finally:
            done.set()
        holder.result(20)
        assert waiting.result(30) == 1
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED
    assert commit_ids(client, "1.0") == ["a"]


def test_fetches_of_one_release_end_in_the_order_in_which_they_were_asked_for(client: Client, work: Work) -> None:
    client.create("2.0")
    work.scripted.answers["slow"] = SourceUnreachableError("away")
    first = set_refs(client, "1.0", Ref(repository="one", commit="slow")).fetch
    second = set_refs(client, "1.0", Ref(repository="one", commit="newer")).fetch
    other = set_refs(client, "2.0", Ref(repository="one", commit="other")).fetch
    work.run()
    states = [get_fetch(client, each.name).state for each in (first, second, other)]
    assert states == [Fetch.STATE_RUNNING, Fetch.STATE_QUEUED, Fetch.STATE_SUCCEEDED]
    del work.scripted.answers["slow"]
    work.clock.advance(60)
    assert work.run() == 2
    assert (commit_ids(client, "1.0"), heads(client.get("1.0"))) == (["newer"], {"one": "newer"})


def test_who_may_not_change_the_release_any_more_fetches_nothing_into_it(
    acme: Acme, client: Client, work: Work
) -> None:
    fetch = set_refs(acme.user(MEMBER), "1.0", Ref(repository="one", commit="a")).fetch
    acme.features.rows("DELETE FROM organization_member_team")
    work.run()
    failed = get_fetch(client, fetch.name)
    assert (failed.state, failed.refs[0].error_reason) == (Fetch.STATE_FAILED, "RELEASE_NOT_FOUND")
    assert commit_ids(client, "1.0") == []


def test_two_runners_never_work_on_one_fetch(client: Client, work: Work) -> None:
    set_refs(client, "1.0", Ref(repository="one", commit="a"))
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert go_on.wait(20)

    work.scripted.before = wait
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work.run)
        assert inside.wait(20)
        assert not work.runner().run_once()
        # The lease has run out, and another process takes the fetch: the first one writes nothing.
        work.scripted.before = lambda: None
        work.clock.advance(1000)
        assert work.runner().run_once()
        go_on.set()
        assert running.result(20) == 1
    (fetch,) = fetches(client, "1.0")
    assert (fetch.state, fetch.attempt_count) == (Fetch.STATE_SUCCEEDED, 2)
    assert len(work.scripted.asked) == 2


def test_a_stopping_runner_gives_the_fetch_back(client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", *(Ref(repository=name, commit=name) for name in ("one", "two"))).fetch
    stop = threading.Event()
    work.scripted.before = stop.set
    work.runner().run(stop)
    assert [asked[0] for asked in work.scripted.asked] == ["one"]
    now = get_fetch(client, fetch.name)
    assert (now.state, now.attempt_count) == (Fetch.STATE_RUNNING, 0)
    assert work.run() == 1
    assert get_fetch(client, fetch.name).state == Fetch.STATE_SUCCEEDED


_CHILD = """
import sys
from pathlib import Path
from region_silo.fetches.local_git import NAME, LocalGit
from region_silo.fetches.runner import FetchRunner
from shared import barrier
from shared.clock import SystemClock
from shared.database import Database
url, root, point = sys.argv[1:]
barrier.arm(point)
FetchRunner(Database.open(url, clock=SystemClock()), {NAME: LocalGit(Path(root))}).run_once()
"""


@pytest.mark.parametrize("point", ["fetch.ref_done=kill", "fetch.before_write=kill", "before_commit:4=kill"])
def test_a_fetch_that_is_killed_in_the_middle_is_done_by_the_next_process(
    features: RegionFeatures, region_database_url: str, client: Client, work: Work, point: str
) -> None:
    key = work.git("app").commit("first", {"a.txt": "a"})
    other = work.git("other").commit("of the other", {"a.txt": "a"})
    add_git_repository(client, "other")
    client.update("1.0", commits=[Spec(id="before", repository="one")])
    fetch = set_refs(client, "1.0", Ref(repository="app", commit="main"), Ref(repository="other", commit="main")).fetch
    child = subprocess.run(
        (sys.executable, "-c", _CHILD, region_database_url, str(work.root), point),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=False,
    )
    assert child.returncode == -9
    now = get_fetch(client, fetch.name)
    assert (now.state, now.attempt_count, commit_ids(client, "1.0")) == (Fetch.STATE_RUNNING, 1, ["before"])
    assert work.run() == 0
    work.clock.advance(1000)
    assert work.run() == 1
    done = get_fetch(client, fetch.name)
    assert (done.state, done.attempt_count, done.commit_count) == (Fetch.STATE_SUCCEEDED, 2, 2)
    assert sorted(commit_ids(client, "1.0")) == sorted([key, other])
    assert heads(client.get("1.0")) == {"app": key, "other": other}


def test_progress_is_shown_while_a_fetch_runs(client: Client, work: Work) -> None:
    fetch = set_refs(client, "1.0", *(Ref(repository=name, commit=name) for name in ("one", "two"))).fetch
    seen = []

    def look(times: int) -> None:
        seen.append([ref.done for ref in get_fetch(client, fetch.name).refs])

    with barrier.registered("fetch.ref_done", look):
        work.run()
    assert seen == [[True, False], [True, True]]


def test_old_fetches_are_cleaned_and_open_ones_stay(client: Client, work: Work) -> None:
    set_refs(client, "1.0", Ref(repository="one", commit="a"))
    work.run()
    client.create("2.0")
    work.scripted.answers["b"] = SourceUnreachableError("away")
    set_refs(client, "2.0", Ref(repository="one", commit="b"))
    work.run()
    cleaner = Cleaner(work.database, fetch_tasks())
    assert cleaner.clean_once() == {"commit_fetch": 0}
    work.clock.advance(RETENTION.total_seconds() + 3600)
    assert cleaner.clean_once() == {"commit_fetch": 1}
    assert len(fetches(client, "2.0")) == 1


def test_an_unknown_fetch_is_told(client: Client) -> None:
    with refused() as found:
        get_fetch(client, "organizations/acme/commitFetches/5")
    assert found[0].reason == "COMMIT_FETCH_NOT_FOUND"
    assert found[0].resource == ("siloway/CommitFetch", "organizations/100/commitFetches/5")
    with refused() as found:
        get_fetch(client, "organizations/acme/commitFetches/five")
    assert found[0].fields == ["name"]
