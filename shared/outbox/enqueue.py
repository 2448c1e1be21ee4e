"""The one way to put a message into the outbox: it needs an open transaction, so that atomicity shows at the call."""

from typing import Protocol

from shared.outbox.domain import Category, Mode, OutboxNote

_NAME_LENGTH_MAX = 200  # the contract's; a longer one could never be delivered


class Notes(Protocol):
    """The part of a transaction that this needs."""

    def note(self, message: OutboxNote) -> None:
        """Keep the message until just before COMMIT."""
        ...


def enqueue(
    transaction: Notes,
    *,
    target: str,
    aggregate: str,
    category: Category,
    subject: str,
    payload: dict[str, object] | None = None,
) -> None:
    """Note a message for `target`; it is written as the transaction's last step, and only if that commits.

    LATEST takes no payload (the state is read at delivery); EVERY takes a payload of JSON values (default: empty).
    """
    assert category.goes_to(target), f"category {category.name} goes {category.direction.value}, not to {target}"
    for name in (aggregate, subject):
        assert 0 < len(name) <= _NAME_LENGTH_MAX, f"a name of {len(name)} characters"
    if category.mode is Mode.LATEST:
        assert payload is None, f"category {category.name} reads its state at delivery"
    elif payload is None:
        payload = {}
    transaction.note(OutboxNote(target, aggregate, category.name, subject, payload))
