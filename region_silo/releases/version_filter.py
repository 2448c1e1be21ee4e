"""A version in a filter: `[package@]1.2.3-rc1`, or a part of one with X or * for the numbers that do not matter.

Missing numbers are 0 when versions are compared, so `>1` leaves 1.0.0.0 out; a wildcard leaves them open. Rules:
spec/releases.md 2.14.
"""

import re
from dataclasses import dataclass

from region_silo.releases.versions import parse_version
from shared.errors import InvalidArgument

_WILDCARDS = frozenset({"X", "x", "*"})
_PARTS_MAX = 4
_WILD = re.compile(r"(?:[0-9]{1,20}\.){0,4}[xX*](?:\.[xX*]){0,4}")


@dataclass(frozen=True)
class VersionFilter:
    """The numbers that count, from the left; with all four also the pre-release. An empty package is any."""

    package: str
    numbers: tuple[int, ...]
    prerelease: str = ""


def parse_version_filter(value: str, operator: str) -> VersionFilter:
    """What a value of release.version stands for; `operator` is "=" or one that compares.

    Raises InvalidArgument of `query`.
    """
    package, _, text = value.strip().rpartition("@")
    if _WILD.fullmatch(text):
        if operator != "=":
            raise _invalid(value, "wildcards go with = and != only")
        parts = text.split(".")
        shown = ".".join(part for part in parts if part not in _WILDCARDS)
        if len(parts) > _PARTS_MAX:
            raise _invalid(value, "a version has at most four numbers")
        if not shown:
            return VersionFilter(package, ())
        exact = _parsed(value, shown)
        return VersionFilter(package, exact.numbers[: len(shown.split("."))])
    exact = _parsed(value, text)
    return VersionFilter(package, exact.numbers, exact.prerelease)


def _parsed(value: str, text: str) -> VersionFilter:
    info = parse_version(f"any@{text}")
    if info is None or info.build_hash or info.build_code:
        raise _invalid(value, "must read like 1.2.3, 1.2.3-rc1, package@1.2 or 1.2.*; builds have release.build")
    return VersionFilter("", (info.major, info.minor, info.patch, info.revision), info.prerelease)


def _invalid(value: str, description: str) -> InvalidArgument:
    return InvalidArgument.of("query", f"release.version {value!r}: {description}")
