"""The names in a silo's certificate: one URI name that says who it is, and one DNS name that gRPC's client can check.

A client of gRPC compares DNS names only, so each silo has one that is no host. It always fixes that name, or any silo's
certificate would pass for control's. A silo is written "control" or its region's name.
"""

import re

from shared.errors import Unauthenticated

CONTROL = "control"
_CONTROL_URI = "spiffe://siloway/control"
_REGION_URI = "spiffe://siloway/region/"
_REGION_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")


def uri_of(silo: str) -> str:
    """The URI name of its certificate."""
    return _CONTROL_URI if silo == CONTROL else _REGION_URI + _checked(silo)


def dns_name_of(silo: str) -> str:
    """The DNS name of its certificate; no host has it."""
    return "control.siloway.internal" if silo == CONTROL else f"{_checked(silo)}.region.siloway.internal"


def silo_of(uri: str) -> str:
    """The silo that a URI name stands for. Raises Unauthenticated for any other URI."""
    if uri == _CONTROL_URI:
        return CONTROL
    name = uri.removeprefix(_REGION_URI)
    if name in (uri, CONTROL) or not _REGION_NAME.fullmatch(name):
        raise Unauthenticated("The certificate's URI name is no silo's.")
    return name


def _checked(region: str) -> str:
    if not _REGION_NAME.fullmatch(region):
        raise ValueError(f"no region's name: {region!r}")
    return region
