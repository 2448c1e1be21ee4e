"""What is measured: a whole local stack as `make run` starts it, with durable servers, in a folder of its own."""

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from siloway.control.v1 import organization_service_pb2 as organization_pb

from control_silo.migrate import migrate_database as migrate_control
from region_silo.migrate import migrate_database as migrate_region
from shared.embedded.databases import DatabaseServer
from siloway_client.client import ControlClient, RegionClient, new_request_id
from tests.stack import RunningStack

REGION = "us"
OLD_REGION = "de"
"""The region whose ids have layout 1."""


@dataclass(frozen=True)
class Environment:
    """A running stack; `quick` makes everything smaller."""

    stack: RunningStack
    control: ControlClient
    region: RegionClient
    quick: bool

    @property
    def token(self) -> str:
        return self.stack.token

    @property
    def region_address(self) -> str:
        address: str = self.stack.describe["regions"][REGION]["public_address"]
        return address

    @property
    def rounds(self) -> int:
        """How often floor and ours are measured."""
        return 3 if self.quick else 7

    def scaled(self, usual: float, quick: float) -> float:
        """One of the two, by how much time there is."""
        return quick if self.quick else usual

    def empty_region_database(self) -> str:
        """The URL of a new, migrated database of REGION in the stack's PostgreSQL."""
        url = self.empty_database()
        migrate_region(url, REGION, 1)
        return url

    def empty_control_database(self) -> str:
        """The same for control."""
        url = self.empty_database()
        migrate_control(url)
        return url

    def empty_database(self) -> str:
        """The URL of a new database without tables, in the same PostgreSQL."""
        databases = DatabaseServer(self.stack.database_url(REGION))
        name = f"bench_{uuid.uuid4().hex[:8]}"
        databases.create_database(name)
        return databases.url(name)

    def organization(self) -> str:
        """A new organization of REGION, known to both silos: its name."""
        slug = f"bench-{uuid.uuid4().hex[:12]}"
        change = self.control.organizations.ProvisionOrganization(
            organization_pb.ProvisionOrganizationRequest(
                region=REGION,
                display_name=slug,
                slug=slug,
                owner_email="owner@example.com",
                request_id=new_request_id(),
            ),
            timeout=60,
        )
        assert change.state == organization_pb.OrganizationChange.STATE_SUCCEEDED, change
        name: str = change.organization
        return name


@contextmanager
def environment(*, quick: bool) -> Iterator[Environment]:
    """The stack for one run."""
    folder = Path(tempfile.mkdtemp(prefix="siloway-bench-"))
    folder.chmod(0o711)
    stack = RunningStack(folder / "stack", environment={f"SILOWAY_REGION_{OLD_REGION.upper()}_ID_LAYOUT": "1"})
    try:
        with stack.control() as control, stack.region(REGION) as region:
            yield Environment(stack, control, region, quick)
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)
