"""Runs a mutating request at most once, whatever its caller repeats.

The lock of its key is the first that a request's transaction takes: a repeat that comes meanwhile waits for it, up to
its deadline, and then gets the first answer. A request of one step writes its record last, with its answer: one that is
refused has none.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from shared import errors
from shared.database import Transaction
from shared.requests import store
from shared.requests.domain import (
    Mutation,
    RequestKey,
    RequestRecord,
    RequestState,
    Started,
    StoredError,
    check_same_request,
)

T = TypeVar("T")


def once(
    transaction: Transaction,
    mutation: Mutation,
    answer_type: type[T],
    work: Callable[[], T],
    *,
    resource: Callable[[T], str] | None = None,
) -> T:
    """Do a one-step request: run `work` in this transaction and keep its answer, or give the answer of the first call.

    Call it first in the transaction. `answer_type` is what msgspec can make from JSON (a frozen dataclass); secrets do
    not belong in it. `resource` tells the canonical name to show in the record. Raises RequestIdReused, and what
    `work` raises.
    """
    if store.claim(transaction, mutation.key):
        answer = work()
        shown = "" if resource is None else resource(answer)
        store.insert_succeeded(transaction, mutation, msgspec.json.encode(answer), shown)
        return answer
    record = _first_record(transaction, mutation)
    if record.state is not RequestState.SUCCEEDED:
        raise errors.Aborted("the first call with this request id is not done", retry_after_s=1)
    return msgspec.convert(record.answer, answer_type, str_keys=True)


def start(transaction: Transaction, mutation: Mutation, resource: str) -> Started:
    """Open a request of several steps, whose progress `resource` shows; commit it with the first step.

    On a repeat: the first call's resource, and `first` is False. Raises RequestIdReused.
    """
    if store.insert_running(transaction, mutation, resource):
        return Started(resource, first=True)
    return Started(_first_record(transaction, mutation).resource, first=False)


def finish(transaction: Transaction, key: RequestKey, *, error: StoredError | None, was_given_up: bool = False) -> None:
    """Close a request of several steps; `error` makes it FAILED. Does nothing to one that is closed already.

    `was_given_up`: it had FAILED because a message was parked, and has come to its end after all.
    """
    states = (RequestState.RUNNING, RequestState.FAILED) if was_given_up else (RequestState.RUNNING,)
    store.close(transaction, key, error, states=states)


def find(transaction: Transaction, principal: str, request_id: str) -> RequestRecord | None:
    """The record, or None: never applied here, refused without a change, or past its retention."""
    return store.find(transaction, RequestKey(principal, request_id))


def _first_record(transaction: Transaction, mutation: Mutation) -> RequestRecord:
    record = store.find(transaction, mutation.key)
    if record is None:  # the cleaner took it between the two statements
        raise errors.Aborted(retry_after_s=0.1)
    check_same_request(record, mutation)
    return record
