"""Where the processes of the stack are killed or halted, and what has happened there and what has not."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.stack.imports import Kill
from tests.faults.stack.silos import Point, Progress

AFTER_A_BATCH = Point("us", "work", "import.after_batch", 6)


@dataclass(frozen=True)
class Stop:
    """A point inside the slug conversation: what must be true of an import of `organizations` that stops there.

    Only what the dead process alone could change may be asked for: the others work on.
    """

    point: Point
    in_the_middle: Callable[[Progress], bool]
    organizations: int = 1100


CONVERSATION = (
    # More than one call to reserve takes: the first call's reservations stand, the second's go with its transaction.
    Stop(Point("control", "serve", "slugs.reserved", 2), lambda seen: 0 < seen.reserved < seen.organizations, 5100),
    Stop(
        Point("control", "serve", "slugs.reserve_committed"),
        lambda seen: seen.temporary == seen.organizations and seen.primary == 0,
    ),
    # The second of three messages of one delivery.
    Stop(
        Point("us", "serve", "slugs.applied", 2),
        lambda seen: seen.named < seen.organizations == seen.reserved and seen.waiting_in_control > 0,
    ),
    Stop(
        Point("control", "work", "after_deliver.apply_slugs"),
        lambda seen: seen.named > 0 and seen.waiting_in_control > 0,
    ),
    Stop(
        Point("control", "serve", "slugs.settled", 2),
        lambda seen: seen.named > 0 and seen.temporary > 0 and seen.waiting_in_region > 0,
    ),
    Stop(
        Point("us", "work", "after_deliver.slugs_applied"), lambda seen: seen.primary > 0 and seen.waiting_in_region > 0
    ),
)

KILLS = (
    Kill(Point("us", "serve", "upload.part_written", 2), "global"),
    Kill(Point("us", "serve", "upload.kept"), "global", client_at=Point("us", "serve", "upload.part_written")),
    Kill(Point("us", "work", "import.in_batch", 20), "global"),
    Kill(Point("control", "serve", "model_import.committed", 3), "global"),
    Kill(Point("us", "work", "import.after_reserve"), "global", client=True),
    Kill(Point("us", "work", "import.finished"), "global"),
)
"""The most telling ones; `make kills` draws from all."""

MODELS = (
    "sentry.alertruletrigger",
    "sentry.apitoken",
    "sentry.controloption",
    "sentry.counter",
    "sentry.dashboardwidget",
    "sentry.environmentproject",
    "sentry.option",
    "sentry.repository",
    "sentry.rule",
    "sentry.userip",
)
"""Those that stand for all others in these imports: kept in either silo, of an organization or of none, and tables."""

POINTS = (
    AFTER_A_BATCH,
    *(stop.point for stop in CONVERSATION),
    *(kill.point for kill in KILLS),
    *(kill.client_at for kill in KILLS if kill.client_at is not None),
)
