"""What CompareFiles tells of two files that a region has: findings, digests, and a result that can be believed."""

import tracemalloc
from typing import Any

import pytest

from region_silo.exports.domain import Scope
from region_silo.file_comparison.domain import FileName
from shared.exports.comparison_lines import Compared
from shared.rpc.call import acting
from tests.integration.exports.stack import Row
from tests.integration.exports.test_rules import two_organizations
from tests.integration.file_comparison.doors import Doors
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import CALLER, METHOD, OPERATOR

pytestmark = pytest.mark.integration

_GUID = "7e1c9a52-6a5d-4b6e-9d0e-3f1f6f5f0a11"
_TOKEN = "abcdefghijklmnopqrstuvwxyz012345"


def _option(pk: int, key: str, value: Any = 1) -> Row:
    return rows.row("sentry.option", pk, key=key, value=value, last_updated=rows.TIME)


def _file(first: int = 0, **changes: Any) -> list[Row]:
    """Two organizations with ids from `first` on."""
    one, two = first + 1, first + 2
    team = rows.team(one, one, "one")
    team["fields"] |= changes.get("team", {})
    return [
        rows.user(one, "ada", **{"name": "Ada", **changes.get("user", {})}),
        rows.organization(one, "acme"),
        rows.organization(two, "umbrella"),
        rows.member(one, one, one, token=changes.get("token", _TOKEN)),
        team,
        rows.team(two, two, "two"),
        rows.project(one, first + changes.get("owner", 1), "web"),
        rows.row("sentry.monitor", one, organization_id=two, guid=changes.get("guid", _GUID)),
    ]


def test_files_with_other_ids_are_equal_and_so_are_their_digests(doors: Doors) -> None:
    left, right = _file(), _file(500, guid="0b1c9a52-6a5d-4b6e-9d0e-3f1f6f5f0a12")
    answer = doors.compare(doors.upload(left), doors.upload(right))
    assert (answer.result.equal, answer.result.rows_matched, answer.findings) == (True, True, [])
    assert {*answer.models} == {row["model"] for row in left}
    for model, told in answer.models.items():
        assert told.left_row_count == told.right_row_count == sum(row["model"] == model for row in left)
        assert told.left_digest == told.right_digest
        assert bool(told.left_digest) is (model not in {"sentry.monitor"}), "what must differ is looked at"
    first, second = answer.organizations
    assert (first.left_pk, first.right_pk, second.left_pk, second.right_pk) == ("1", "501", "2", "502")
    assert first.left_digest == first.right_digest != ""
    assert second.left_digest == second.right_digest == ""


def test_each_kind_of_difference_between_rows_is_told_without_secrets(doors: Doors) -> None:
    user = {"email": "ada.l@other.org", "password": "md5$c$ddddddddddddddd", "date_joined": "2020-01-01T00:00:00.000Z"}
    changed = _file(user=user, token="z" * 32, team={"name": "Renamed"}, owner=2)
    changed[1]["fields"].pop("date_added")
    answer = doors.compare(doors.upload(_file()), doors.upload(changed))
    assert not answer.result.equal
    assert answer.result.finding_count == len(answer.findings)
    assert sorted(answer.kinds) == [
        ("DatetimeEqualityComparator", "sentry.user"),
        ("DatetimeEqualityComparatorExistenceCheck", "sentry.organization"),
        ("EmailObfuscatingComparator", "sentry.user"),
        ("ForeignKeyComparator", "sentry.project"),
        ("HashObfuscatingComparator", "sentry.organizationmember"),
        ("UUID4Comparator", "sentry.monitor"),
        ("UnequalJSON", "sentry.team"),
        ("UserPasswordObfuscatingComparator", "sentry.user"),
    ]
    project = next(each for each in answer.findings if each.model == "sentry.project")
    assert (project.ordinal, project.left_pk, project.right_pk) == (1, "1", "1")
    told = "".join(each.reason for each in answer.findings)
    assert "Renamed" in told
    assert not [secret for secret in (user["email"], user["password"], "z" * 32, _TOKEN) if secret in told]
    differs = {model for model, each in answer.models.items() if each.left_digest != each.right_digest}
    assert differs == {
        "sentry.user",
        "sentry.organization",
        "sentry.organizationmember",
        "sentry.team",
        "sentry.project",
    }


def test_what_keeps_rows_from_being_matched_is_all_that_is_told(doors: Doors) -> None:
    left = [*_file()[1:3], _option(1, "a"), _option(2, "a"), rows.team(1, 1, "one")]
    answer = doors.compare(doors.upload(left), doors.upload([*_file()[1:3][::-1]]))
    assert sorted(answer.kinds) == [
        ("DuplicateCustomOrdinal", "sentry.option"),
        ("UnequalCounts", "sentry.option"),
        ("UnequalCounts", "sentry.team"),
        ("UnorderedInput", "sentry.organization"),
    ]
    unordered = next(each for each in answer.findings if each.kind == "UnorderedInput")
    assert (unordered.ordinal, unordered.left_pk, unordered.right_pk) == (2, "", "1")
    assert (answer.result.equal, answer.result.rows_matched, answer.organizations) == (False, False, [])
    assert {each.left_digest + each.right_digest for each in answer.models.values()} == {""}
    assert answer.models["sentry.team"].left_row_count == 1


def test_an_import_is_compared_with_what_is_exported_of_it(doors: Doors) -> None:
    doors.stack.import_all(two_organizations())
    before = doors.export(scope=Scope.GLOBAL)
    doors.stack.imports.change_in("region", "UPDATE project SET name = 'Other' WHERE slug = 'web2'")
    answer = doors.compare(before, doors.export(scope=Scope.GLOBAL))
    assert [each for each in answer.kinds if each[1] != "sentry.user"] == [("UnequalJSON", "sentry.project")]
    assert [each.left_digest == each.right_digest for each in answer.organizations] == [True, False]
    counts = {"UnequalCounts"}
    assert {kind for kind, _ in doors.compare(doors.upload(two_organizations()), before).kinds} == counts


def test_who_may_import_only_is_told_which_fields_differ_and_operators_what_they_hold(doors: Doors) -> None:
    names = [doors.upload(file, caller=CALLER) for file in (_file(), _file(team={"name": "Renamed", "extra": 1}))]
    told = {}
    for token in ("importer", "operator"):
        (told[token],) = (
            each.reason for each in doors.compare(names[0], names[1], token).findings if each.kind == "UnequalJSON"
        )
    assert told["importer"] == "these fields differ: `extra`, `name`"
    assert '+  "name": "Renamed"' in told["operator"]


def test_findings_are_cut_where_wanted_and_that_is_told(doors: Doors) -> None:
    left = [_option(pk, f"key {pk:05}", "x") for pk in range(1, 1002)]
    right = [_option(pk, f"key {pk:05}", "y" * 40_000 if pk == 1 else "y") for pk in range(1, 1002)]
    names = doors.upload(left), doors.upload(right)
    for wanted, sent in ((3, 3), (0, 1000)):
        answer = doors.compare(*names, max_findings=wanted)
        assert (len(answer.findings), answer.result.finding_count) == (sent, sent)
        assert answer.result.findings_cut
        assert max(len(each.reason) for each in answer.findings) <= 16_000
        assert answer.models["sentry.option"].left_digest != answer.models["sentry.option"].right_digest


def test_this_process_holds_no_more_of_bigger_files(doors: Doors) -> None:
    def peak(count: int) -> int:
        files = [[_option(pk, f"key {pk:05}", value * 300) for pk in range(1, count + 1)] for value in ("x", "y")]
        names = [FileName.of(doors.upload(file)) for file in files]
        tracemalloc.start()
        try:
            with acting(OPERATOR, method=METHOD):
                for line in doors.usecases.compare(names[0], names[1], 100_000):
                    last = line
            assert isinstance(last, Compared)
            assert (last.findings, last.is_cut) == (count, False)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(1200) < peak(300) + 100_000
