"""What both of a region's programs open first: the parts, with the region's number checked, and the way to control."""

from region_silo.routing.usecases import check_number
from region_silo.settings import RegionSettings
from shared.errors import ServiceError
from shared.parts import INTERNAL_MESSAGE_BYTES_MAX, Parts, open_parts
from shared.rpc.channel import InternalChannel
from shared.rpc.identity import CONTROL


def open_region(settings: RegionSettings) -> Parts:
    """The open parts. Raises as open_parts, and RegionNumberTaken: no process gives out another region's ids."""
    parts = open_parts(settings.silo, id_layout=settings.id_layout)
    name, number = parts.identity.name, parts.identity.number
    try:
        parts.database.read(lambda transaction: check_number(transaction, name=name, number=number))
    except ServiceError:
        parts.close()
        raise
    return parts


def channel_to_control(parts: Parts, settings: RegionSettings) -> InternalChannel:
    """The channel to control's internal door; the caller closes it."""
    return InternalChannel(
        settings.control_internal_address,
        peer=CONTROL,
        credentials=parts.credentials,
        message_bytes_max=INTERNAL_MESSAGE_BYTES_MAX,
    )
