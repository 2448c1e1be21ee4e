"""What both of control's programs open first: the parts, and the directory of regions as the settings have it."""

from control_silo.regions.domain import Region
from control_silo.regions.usecases import register_regions
from control_silo.settings import ControlSettings
from shared.parts import Parts, open_parts


def open_control(settings: ControlSettings) -> Parts:
    """The open parts. Raises as open_parts, and what register_regions refuses."""
    parts = open_parts(settings.silo)
    known = [
        Region(region.name, region.number, region.internal_address, region.public_address)
        for region in settings.regions
    ]
    parts.database.transact(lambda transaction: register_regions(transaction, known))
    return parts
