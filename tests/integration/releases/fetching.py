"""The runner of fetches with a clock of its own, and a provider whose answers a test sets."""

from collections.abc import Callable, Sequence
from pathlib import Path

from region_silo.fetches import local_git
from region_silo.fetches.providers import (
    Provider,
    SourceRepository,
)
from region_silo.fetches.runner import FetchRunner, RunnerSettings
from region_silo.releases.commits import CommitSpec
from shared.database import Database
from tests.clock import FakeClock
from tests.integration.releases.refs import (
    GitRepository,
)


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
