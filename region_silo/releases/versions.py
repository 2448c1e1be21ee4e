"""Which texts are versions, and what a version tells when it is taken apart.

One rule set for every door (the union of what API and ingestion ever refused) and one parser. A version that does not
parse is still a version; it only has no numbers. Rules: spec/releases.md 2.3 and 2.14.
"""

import re
from dataclasses import dataclass

LENGTH_MAX = 200
BYTES_MAX = 200
NUMBER_MAX = 2**63 - 1

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


@dataclass(frozen=True)
class VersionInfo:
    """A version taken apart; `build_number` is the build code as a number where it is one of 0..2^63-1."""

    package: str
    major: int
    minor: int
    patch: int
    revision: int
    prerelease: str
    build_code: str
    build_number: int | None


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
    """The parts of `package@version`, or None for everything else, build hashes among it.

    Outer blanks do not count. A number above 2^63-1 makes the whole unreadable.
    """
    release = _RELEASE.fullmatch(version.strip())
    if release is None:
        return None
    text = release["version"].strip()
    found = None if _BUILD_HASH.fullmatch(text) else _VERSION.fullmatch(text)
    if found is None or (found["joined"] and "." not in found["numbers"]):
        return None
    numbers = [int(number) for number in found["numbers"].split(".")]
    if max(numbers) > NUMBER_MAX:
        return None
    major, minor, patch, revision = numbers + [0] * (4 - len(numbers))
    build_code = found["build"] or ""
    return VersionInfo(
        package=release["package"],
        major=major,
        minor=minor,
        patch=patch,
        revision=revision,
        prerelease=found["dashed"] or found["joined"] or "",
        build_code=build_code,
        build_number=_build_number(build_code),
    )


def _build_number(build_code: str) -> int | None:
    if not build_code.isdigit() or int(build_code) > NUMBER_MAX:
        return None
    return int(build_code)
