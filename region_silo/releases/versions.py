"""Which texts are versions, what a version tells when it is taken apart, and which of two versions is the higher.

One rule set for every door (the union of what API and ingestion ever refused), one parser and one order. A version that
does not parse is still a version; it only has no numbers. Rules: spec/releases.md 2.3 and 2.14.
"""

import re
from dataclasses import dataclass

LENGTH_MAX = 200
BYTES_MAX = 200
NUMBER_MAX = 2**63 - 1
_SHORT_HASH_LENGTH = 12

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_RELEASE = re.compile(r"(?P<package>@?[^@]+)@(?P<version>[^@]+)")
_BUILD_HASH = re.compile(
    r"[0-9a-f]{12}|[0-9a-f]{16}|[0-9a-f]{20}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE
)
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION = re.compile(
    rf"""
    (?P<numbers>[0-9]+(?:\.[0-9]+){{0,3}})
    (?:
        -(?P<dashed>{_IDENTIFIER}(?:\.{_IDENTIFIER})*)
      | (?P<joined>[a-z][0-9a-zA-Z-]*(?:\.{_IDENTIFIER})*)
    )?
    (?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?
    """,
    re.VERBOSE,
)

Rank = tuple[int, int, int, int, int, str, int, int, str]
"""Where a version stands: versions are equal when their ranks are, and ranks compare as tuples do."""


@dataclass(frozen=True)
class VersionInfo:
    """A version taken apart; `build_number` is the build code as a number where it is one of 0..2^63-1.

    With a `build_hash` there are no numbers: they are 0, and the version has no place in the order.
    """

    package: str
    major: int
    minor: int
    patch: int
    revision: int
    prerelease: str
    build_code: str
    build_number: int | None
    build_hash: str = ""
    description: str = ""


def broken_rules(version: str) -> list[str]:
    """What is wrong with a version, one sentence for each broken rule; empty when it is acceptable.

    Outer blanks are kept: ` 1.0` and `1.0` are two versions.
    """
    trimmed = version.strip()
    rules = (
        (bool(trimmed), "must not be empty or blank"),
        (len(version) <= LENGTH_MAX, f"must have at most {LENGTH_MAX} characters"),
        (len(version.encode()) <= BYTES_MAX, f"must have at most {BYTES_MAX} bytes in UTF-8"),
        (not _CONTROL.search(version), "must not hold line breaks, tabs or other control characters"),
        ("/" not in version, 'must not hold "/"'),
        ("\\" not in version, 'must not hold "\\"'),
        (trimmed not in {".", ".."}, 'must not be "." or ".."'),
        (trimmed.lower() != "latest", 'must not be "latest"'),
    )
    return [rule for kept, rule in rules if not kept]


def parse_version(version: str) -> VersionInfo | None:
    """The parts of `package@version`, or None for everything else.

    Outer blanks do not count. A number above 2^63-1 makes the whole unreadable.
    """
    release = _RELEASE.fullmatch(version.strip())
    if release is None:
        return None
    package, text = release["package"], release["version"].strip()
    if _BUILD_HASH.fullmatch(text):
        return VersionInfo(package, 0, 0, 0, 0, "", "", None, build_hash=text, description=text[:_SHORT_HASH_LENGTH])
    found = _VERSION.fullmatch(text)
    if found is None or (found["joined"] and "." not in found["numbers"]):
        return None
    numbers = _numbers(found["numbers"])
    if numbers is None:
        return None
    major, minor, patch, revision = numbers
    build_code = found["build"] or ""
    return VersionInfo(
        package=package,
        major=major,
        minor=minor,
        patch=patch,
        revision=revision,
        prerelease=found["dashed"] or found["joined"] or "",
        build_code=build_code,
        build_number=number_of_build(build_code),
        description=describe(version),
    )


def parse_hash(version: str) -> VersionInfo | None:
    """The parts of a version whose part after the package is a hash of a build, None for all others."""
    info = parse_version(version) if "@" in version else None
    return info if info is not None and info.build_hash else None


def describe(version: str) -> str:
    """How people write a version that has numbers: without its package, the build in brackets."""
    text, _, build = version.rpartition("@")[2].strip().partition("+")
    if not build:
        return text
    return f"{text} ({build[:_SHORT_HASH_LENGTH] if _BUILD_HASH.fullmatch(build) else build})"


def number_of_build(build_code: str) -> int | None:
    """The build as a number, None when it is no decimal one of 0..2^63-1."""
    if not (build_code.isascii() and build_code.isdigit()):
        return None
    digits = build_code.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(NUMBER_MAX)) and int(digits) <= NUMBER_MAX else None


def rank(info: VersionInfo) -> Rank | None:
    """Where the version stands, None for a build hash. The package does not count.

    Final versions come after their pre-releases, which compare as plain text; then those without a build, those with a
    number as build, and those with another text. So 1.0 = 1.0.0 = 1.0.0.0 and 1.0dev = 1.0.0-dev.
    """
    if info.build_hash:
        return None
    if info.build_number is not None:
        build: tuple[int, int, str] = (1, info.build_number, "")
    else:
        build = (2, 0, info.build_code) if info.build_code else (0, 0, "")
    is_final = 0 if info.prerelease else 1
    return (info.major, info.minor, info.patch, info.revision, is_final, info.prerelease, *build)


def compare(version: str, other: str) -> int | None:
    """-1, 0 or 1 as the first stands below, beside or above the other; None when one of them has no place."""
    ranks = []
    for text in (version, other):
        info = parse_version(text)
        ranks.append(None if info is None else rank(info))
    first, second = ranks
    if first is None or second is None:
        return None
    return (first > second) - (first < second)


def _numbers(text: str) -> tuple[int, int, int, int] | None:
    """The four numbers, 0 for those that are missing; None when one is above 2^63-1."""
    numbers = [number_of_build(part) for part in text.split(".")]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    major, minor, patch, revision = known + [0] * (4 - len(known))
    return major, minor, patch, revision
