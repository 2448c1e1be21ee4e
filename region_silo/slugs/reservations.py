"""Asking control for the slugs of imported organizations. A repeat is harmless: control renames nobody."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from siloway.internal.v1 import control_callback_service_pb2 as callback_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc

from shared import deadline
from shared.rpc.channel import InternalChannel

_ITEMS_MAX = 5_000
_TEXT_LENGTH_MAX = 200
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SlugWish:
    """An organization of this region, with the slug and the name that stood in the file."""

    organization_id: int
    base_slug: str
    name: str


@dataclass(frozen=True, slots=True)
class SlugReservation:
    """The slug that the organization has or will get; `finished` when control knows that it is applied."""

    organization_id: int
    slug: str
    finished: bool


class SlugReservations:
    """Control's ReserveSlugs over the region's channel to control."""

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._stub = callback_rpc.ControlCallbackServiceStub(channel.channel)

    def reserve(self, change_set: str, wishes: Sequence[SlugWish], *, plan: str = "") -> list[SlugReservation]:
        """Reserve a slug for each, in calls of 5,000; in the order of the wishes. Never inside a transaction.

        `change_set` is "imports/<id>", and so is the `plan` that it
        applies. Texts above 200 characters are cut. Raises PeerUnavailable, DeadlineExceeded,
        Aborted, and Internal for what is our own mistake; calls that were answered before stay in force.
        """
        return [reservation for part in _parts(wishes) for reservation in self._reserve_part(change_set, part, plan)]

    def _reserve_part(self, change_set: str, part: Sequence[SlugWish], plan: str) -> list[SlugReservation]:
        deadline.check()
        request = callback_pb.ReserveSlugsRequest(
            change_set=change_set,
            plan=plan,
            items=[
                callback_pb.ReserveSlugsRequest.Item(
                    organization_id=wish.organization_id,
                    base_slug=wish.base_slug[:_TEXT_LENGTH_MAX],
                    display_name=wish.name[:_TEXT_LENGTH_MAX],
                )
                for wish in part
            ],
        )
        response = self._channel.invoke(self._stub.ReserveSlugs, request, timeout_s=_TIMEOUT_S)
        return [SlugReservation(given.organization_id, given.slug, given.finished) for given in response.reservations]


def _parts(wishes: Sequence[SlugWish]) -> Iterator[Sequence[SlugWish]]:
    for start in range(0, len(wishes), _ITEMS_MAX):
        yield wishes[start : start + _ITEMS_MAX]
