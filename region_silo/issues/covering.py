"""Whether the resolution of an issue covers an event of some release, or the event shows that it is back.

Source: spec/releases.md 2.13 (has_resolution, "follows semver").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from region_silo.issues.domain import ResolutionType
from region_silo.releases.versions import VersionInfo, parse_version

_RECENT = 10
_NEWEST = 3
_FEW = 2


@dataclass(frozen=True)
class ReleaseAt:
    """A release in the order of its project."""

    id: int
    version: str
    date_added: datetime


@dataclass(frozen=True)
class ResolvedBy:
    """A resolution: its release, and the newest release of the time when it was to be fixed in the next one."""

    release: ReleaseAt
    type: ResolutionType | None
    current: ReleaseAt | None = None


def has_resolution(resolution: ResolvedBy | None, seen_in: ReleaseAt | None, *, follows_semver: bool) -> bool:
    """Whether an event of the release `seen_in` (None: of none) is covered, so that the issue stays resolved.

    Without a type a resolution is one in the next release.
    """
    if resolution is None:
        return False
    if seen_in is None:
        return True
    if resolution.current is not None:
        return not _is_newer(seen_in, resolution.current, follows_semver=follows_semver)
    if resolution.type is not ResolutionType.IN_RELEASE:
        return not _is_newer(seen_in, resolution.release, follows_semver=follows_semver)
    return _is_newer(resolution.release, seen_in, follows_semver=follows_semver)


def follows_semver(versions: Sequence[str], version: str | None = None) -> bool:
    """Whether a project's releases, newest first, are numbered; the ten newest count.

    A `version`, when given, must be numbered itself.
    """
    if version is not None and parse_version(version) is None:
        return False
    numbered = [parse_version(each) is not None for each in versions[:_RECENT]]
    if len(numbered) <= _FEW:
        return bool(numbered) and numbered[0]
    is_any = any(numbered[:_NEWEST])
    return is_any if len(numbered) < _RECENT else is_any and sum(numbered) >= _NEWEST


def _is_newer(one: ReleaseAt, other: ReleaseAt, *, follows_semver: bool) -> bool:
    if one.id == other.id:
        return False
    if follows_semver:
        first, second = parse_version(one.version), parse_version(other.version)
        if first is not None and second is not None:
            return _rank(first) > _rank(second)
    return (one.date_added, one.id) > (other.date_added, other.id)


def _rank(info: VersionInfo) -> tuple[int, int, int, int, bool, str]:
    is_final = not info.prerelease
    return (info.major, info.minor, info.patch, info.revision, is_final, info.prerelease)
