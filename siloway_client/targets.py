"""Which silos a command talks to, and with which token.

What the command line or the environment says wins; otherwise the local stack's own file tells. Regions that
neither names are asked of control, and so is an organization's region: but what control says is only where to ask
first, so commands about organizations work without it wherever a region is known.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from siloway.control.v1 import region_service_pb2 as region_pb

from siloway_client.client import ControlClient, RegionClient
from siloway_client.router import Place, Router, ask_control


class TargetUnknown(Exception):
    """The command does not know whom to call; the text says what to do."""


@dataclass(frozen=True)
class Targets:
    """Addresses are host:port; `timeout_s` is the deadline of a call that has none of its own."""

    control_address: str
    region_addresses: dict[str, str]
    token: str = field(repr=False)
    ca_file: Path | None
    timeout_s: float
    environment_file: Path | None

    def control(self) -> ControlClient:
        """A client of the control silo; close it after use."""
        return ControlClient(self.control_address, self.token, ca_file=self.ca_file, timeout_s=self.timeout_s)

    def region(self, name: str) -> RegionClient:
        """A client of a region silo; close it after use. Raises TargetUnknown and, from asking control, RpcError."""
        return self._connect(Place(name, self._address(name)))

    def region_names(self) -> list[str]:
        """The regions that are known; without any, those that control tells. Raises RpcError from asking it."""
        return sorted(self.region_addresses or self._ask_addresses())

    def router(self, first: str | None) -> Router:
        """A router that asks region `first` first; None asks control where, for each organization. Close it after use.

        Its calls raise TargetUnknown when no region is known.
        """
        return Router(self._connect, lambda organization: self._locate(organization, first))

    def _connect(self, place: Place) -> RegionClient:
        # The local stack's file knows its own addresses best.
        address = self.region_addresses.get(place.region, place.address)
        return RegionClient(address, self.token, ca_file=self.ca_file, timeout_s=self.timeout_s)

    def _locate(self, organization: str, first: str | None) -> Place:
        if first is not None:
            return Place(first, self._address(first))
        try:
            with self.control() as control:
                return ask_control(control, organization)
        except grpc.RpcError:
            # Control is away, does not know it yet, or does not let this token ask: any region may.
            return self._any_region()

    def _any_region(self) -> Place:
        addresses = self.region_addresses or self._ask_addresses()
        if not addresses:
            raise TargetUnknown("control knows no region")
        return Place(*next(iter(addresses.items())))

    def _address(self, name: str) -> str:
        address = self.region_addresses.get(name)
        if address is not None:
            return address
        addresses = self._ask_addresses()
        if name not in addresses:
            known = ", ".join(sorted(addresses)) or "none"
            raise TargetUnknown(f"there is no region {name!r}; control knows: {known}")
        return addresses[name]

    def _ask_addresses(self) -> dict[str, str]:
        with self.control() as control:
            regions = control.regions.ListRegions(region_pb.ListRegionsRequest()).regions
        return {region.name.removeprefix("regions/"): region.public_address for region in regions}


def find_targets(
    *, folder: Path, control: str | None, token: str | None, ca_file: Path | None, timeout_s: float
) -> Targets:
    """Targets from the options, else from the local stack's stack.json in `folder`. Raises TargetUnknown."""
    stack = _read_stack(folder / "stack.json")
    if control is None and stack is None:
        raise TargetUnknown(
            f"no local stack in {folder}: start one with `make run`, or name a control silo with --control and --token"
        )
    if token is None and stack is not None and control is None:
        token_file = Path(str(stack["token_file"]))
        token = token_file.read_text().strip() if token_file.is_file() else None
    if token is None:
        raise TargetUnknown("no token: give one with --token or SILOWAY_TOKEN")
    regions: dict[str, str] = {}
    environment_file = None
    if stack is not None and control is None:
        regions = {str(name): str(region["public_address"]) for name, region in stack["regions"].items()}
        environment_file = Path(str(stack["environment_file"]))
        control = str(stack["control"]["public_address"])
    assert control is not None
    return Targets(control, regions, token, ca_file, timeout_s, environment_file)


def _read_stack(path: Path) -> dict[str, dict[str, dict[str, str]]] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise TargetUnknown(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or not {"control", "regions", "token_file", "environment_file"} <= content.keys():
        raise TargetUnknown(f"{path} is not a stack's file; remove it, or start the stack again")
    return content
