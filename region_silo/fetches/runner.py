"""Fetches commits in `work`: takes a fetch by its lease, asks the providers for its refs, writes what they gave.

A ref's failure is kept with the ref, and the others go on. What may help when tried again is tried five times with
growing pauses; a release that others hold, and a store that cannot be reached, are waited for and count as no try. All
is written in one transaction with the end of the fetch, under the same checks as a list that a client sends, as the
caller who asked: so a process that is killed leaves a fetch that the next one does again from its beginning. What was
found is the release's whole list, unless a client has told commits since the fetch was asked for: these stay, with the
heads that they set, and what was found goes among them by time.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from prometheus_client import Counter

from region_silo.deploys.announcing import announce_pending
from region_silo.fetches import store
from region_silo.fetches.domain import ATTEMPTS_MAX, FetchedRef, FetchState, back_off_s, outcome
from region_silo.fetches.providers import Provider, SourceError, SourceRepository, SourceTooLargeError
from region_silo.fetches.store import Lease, LeaseLostError
from region_silo.organizations.lookup import hold_active
from region_silo.releases import held as held_releases
from region_silo.releases import store as releases_store
from region_silo.releases.commit_list import ListedRelease, write_commits
from region_silo.releases.commit_stream import STREAM_BYTES_MAX
from region_silo.releases.commits import (
    FILE_CHANGES_MAX,
    CommitMode,
    CommitSpec,
    check_commits,
    default_repository,
    normalise,
)
from region_silo.releases.domain import release_not_found
from region_silo.releases.permission import has_release_permission
from region_silo.releases.refs import head_keys, save_heads
from region_silo.repositories.domain import Repository
from region_silo.repositories.store import active_by_names
from shared import barrier, deadline, errors
from shared.database import Database, Transaction
from shared.errors import Code, ServiceError
from shared.names import commit_fetch_name
from shared.rounds import go_round
from shared.rpc.call import Caller, acting

ENDED = Counter("siloway_commit_fetches_ended_total", "Fetches of commits that ended, by outcome.", ["outcome"])
POSTPONED = Counter("siloway_commit_fetches_postponed_total", "Fetches that are tried again, by reason.", ["reason"])

_log = structlog.get_logger("siloway.fetches")

_METHOD = "fetch commits"
_WAITED_FOR = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED})
_FINAL = frozenset({Code.NOT_FOUND, Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT})
_MESSAGE_LENGTH_MAX = 500
_SHOWN_TIMES = 50


@dataclass(frozen=True)
class RunnerSettings:
    """How often, how long and how much. Times in seconds; the lease is longer than any provider takes for a ref.

    `texts_max` is how many characters messages and paths of all refs may have together.
    """

    poll_s: float = 1.0
    lease_s: float = 180.0
    write_s: float = 60.0
    ask_again_s: float = 1.0
    attempts_max: int = ATTEMPTS_MAX
    commits_max: int = 10_000
    texts_max: int = STREAM_BYTES_MAX


@dataclass(frozen=True)
class _Head:
    """The commit that a ref turned out to mean; `told` is how the ref calls it."""

    repository_id: int
    told: str
    key: str


@dataclass(frozen=True)
class _Found:
    """What the refs gave: all commits, and of each repository that gave any the first as its head."""

    refs: tuple[FetchedRef, ...]
    commits: tuple[CommitSpec, ...]
    heads: tuple[_Head, ...]
    is_retried: bool


class _Room:
    """What a fetch may still take: its refs share what a list that a client sends may have."""

    def __init__(self, settings: RunnerSettings) -> None:
        self.commits = settings.commits_max
        self._file_changes = FILE_CHANGES_MAX
        self._texts = settings.texts_max

    def take(self, given: Sequence[CommitSpec]) -> None:
        """Raises SourceTooLargeError when there is none for all of these; then nothing is taken."""
        file_changes = sum(len(commit.files) for commit in given)
        texts = sum(len(commit.message) + sum(len(change.path) for change in commit.files) for commit in given)
        if len(given) > self.commits or file_changes > self._file_changes or texts > self._texts:
            raise SourceTooLargeError("there are more commits, changed files or texts than one fetch takes")
        self.commits -= len(given)
        self._file_changes -= file_changes
        self._texts -= texts


class _StoppedError(Exception):
    """The process is to end."""


class FetchRunner:
    """Works on one fetch at a time; any number of processes may run one each."""

    def __init__(
        self, database: Database, providers: Mapping[str, Provider], settings: RunnerSettings | None = None
    ) -> None:
        self._database = database
        self._providers = dict(providers)
        self._settings = settings or RunnerSettings()
        self._stop = threading.Event()

    def run(self, stop: threading.Event, wait: Callable[[float], object] | None = None) -> None:
        """Work until `stop` is set; the ref at hand is finished."""
        self._stop = stop
        go_round("fetches", stop, self.run_once, lambda: self._settings.poll_s, wait)

    def run_once(self) -> bool:
        """Take one fetch as far as it goes now; False when none is there to be worked on."""
        lease = self._database.transact(lambda transaction: store.lease_next(transaction, self._settings.lease_s))
        if lease is None:
            return False
        name = commit_fetch_name(lease.organization_id, lease.fetch_id)
        with structlog.contextvars.bound_contextvars(commit_fetch=name):
            try:
                self._work(lease)
            except LeaseLostError:
                POSTPONED.labels("LEASE_LOST").inc()
                _log.warning("fetch_lease_lost")
            except _StoppedError:
                self._give_back(lease, 0.0, counts=False)
            except ServiceError as error:
                self._refused(lease, error)
            except Exception as error:  # noqa: BLE001 - one fetch's trouble must not end the process
                _log.error("fetch_attempt_failed", attempt=lease.attempts, exc_info=error)
                self._retry_or_end(lease, errors.Internal("the fetch failed for an internal reason"))
        return True

    def _work(self, lease: Lease) -> None:
        found = self._ask(lease)
        if found.is_retried and lease.attempts < self._settings.attempts_max:
            self._postpone(lease)
            return
        barrier.reach("fetch.before_write")
        caller = Caller(lease.principal, user_id=lease.user_id)
        with acting(caller, method=_METHOD), deadline.within(self._settings.write_s):
            state = self._database.transact(lambda transaction: _finish(transaction, lease, found))
        ENDED.labels(state.name).inc()
        _log.info("fetch_ended", state=state.name, commits=len(found.commits))

    def _ask(self, lease: Lease) -> _Found:
        """Ask for every ref, in their order, and show what became of each."""
        names = {ref.repository for ref in lease.refs}
        repositories = self._database.read(
            lambda transaction: active_by_names(transaction, lease.organization_id, names)
        )
        refs, commits, heads = list(lease.refs), list[CommitSpec](), list[_Head]()
        is_retried, room = False, _Room(self._settings)
        for index, ref in enumerate(lease.refs):
            if self._stop.is_set():
                raise _StoppedError
            repository = repositories.get(ref.repository)
            try:
                given = self._compare(repository, ref, room.commits)
                room.take(given)
            except (SourceError, ServiceError) as error:
                is_retried |= isinstance(error, SourceError) and error.is_transient
                refs[index] = replace(
                    ref, done=True, error_reason=error.reason, error_message=error.message[:_MESSAGE_LENGTH_MAX]
                )
            else:
                refs[index] = replace(ref, done=True, commit_count=len(given))
                commits += given
                if repository is not None and given:
                    heads.append(_Head(repository.id, ref.commit, given[0].key))
            self._show(lease, refs, index)
            barrier.reach("fetch.ref_done")
        return _Found(tuple(refs), tuple(commits), tuple(heads), is_retried)

    def _compare(self, repository: Repository | None, ref: FetchedRef, limit: int) -> Sequence[CommitSpec]:
        """What the ref's provider gives. Raises SourceError, ServiceError."""
        if repository is None:
            raise errors.RepositoryNotFound(f"there is no active repository {ref.repository!r} any more")
        fields = repository.fields
        provider = self._providers.get(fields.provider)
        if provider is None:
            raise errors.FailedPrecondition(f"nothing here fetches from the provider {fields.provider!r}")
        source = SourceRepository(
            repository.organization_id, fields.display_name, fields.external_id, fields.provider_settings
        )
        return provider.compare(source, ref.previous_commit or None, ref.commit, limit)

    def _show(self, lease: Lease, refs: Sequence[FetchedRef], index: int) -> None:
        """Show what became of the refs up to `index`, and hold on to the fetch.

        Of many refs not every one is shown at once: each time all of them are written.
        """
        is_shown = index % max(1, len(refs) // _SHOWN_TIMES) == 0 or index == len(refs) - 1
        lease_s = self._settings.lease_s

        def work(transaction: Transaction) -> None:
            if is_shown:
                store.save_progress(transaction, lease, refs, lease_s)
            else:
                store.renew(transaction, lease, lease_s)

        self._database.transact(work)

    def _postpone(self, lease: Lease) -> None:
        POSTPONED.labels("SOURCE").inc()
        _log.warning("fetch_is_tried_again", attempt=lease.attempts)
        self._give_back(lease, back_off_s(lease.attempts), counts=True)

    def _refused(self, lease: Lease, error: ServiceError) -> None:
        """Writers that hold the release, and a store that is away, are waited for; the rest may be for good."""
        _log.warning("fetch_not_written", attempt=lease.attempts, reason=error.reason)
        if error.code in _WAITED_FOR:
            POSTPONED.labels(error.reason).inc()
            self._give_back(lease, max(error.retry_after_s or 0.0, self._settings.ask_again_s), counts=False)
        elif error.code in _FINAL:
            self._end_failed(lease, error)
        else:
            self._retry_or_end(lease, error)

    def _retry_or_end(self, lease: Lease, error: ServiceError) -> None:
        if lease.attempts < self._settings.attempts_max:
            POSTPONED.labels(error.reason).inc()
            self._give_back(lease, back_off_s(lease.attempts), counts=True)
        else:
            self._end_failed(lease, error)

    def _end_failed(self, lease: Lease, error: ServiceError) -> None:
        """Nothing was written, whatever the refs gave."""
        message = error.message[:_MESSAGE_LENGTH_MAX]
        failed = [replace(ref, done=True, error_reason=error.reason, error_message=message) for ref in lease.refs]
        if self._settle(lambda transaction: _end(transaction, lease, FetchState.FAILED, failed)):
            ENDED.labels(FetchState.FAILED.name).inc()
            _log.error("fetch_given_up", reason=error.reason)

    def _give_back(self, lease: Lease, wait_s: float, *, counts: bool) -> None:
        self._settle(
            lambda transaction: store.give_back(
                transaction, lease, transaction.now + timedelta(seconds=wait_s), counts=counts
            )
        )

    def _settle(self, work: Callable[[Transaction], None]) -> bool:
        """Record how the work was cut short; when that fails too, the lease runs out, or the fetch is gone."""
        try:
            self._database.transact(work)
        except (LeaseLostError, ServiceError) as error:
            _log.warning("fetch_lease_left_to_run_out", error=type(error).__name__)
            return False
        return True


def _finish(transaction: Transaction, lease: Lease, found: _Found) -> FetchState:
    """Write the commits, if there are any, end the fetch, and announce the deploys that waited for it; how it ended.

    Raises LeaseLostError, ServiceError.
    """
    if found.commits:
        _write_commits(transaction, lease, found)
    else:
        held_releases.hold(transaction, lease.organization_id, lease.version)
    state = outcome(found.refs)
    _end(transaction, lease, state, found.refs)
    announce_pending(transaction, lease.organization_id, lease.release_id)
    return state


def _end(transaction: Transaction, lease: Lease, state: FetchState, refs: Sequence[FetchedRef]) -> None:
    """The one place where fetches end, whatever became of them."""
    error = next(((ref.error_reason, ref.error_message) for ref in refs if ref.error_reason), None)
    store.end(transaction, lease, state, refs, error)


def _write_commits(transaction: Transaction, lease: Lease, found: _Found) -> None:
    organization_id = lease.organization_id
    check_commits(found.commits, "commits")
    hold_active(transaction, organization_id)
    held = held_releases.hold_changeable(transaction, organization_id, lease.version, lease.user_id)
    if (
        held is None
        or held.id != lease.release_id
        or not has_release_permission(transaction, organization_id, held.id, lease.user_id)
    ):
        raise release_not_found(organization_id, lease.version)
    target = ListedRelease(organization_id, held.id)
    commits = normalise(found.commits, default_repository(organization_id))
    if store.is_overtaken(transaction, lease):
        heads = _heads_left(transaction, held.id, found)
        write_commits(transaction, target, CommitMode.APPEND, commits, ())
    else:
        heads = found.heads
        write_commits(transaction, target, CommitMode.REPLACE_ALL, commits, ())
    # By time another commit may be the newest one; the head is what the ref says.
    save_heads(transaction, target, [(head.repository_id, head.key) for head in heads])
    releases_store.update_release(transaction, held.id, None)


def _heads_left(transaction: Transaction, release_id: int, found: _Found) -> tuple[_Head, ...]:
    """The heads that are still what the refs told."""
    known = head_keys(transaction, release_id)
    return tuple(head for head in found.heads if known.get(head.repository_id) == head.told)
