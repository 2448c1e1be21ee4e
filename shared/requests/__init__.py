"""The durable record of every mutating request: a repeat gets the first answer instead of a second effect."""

from shared.requests.domain import Mutation, RequestKey, RequestRecord, RequestState, Started, StoredError, fingerprint
from shared.requests.usecases import find, finish, once, start

__all__ = [
    "Mutation",
    "RequestKey",
    "RequestRecord",
    "RequestState",
    "Started",
    "StoredError",
    "find",
    "fingerprint",
    "finish",
    "once",
    "start",
]
