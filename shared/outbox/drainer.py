"""Moves messages from the outbox to their targets: claim, deliver, settle.

Claim and settle are short transactions; nothing is open while a target is spoken to, and a delivery ends before its
lease does. A target that cannot be reached opens its breaker and never counts against a message; a refusal backs off
its shard only, and parks in the end (settling.py). What a dead drainer had claimed is taken over when its lease is
over, and delivered again: the inbox drops repeats.
"""

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import structlog

from shared import barrier, errors
from shared.clock import Clock
from shared.database import Database, Transaction
from shared.outbox import metrics, parking, parking_store, store
from shared.outbox.breaker import Breaker
from shared.outbox.composing import Part, States, compose, pack, read_states
from shared.outbox.domain import Delivery, Outcome, ShardResult
from shared.outbox.registry import Registry
from shared.outbox.rewound import check_answers
from shared.outbox.settings import DrainerSettings
from shared.outbox.settling import Settlement, settle

_log = structlog.get_logger("siloway.outbox")

# The target, or the way to it, is not able to take anything now: no fault of a message.
_OUTAGES = (
    errors.Unavailable,
    errors.DeadlineExceeded,
    errors.ResourceExhausted,
    errors.Unauthenticated,
    errors.PermissionDenied,
)
# The same, as a peer calls it that does not let this silo in, or is older than the message.
_PEER_OUTAGES = frozenset(
    {"PEER_REFUSED", "PERMISSION_DENIED", "UNAUTHENTICATED", "TOKEN_INVALID", "METHOD_UNKNOWN", "UNIMPLEMENTED"}
)
_SETTLE_S = 1.0

Wait = Callable[[float], object]
Answered: TypeAlias = "tuple[Part, ShardResult]"


class Transport(Protocol):
    """The way to another silo."""

    def deliver(self, target: str, delivery: Delivery, timeout_s: float) -> Sequence[ShardResult]:
        """One result a shard. Raises Unavailable or DeadlineExceeded when the target did not answer in `timeout_s`.

        ResourceExhausted and a refused identity count as an outage too; any other error says that the target, though
        there, did not take this delivery.
        """
        ...


@dataclass(frozen=True)
class DrainReport:
    """What one round did: shards claimed, messages delivered, shards refused, groups parked, leases lost, outages."""

    claimed: int = 0
    delivered: int = 0
    refused: int = 0
    parked: int = 0
    lease_lost: int = 0
    outages: int = 0
    more: bool = False

    def __add__(self, other: "DrainReport") -> "DrainReport":
        return DrainReport(
            self.claimed + other.claimed,
            self.delivered + other.delivered,
            self.refused + other.refused,
            self.parked + other.parked,
            self.lease_lost + other.lease_lost,
            self.outages + other.outages,
            self.more or other.more,
        )


class Drainer:
    """One silo's drainer. Several may run at once, in one process or many; leases keep them apart."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        transport: Transport,
        *,
        clock: Clock,
        origin: str,
        epoch: str,
        settings: DrainerSettings | None = None,
    ) -> None:
        self._database = database
        self._registry = registry
        self._transport = transport
        self._clock = clock
        self._origin = origin
        self._epoch = epoch
        self._settings = settings or DrainerSettings()
        self._breakers: dict[str, Breaker] = {}
        self._cursors: dict[str, str] = {}

    def run(self, stop: threading.Event, wait: Wait | None = None) -> None:
        """Drain until `stop` is set, each target in a thread of its own, so that a slow one delays nobody.

        `wait(seconds)` returns early when messages were saved; without it the drainer polls. It ends after the round
        at hand.
        """
        _run(self, stop, wait or stop.wait)

    def drain_once(self) -> DrainReport:
        """One claim of every target that has messages, one target after the other."""
        report = DrainReport()
        for target in self.targets():
            report += self.drain_target(target)
        return report

    def targets(self) -> list[str]:
        """The targets that have messages, or something parked."""

        def work(transaction: Transaction) -> list[str]:
            return sorted({*store.read_targets(transaction), *parking_store.parked_targets(transaction)})

        return self._database.read(work)

    def drain_target(self, target: str) -> DrainReport:
        """Claim, deliver and settle once for one target; does nothing while its breaker waits."""
        breaker = self._breakers.setdefault(target, Breaker(self._clock))
        if breaker.wait_s() > 0:
            return DrainReport()
        began = self._clock.monotonic()
        shards_max = 1 if breaker.is_open else self._settings.shards_per_claim
        after = self._cursors.get(target, "")
        claim, states = self._claim(target, after, shards_max)
        if after and not claim.shards and not claim.next_after:  # the end: go on from the start
            claim, states = self._claim(target, "", shards_max)
        self._cursors[target] = claim.next_after
        report = DrainReport(claimed=len(claim.shards), more=bool(claim.shards or claim.next_after))
        if not claim.shards:
            return report
        barrier.reach("after_claim")
        parts, unknown = self._compose(claim, states)
        if unknown:
            report += self._settle(claim, _category_unknown(unknown))
        undelivered = [part.shard.aggregate for part in parts]
        for batch in pack(parts, self._settings):
            left_s = self._settings.lease_s - _SETTLE_S - (self._clock.monotonic() - began)
            if left_s < min(1.0, self._settings.deliver_timeout_s):
                break
            answered = self._deliver(target, breaker, batch, min(left_s, self._settings.deliver_timeout_s))
            if answered is None:
                report += DrainReport(outages=1)
                break
            report += self._settle(claim, answered, batch)
            del undelivered[: len(batch)]
            if breaker.is_open:
                break
        if undelivered:
            self._database.transact(lambda transaction: store.release(transaction, target, claim.token, undelivered))
        return report

    def breaker_wait_s(self, target: str) -> float:
        """Seconds until something may be sent to the target."""
        breaker = self._breakers.get(target)
        return 0.0 if breaker is None else breaker.wait_s()

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def settings(self) -> DrainerSettings:
        return self._settings

    def measure(self, target: str) -> None:
        """Set the gauges of the target's backlog."""
        depth, oldest = self._database.read(lambda transaction: store.measure(transaction, target))
        parked = self._database.read(lambda transaction: parking_store.count_parked(transaction, target))
        metrics.PARKED.labels(target).set(parked)
        metrics.DEPTH.labels(target).set(depth)
        age_s = 0.0 if oldest is None else (self._clock.now() - oldest).total_seconds()
        metrics.OLDEST_S.labels(target).set(age_s)

    def _claim(self, target: str, after: str, shards_max: int) -> tuple[store.Claim, States]:
        token = str(uuid.uuid4())

        def work(transaction: Transaction) -> tuple[store.Claim, States]:
            claim = store.claim(
                transaction,
                target=target,
                after=after,
                token=token,
                lease_s=self._settings.lease_s,
                shards_max=shards_max,
                messages_max=self._settings.messages_per_shard,
            )
            return claim, read_states(transaction, self._registry, claim.shards)

        return self._database.transact(work)

    def _compose(self, claim: store.Claim, states: States) -> tuple[list[Part], list[Part]]:
        """The parts to deliver, and those that hold a category that this silo does not know (after a downgrade)."""
        parts: list[Part] = []
        unknown: list[Part] = []
        for shard in claim.shards:
            if all(message.skip_reason or self._registry.sends(message.category) for message in shard.messages):
                parts.append(compose(shard, self._registry, states, self._settings))
            else:
                unknown.append(Part.undeliverable(shard))
        return parts, unknown

    def _deliver(
        self, target: str, breaker: Breaker, batch: Sequence[Part], timeout_s: float
    ) -> Sequence[Answered] | None:
        """The parts with their results, or None when the target is down.

        What the target does not take as a whole goes again part by part, and then up to the part's first message only:
        so the message that is not taken is known.
        """
        delivery = Delivery(self._origin, self._epoch, tuple(part.shard for part in batch))
        try:
            with metrics.DELIVERY_S.labels(target).time():
                results = self._transport.deliver(target, delivery, timeout_s)
        except Exception as exc:  # noqa: BLE001 - a delivery that cannot be made must not stop the others
            reason = exc.reason if isinstance(exc, errors.ServiceError) else errors.Internal.reason
            metrics.FAILED.labels(target, reason).inc()
            if _is_outage(exc):
                if not breaker.is_open:
                    _log.warning("target_down", target=target, reason=reason)
                breaker.failed()
                metrics.BREAKER_OPEN.labels(target).set(1)
                return None
            _log.exception("delivery_not_taken", target=target, shards=len(batch))
            smaller = batch if len(batch) > 1 else [batch[0].head()]
            if len(batch) > 1 or len(batch[0].shard.messages) > 1:
                return self._deliver_alone(target, breaker, smaller, timeout_s)
            shard = batch[0].shard
            results = [ShardResult(shard.aggregate, Outcome.REFUSED, reason, str(exc), shard.previous_sequence)]
        if breaker.is_open:
            _log.info("target_up", target=target)
        breaker.succeeded()
        metrics.BREAKER_OPEN.labels(target).set(0)
        barrier.reach("after_deliver", (each.category for part in batch for each in part.shard.messages))
        by_aggregate = {result.aggregate: result for result in results}
        return [(part, by_aggregate[part.shard.aggregate]) for part in batch if part.shard.aggregate in by_aggregate]

    def _deliver_alone(
        self, target: str, breaker: Breaker, batch: Sequence[Part], timeout_s: float
    ) -> Sequence[Answered] | None:
        """Part by part within the same time, to find the one that the target does not take."""
        ends_at = self._clock.monotonic() + timeout_s
        answered: list[Answered] = []
        for part in batch:
            left_s = ends_at - self._clock.monotonic()
            alone = self._deliver(target, breaker, [part], left_s) if left_s > 0 else None
            if alone is None:
                return answered or None
            answered.extend(alone)
        return answered

    def _settle(
        self, claim: store.Claim, answered: Sequence[Answered], batch: Sequence[Part] | None = None
    ) -> DrainReport:
        """Settle what was answered; shards of `batch` without an answer are given back as they were."""
        target = claim.target
        given = [part.shard.aggregate for part in batch or [part for part, _ in answered]]
        unanswered = set(given) - {part.shard.aggregate for part, _ in answered}

        def work(transaction: Transaction) -> DrainReport:
            if all(result.outcome is Outcome.APPLIED for _, result in answered):
                transaction.commit_without_waiting()  # what a crash loses is sent again and dropped as repeats
            ours = store.lock_ours(transaction, target, claim.token, given)
            barrier.reach("before_settle")
            settled = [
                (part.shard.aggregate, self._settlement(target, part, result))
                for part, result in check_answers(transaction, target, answered)
                if part.shard.aggregate in ours
            ]
            delivered = self._write(transaction, target, settled)
            if unanswered & ours:
                store.release(transaction, target, claim.token, sorted(unanswered & ours))
            refused = sum(settlement.refusal is not None for _, settlement in settled)
            parked = sum(settlement.parked is not None for _, settlement in settled)
            return DrainReport(
                delivered=delivered, refused=refused, parked=parked, lease_lost=len(given) - len(ours), more=parked > 0
            )

        report = self._database.transact(work)
        metrics.DELIVERED.labels(target).inc(report.delivered)
        metrics.LEASE_LOST.labels(target).inc(report.lease_lost)
        for _, result in answered:
            if result.outcome is not Outcome.APPLIED:
                metrics.REFUSED.labels(target, result.reason or result.outcome.name).inc()
                _log.warning("shard_refused", target=target, aggregate=result.aggregate, reason=result.reason)
        return report

    def _settlement(self, target: str, part: Part, result: ShardResult) -> Settlement:
        return settle(
            part,
            result,
            self._registry,
            target=target,
            refusals_max=self._settings.refusals_max,
            now=self._clock.now(),
        )

    def _write(self, transaction: Transaction, target: str, settled: Sequence[tuple[str, Settlement]]) -> int:
        """Write the settlements; returns how many messages are done."""
        ids = [row.id for _, settlement in settled for row in settlement.done]
        applied = [aggregate for aggregate, settlement in settled if settlement.refusal is None]
        store.settle_applied(transaction, target, applied, ids)
        refusals = [settlement.refusal for _, settlement in settled if settlement.refusal is not None]
        store.settle_refused(transaction, target, refusals)
        parking_store.unpark_subjects(transaction, target, parking.subjects_of(settled, self._registry))
        for _, settlement in settled:
            parking.park(transaction, self._registry, settlement)
        return len(ids)


def _run(drainer: Drainer, stop: threading.Event, wait: Wait) -> None:
    woken: dict[str, threading.Event] = {}
    threads: list[threading.Thread] = []
    while not stop.is_set():
        try:
            targets = drainer.targets()
        except errors.ServiceError as exc:
            _log.warning("outbox_unreadable", reason=exc.reason)
            targets = []
        for target in targets:
            if target not in woken:
                woken[target] = threading.Event()
                thread = threading.Thread(
                    target=_run_target, args=(drainer, target, stop, woken[target]), name=f"drain-{target}"
                )
                thread.start()
                threads.append(thread)
            woken[target].set()
        wait(drainer.settings.poll_s)
    for event in woken.values():
        event.set()
    for thread in threads:
        thread.join()


def _run_target(drainer: Drainer, target: str, stop: threading.Event, woken: threading.Event) -> None:
    measured_at: float | None = None
    while not stop.is_set():
        woken.clear()
        more = False
        try:
            more = drainer.drain_target(target).more
            now = drainer.clock.monotonic()
            if measured_at is None or now - measured_at >= drainer.settings.measure_every_s:
                drainer.measure(target)
                measured_at = now
        except errors.ServiceError as exc:
            _log.warning("drain_failed", target=target, reason=exc.reason)
        except Exception:  # noqa: BLE001 - the thread must live; the message stays and is tried again
            _log.exception("drain_failed", target=target)
        if not more or drainer.breaker_wait_s(target) > 0:
            woken.wait(drainer.settings.poll_s)


def _is_outage(exc: Exception) -> bool:
    if isinstance(exc, _OUTAGES):
        return True
    return isinstance(exc, errors.ServiceError) and exc.metadata.get("peer_reason") in _PEER_OUTAGES


def _category_unknown(parts: Sequence[Part]) -> list[Answered]:
    text = "this silo does not send a category of the shard"
    return [(part, ShardResult(part.shard.aggregate, Outcome.REFUSED, "CATEGORY_UNKNOWN", text)) for part in parts]
