"""A provisioned organization `acme` with its region's door, control's door, and the outboxes between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from siloway.control.v1 import announcement_service_pb2 as announcement_pb
from siloway.control.v1 import announcement_service_pb2_grpc as announcement_rpc

from control_silo.announcements import servicer as servicers
from shared.errors import Unauthenticated
from shared.rpc.call import Caller
from shared.rpc.methods import Door, MethodTable
from shared.rpc.server import build_server
from tests.integration.callbacks.silos import Silos
from tests.integration.provisioning.asking import id_of, made
from tests.region_features import RegionFeatures

READS = frozenset({"org:read"})


class Announcing:
    """Organization `acme` in region `us`, with the project `web`; `other` is another one."""

    def __init__(self, silos: Silos, features: RegionFeatures, organizations: tuple[int, int]) -> None:
        self.silos = silos
        self.features = features
        self.client = features.client
        self.organization, self.other = organizations
        self.callers = {
            "integration": Caller("tokens/1", READS),
            "bound": Caller("tokens/2", READS, organization_id=self.organization),
            "bound to another": Caller("tokens/3", READS, organization_id=self.other),
            "nothing": Caller("tokens/4"),
        }
        self.server = build_server(
            address="127.0.0.1:0",
            table=MethodTable.of(*servicers.METHODS),
            door=Door.PUBLIC,
            servicers=[
                (
                    announcement_rpc.add_AnnouncementServiceServicer_to_server,
                    servicers.AnnouncementServicer(silos.control),
                )
            ],
            authenticate=self._caller,
        )
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub = announcement_rpc.AnnouncementServiceStub(self.channel)

    def ask(
        self, who: str = "integration", organization: str = "acme", **query: Any
    ) -> announcement_pb.ListAnnouncementsResponse:
        request = announcement_pb.ListAnnouncementsRequest(parent=f"organizations/{organization}", **query)
        return self.stub.ListAnnouncements(request, timeout=20, metadata=(("authorization", f"Bearer {who}"),))

    def kept(self, **query: Any) -> list[int]:
        """The deploys that control tells of."""
        return [int(each.key) for each in self.ask(**query).announcements]

    def close(self) -> None:
        self.channel.close()
        self.server.stop(0)

    def _caller(self, secret: str) -> Caller:
        if secret.startswith("user "):
            user = int(secret.removeprefix("user "))
            return Caller(f"users/{user}", READS, user_id=user)
        if secret not in self.callers:
            raise Unauthenticated
        return self.callers[secret]


@contextmanager
def opened_announcing(silos: Silos, redis_url: str) -> Iterator[Announcing]:
    organizations = (id_of(made(silos)), id_of(made(silos, slug="other")))
    url = silos.regions["us"].engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    features = RegionFeatures(url, redis_url, clock=silos.clock)
    try:
        features.add_project("web", f"organizations/{organizations[0]}")
        announcing = Announcing(silos, features, organizations)
        try:
            yield announcing
        finally:
            announcing.close()
    finally:
        features.close()
