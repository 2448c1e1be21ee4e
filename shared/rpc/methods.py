"""The table of methods: for each full method name the door that serves it, who may call it, whose data it is about, and
what it may cost.

Deny by default: a name without a row is not served, and neither is a row's name on another door. Health and reflection
have their rows in every table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

PEER_CONTROL = "peer:control"
"""The scope that a call on the internal door has when control makes it."""

PEER_REGION = "peer:region"
"""The scope that a call on the internal door has when a region makes it."""


CONNECTION_GRACE_S = 3600
"""How long calls may go on after their connection's age is over; every method's maximum stays below it."""


class Door(Enum):
    """Where a process listens: clients, other silos, operators' machines."""

    PUBLIC = "public"
    INTERNAL = "internal"
    ADMIN = "admin"


class Budget(Enum):
    """What a call's permit is taken from; PEERS is for calls that wait on the other silo."""

    CALLS = "calls"
    STREAMS = "streams"
    PEERS = "peers"


class Whose(Enum):
    """Whose data a public method reads or changes; see shared/rpc/ownership.py for what follows.

    SILO: the silo's own, or several organizations' at once; nobody who is bound to one organization may call it.
    ORGANIZATION: one organization's, which the row's `names` lead to; what belongs to another one is not there.
    CALLER: whatever the caller may see, decided row by row; `names` may narrow it and never widen it.
    EVERYBODY: the same for all callers.
    """

    SILO = "silo"
    ORGANIZATION = "organization"
    CALLER = "caller"
    EVERYBODY = "everybody"


@dataclass(frozen=True)
class Method:
    """One row. `name` is `/package.Service/Method`; any one of `scopes` suffices, none asks for authentication only.

    `names` are the paths of the request's fields with the names of what `whose` speaks of; a row that does not say
    whose data it is about is the silo's. `maximum_s` bounds the call whatever deadline the client gives. `open` is for
    health alone: no token, every door. `while_closed`: also answered by a silo that was restored and is not in step
    yet.
    """

    name: str
    door: Door
    scopes: tuple[str, ...] = ()
    budget: Budget = Budget.CALLS
    maximum_s: float = 30.0
    mutating: bool = False
    open: bool = False
    whose: Whose = Whose.SILO
    names: tuple[str, ...] = ()
    while_closed: bool = False


HEALTH_METHODS = (
    Method("/grpc.health.v1.Health/Check", Door.PUBLIC, open=True),
    Method("/grpc.health.v1.Health/List", Door.PUBLIC, open=True),
    Method("/grpc.health.v1.Health/Watch", Door.PUBLIC, open=True),
)
REFLECTION_METHODS = (
    Method(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Door.PUBLIC,
        budget=Budget.STREAMS,
        whose=Whose.EVERYBODY,
    ),
)


class MethodTable:
    """The rows by name. Two rows of one name are a programmer's error."""

    def __init__(self, rows: dict[str, Method]) -> None:
        self._rows = rows

    @classmethod
    def of(cls, *methods: Method) -> "MethodTable":
        """A table of these rows and those of health and reflection."""
        rows: dict[str, Method] = {}
        for method in (*HEALTH_METHODS, *REFLECTION_METHODS, *methods):
            assert method.name not in rows, f"two rows for {method.name}"
            assert method.name.count("/") == 2, f"no full method name: {method.name}"
            assert method.whose is not Whose.ORGANIZATION or method.names, f"{method.name} names no organization"
            assert 0 < method.maximum_s < CONNECTION_GRACE_S, f"{method.name} may outlive its connection"
            rows[method.name] = method
        return cls(rows)

    def get(self, name: str) -> Method | None:
        """The row, or None: then the method is not served."""
        return self._rows.get(name)

    def __iter__(self) -> Iterator[Method]:
        return iter(self._rows.values())
