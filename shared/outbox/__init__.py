"""The transactional outbox: noted in a transaction, drained to other silos, applied once by their inbox."""

from shared.outbox.domain import Category, Mode, OutboxNote
from shared.outbox.enqueue import enqueue

__all__ = ["Category", "Mode", "OutboxNote", "enqueue"]
