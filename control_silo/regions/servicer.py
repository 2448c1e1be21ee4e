"""RegionService on the wire."""

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import region_service_pb2 as region_pb
from siloway.control.v1 import region_service_pb2_grpc as region_rpc

from control_silo.regions import usecases
from control_silo.regions.domain import RegionState, ShownRegion
from shared.database import Database
from shared.errors import InvalidArgument
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.control.v1.RegionService"

METHODS = (
    Method(f"{_SERVICE}/GetRegion", Door.PUBLIC, whose=Whose.EVERYBODY),
    Method(f"{_SERVICE}/ListRegions", Door.PUBLIC, whose=Whose.EVERYBODY, while_closed=True),
    Method(f"{_SERVICE}/DrainRegion", Door.PUBLIC, ("silo:operate",), mutating=True),
    Method(f"{_SERVICE}/UndrainRegion", Door.PUBLIC, ("silo:operate",), mutating=True),
)

_PREFIX = "regions/"
_STATES = {
    RegionState.ACTIVE: region_pb.Region.STATE_ACTIVE,
    RegionState.DRAINING: region_pb.Region.STATE_DRAINING,
}


class RegionServicer(region_rpc.RegionServiceServicer):
    """Serves the directory in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def GetRegion(self, request: region_pb.GetRegionRequest, context: grpc.ServicerContext) -> region_pb.Region:
        del context
        name = _parse(request.name)
        return _message(self._database.read(lambda transaction: usecases.show_region(transaction, name)))

    def ListRegions(
        self, request: region_pb.ListRegionsRequest, context: grpc.ServicerContext
    ) -> region_pb.ListRegionsResponse:
        del request, context
        shown = self._database.read(usecases.show_regions)
        return region_pb.ListRegionsResponse(regions=[_message(region) for region in shown])

    def DrainRegion(self, request: region_pb.DrainRegionRequest, context: grpc.ServicerContext) -> region_pb.Region:
        del context
        name, asked = _parse(request.name), mutation(request)
        return _message(self._database.transact(lambda t: usecases.drain_region(t, asked, name)))

    def UndrainRegion(self, request: region_pb.UndrainRegionRequest, context: grpc.ServicerContext) -> region_pb.Region:
        del context
        name, asked = _parse(request.name), mutation(request)
        return _message(self._database.transact(lambda t: usecases.undrain_region(t, asked, name)))


def _parse(name: str) -> str:
    region = name.removeprefix(_PREFIX)
    if region == name or not region or "/" in region:
        raise InvalidArgument.of("name", "must read regions/{region}")
    return region


def _message(region: ShownRegion) -> region_pb.Region:
    update_time = Timestamp()
    update_time.FromDatetime(region.updated_at)
    return region_pb.Region(
        name=usecases.region_name(region.name),
        number=region.number,
        public_address=region.public_address,
        state=_STATES[region.state],
        organization_count=region.organization_count,
        update_time=update_time,
    )
