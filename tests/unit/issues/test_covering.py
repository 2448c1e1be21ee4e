"""When a resolution covers an event: the rules of has_resolution, one by one."""

from datetime import UTC, datetime, timedelta

import pytest

from region_silo.issues.covering import ReleaseAt, ResolvedBy, follows_semver, has_resolution
from region_silo.issues.domain import ResolutionType

START = datetime(2026, 1, 1, tzinfo=UTC)
NEXT = ResolutionType.IN_NEXT_RELEASE
IN = ResolutionType.IN_RELEASE


def at(number: int, version: str) -> ReleaseAt:
    return ReleaseAt(number, version, START + timedelta(days=number))


OLD, MIDDLE, NEW = at(1, "a@1.0.0"), at(2, "a@2.0.0"), at(3, "a@3.0.0")


def test_without_a_resolution_nothing_is_covered() -> None:
    assert not has_resolution(None, OLD, follows_semver=True)


def test_an_event_of_no_release_is_covered() -> None:
    assert has_resolution(ResolvedBy(OLD, IN), None, follows_semver=False)


@pytest.mark.parametrize("follows", [True, False])
def test_in_a_release_only_older_ones_are_covered(follows: bool) -> None:
    resolution = ResolvedBy(MIDDLE, IN)
    covered = [has_resolution(resolution, seen, follows_semver=follows) for seen in (OLD, MIDDLE, NEW)]
    assert covered == [True, False, False]


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("type_", [NEXT, None])
@pytest.mark.parametrize("current", [None, MIDDLE])
def test_in_the_next_release_the_one_of_that_time_is_covered_too(
    type_: ResolutionType | None, current: ReleaseAt | None, follows: bool
) -> None:
    resolution = ResolvedBy(MIDDLE, type_, current)
    covered = [has_resolution(resolution, seen, follows_semver=follows) for seen in (OLD, MIDDLE, NEW)]
    assert covered == [True, True, False]


def test_numbers_decide_before_dates_where_a_project_has_them() -> None:
    patch = at(9, "a@1.0.1")
    assert has_resolution(ResolvedBy(MIDDLE, IN), patch, follows_semver=True)
    assert not has_resolution(ResolvedBy(MIDDLE, IN), patch, follows_semver=False)


def test_a_version_without_numbers_is_compared_by_date() -> None:
    assert has_resolution(ResolvedBy(NEW, IN), at(2, "abc"), follows_semver=True)


def test_a_prerelease_is_older_than_its_release() -> None:
    candidate = at(9, "a@2.0.0-rc1")
    assert has_resolution(ResolvedBy(MIDDLE, IN), candidate, follows_semver=True)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], False),
        (["a@1.0"], True),
        (["x", "a@1.0"], False),
        (["x", "y", "a@1.0"], True),
        (["x", "y", "z", "a@1.0"], False),
        (["a@1.0", *"bcdefghij"], False),
        (["a@1.0", "a@0.9", "a@0.8", *"defghij"], True),
        (["x", "y", "z", *["a@1.0"] * 7], False),
    ],
)
def test_a_project_follows_semver_by_its_newest_releases(versions: list[str], expected: bool) -> None:
    assert follows_semver(versions) is expected


def test_a_version_that_is_asked_about_must_be_numbered_itself() -> None:
    assert not follows_semver(["a@1.0"], "abc")
    assert follows_semver(["a@1.0"], "a@2.0")
