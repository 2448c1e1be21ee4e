"""Keeping the replica of control's tokens, and checking calls by it: no call needs control to be up."""

from collections.abc import Callable, Sequence

from region_silo.tokens import store
from shared import delivery
from shared.clock import Clock
from shared.database import Database, Transaction
from shared.outbox.domain import Message
from shared.tokens import Authenticator, Token


def apply_tokens(transaction: Transaction, messages: Sequence[Message]) -> None:
    """The outbox's handler: take each token's newest state."""
    gone = [int(message.subject) for message in messages if message.deleted]
    if gone:
        store.remove(transaction, gone)
    kept = [
        delivery.decode(message.payload, delivery.TokenState).token(int(message.subject), message.version)
        for message in messages
        if not message.deleted
    ]
    if kept:
        store.write(transaction, kept)


def authenticator(
    database: Database, clock: Clock, silo_name: str, confirm: Callable[[], None] = lambda: None
) -> Authenticator:
    """Checks calls to this region by its replica; `confirm` raises while that is not to be believed."""

    def find(secret_hash: bytes) -> Token | None:
        return database.ask(lambda transaction: store.find_by_hash(transaction, secret_hash))

    return Authenticator(find, clock=clock, silo=silo_name, confirm=confirm)
