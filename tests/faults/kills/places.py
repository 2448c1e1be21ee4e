"""Every named point that an import passes, with the processes that come there; and choices among them by a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from shared.importing.registry import models
from tests.faults.stack.imports import SCOPES, Kill, handed_models
from tests.faults.stack.silos import Point

_PARTS = 5
"""The file comes in as many parts at least."""

_BATCHES = len(models()) - 1
"""Batches of a file that has few rows of nearly each model."""

_HANDED = 0
"""Stands for the number of models that are handed over, which depends on the scope."""


@dataclass(frozen=True)
class Place:
    """A point of one program, and how often an import passes it at least."""

    silo: str
    verb: str
    name: str
    times_max: int = 1
    client: bool = False
    client_dies_at: str = ""

    def draw(self, random: Random, scope: str) -> Kill:
        """One of the times that the import of that scope passes it."""
        times = random.randint(1, self.times_max or handed_models(scope))
        point = Point(self.silo, self.verb, self.name, times)
        before = Point("us", "serve", self.client_dies_at, random.randint(1, 2)) if self.client_dies_at else None
        return Kill(point, scope, self.client, before)


PLACES = (
    Place("us", "serve", "upload.begun"),
    Place("us", "serve", "upload.part_written", _PARTS),
    Place("us", "serve", "upload.kept", client_dies_at="upload.part_written"),
    Place("us", "serve", "spool.before_rename"),
    Place("us", "serve", "upload.spooled"),
    Place("us", "serve", "upload.queued"),
    Place("us", "serve", "slugs.applied"),
    Place("us", "serve", "slugs.apply_committed"),
    Place("us", "work", "import.leased"),
    Place("us", "work", "import.before_batch", _BATCHES),
    Place("us", "work", "import.in_batch", _BATCHES),
    Place("us", "work", "import.after_batch", _BATCHES),
    Place("us", "work", "import.handed", _HANDED),
    Place("us", "work", "import.completing"),
    Place("us", "work", "import.before_following"),
    Place("us", "work", "import.between_followings"),
    Place("us", "work", "import.rows_written"),
    Place("us", "work", "import.before_reserve"),
    Place("us", "work", "import.after_reserve"),
    Place("us", "work", "import.before_finish"),
    Place("us", "work", "import.in_finish"),
    Place("us", "work", "import.finished"),
    Place("us", "work", "after_claim", 2),
    Place("us", "work", "after_deliver.slugs_applied"),
    Place("us", "work", "before_settle", 2),
    Place("control", "serve", "model_import.decoded", _HANDED),
    Place("control", "serve", "model_import.in_batch", _HANDED),
    Place("control", "serve", "model_import.committed", _HANDED),
    Place("control", "serve", "model_import.completed_page"),
    Place("control", "serve", "slugs.reserved"),
    Place("control", "serve", "slugs.reserve_committed"),
    Place("control", "serve", "slugs.settled"),
    Place("control", "serve", "inbox_handled"),
    Place("control", "work", "after_claim"),
    Place("control", "work", "after_deliver.apply_slugs"),
    Place("control", "work", "before_settle"),
    Place("us", "serve", "upload.begun", client=True),
    Place("us", "serve", "upload.part_written", _PARTS, client=True),
    Place("us", "serve", "upload.spooled", client=True),
    Place("us", "serve", "upload.queued", client=True),
    Place("us", "work", "import.in_batch", _BATCHES, client=True),
    Place("us", "work", "import.after_reserve", client=True),
    Place("us", "work", "import.finished", client=True),
    Place("control", "serve", "model_import.committed", _HANDED, client=True),
    Place("control", "serve", "slugs.settled", client=True),
)


def draw(seed: int, count: int) -> Iterator[Kill]:
    """`count` kills; none of the places comes again before all others have come."""
    random = Random(seed)
    left: list[Place] = []
    for _ in range(count):
        if not left:
            left = random.sample(PLACES, len(PLACES))
        yield left.pop().draw(random, random.choice(sorted(SCOPES)))
