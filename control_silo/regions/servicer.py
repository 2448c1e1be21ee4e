"""RegionService on the wire."""

import grpc
from siloway.control.v1 import region_service_pb2 as region_pb
from siloway.control.v1 import region_service_pb2_grpc as region_rpc

from control_silo.regions import usecases
from shared.database import Database
from shared.rpc.methods import Door, Method

METHODS = (Method("/siloway.control.v1.RegionService/ListRegions", Door.PUBLIC),)


class RegionServicer(region_rpc.RegionServiceServicer):
    """Serves the directory in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ListRegions(
        self, request: region_pb.ListRegionsRequest, context: grpc.ServicerContext
    ) -> region_pb.ListRegionsResponse:
        del request, context
        return region_pb.ListRegionsResponse(
            regions=[
                region_pb.Region(
                    name=f"regions/{region.name}", number=region.number, public_address=region.public_address
                )
                for region in self._database.read(usecases.list_regions)
            ]
        )
