"""Sends each call to the region that owns its organization.

Where an organization lives is only a guess until its region has answered: a refusal with ORGANIZATION_ELSEWHERE is
followed once a call, to the region that it names, and remembered. A call that was refused so has changed nothing, so
the same request with the same request id goes to the next region. Streams are not followed.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
from siloway.control.v1 import organization_service_pb2 as mapping_pb

from siloway_client.client import ControlClient, RegionClient
from siloway_client.refusal import refusal_of

ELSEWHERE: Final = "ORGANIZATION_ELSEWHERE"
REMEMBERED_MAX: Final = 1024
_LOCATE_TIMEOUT_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """A region and where clients reach it, "host:port"."""

    region: str
    address: str


class Router:
    """Holds a client for each region that it has called; close it after use. Safe to share among threads.

    `connect(place)` makes a client. `locate(organization)` says where to ask first about an organization that nothing
    is remembered of; it may be wrong, and raises what it likes when it does not know.
    """

    def __init__(
        self,
        connect: Callable[[Place], RegionClient],
        locate: Callable[[str], Place],
        *,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        self._connect = connect
        self._locate = locate
        self._remembered_max = remembered_max
        self._clients: dict[Place, RegionClient] = {}
        self._places: OrderedDict[str, Place] = OrderedDict()
        self._lock = threading.Lock()

    def call(self, organization: str, call: Callable[[RegionClient], T]) -> T:
        """What `call(client)` answers in the organization's region; `organization` is an id or slug.

        `call` makes one unary call and may run twice, the second time with another region's client. Raises
        grpc.RpcError, and what `locate` raises.
        """
        key = organization.lower()
        place = self._recall(key) or self._locate(organization)
        try:
            answer = call(self._client(place))
        except grpc.RpcError as error:
            elsewhere = _place_in(error)
            if elsewhere is None or elsewhere.region == place.region:
                raise
            self._remember(key, elsewhere)
            return call(self._client(elsewhere))
        self._remember(key, place)
        return answer

    def place_of(self, organization: str) -> Place | None:
        """Where the organization was found, or None when that is not remembered."""
        return self._recall(organization.lower())

    def close(self) -> None:
        """Close all clients; calls in flight are cancelled."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _client(self, place: Place) -> RegionClient:
        with self._lock:
            client = self._clients.get(place)
            if client is None:
                client = self._clients[place] = self._connect(place)
            return client

    def _recall(self, key: str) -> Place | None:
        with self._lock:
            place = self._places.get(key)
            if place is not None:
                self._places.move_to_end(key)
            return place

    def _remember(self, key: str, place: Place) -> None:
        with self._lock:
            self._places[key] = place
            self._places.move_to_end(key)
            while len(self._places) > self._remembered_max:
                self._places.popitem(last=False)


def ask_control(control: ControlClient, organization: str) -> Place:
    """Where control says that an organization lives, within 5 s. Raises grpc.RpcError, also for a token that may not
    ask.
    """
    request = mapping_pb.GetOrganizationRequest(name=f"organizations/{organization}")
    found = control.organizations.GetOrganization(request, timeout=_LOCATE_TIMEOUT_S)
    return Place(found.region, found.region_address)


def _place_in(error: grpc.RpcError) -> Place | None:
    refusal = refusal_of(error)
    region, address = refusal.metadata.get("region"), refusal.metadata.get("address")
    return Place(region, address) if refusal.reason == ELSEWHERE and region and address else None
