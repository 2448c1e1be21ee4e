import contextlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.exports import comparison_index, comparison_order, objects
from shared.exports.comparing import Comparison, compare_files, unequal_json
from shared.exports.comparison_findings import ComparisonFinding
from shared.exports.errors import ExportFileError, InvalidExport, UnknownModel
from tests.unit.exports.files_of import TIME, row, write

Rows = list[dict[str, Any]]


def compare(folder: Path, left: Rows, right: Rows) -> list[ComparisonFinding]:
    return list(compare_files(write(folder / "a.json", left), write(folder / "b.json", right)))


def kinds(folder: Path, left: Rows, right: Rows) -> list[str]:
    return [finding.kind for finding in compare(folder, left, right)]


def organization(pk: int, slug: str = "acme", **changes: Any) -> dict[str, Any]:
    return row("sentry.organization", pk, slug=slug, name="Acme", status=0, flags="1", date_added=TIME, **changes)


def project(pk: int, owner: int, name: str = "web", **changes: Any) -> dict[str, Any]:
    return row("sentry.project", pk, slug=name, name=name, organization=owner, **changes)


def option(pk: int, key: str, value: Any = 1) -> dict[str, Any]:
    return row("sentry.option", pk, key=key, value=value)


def user(pk: int, name: str, **changes: Any) -> dict[str, Any]:
    return row("sentry.user", pk, username=name, is_unclaimed=False, password="x", **changes)


def test_equal_files_with_other_ids_are_equal(tmp_path: Path) -> None:
    left = [organization(1), organization(2, "other"), project(5, 1), project(6, 2)]
    right = [organization(70, "acme-x2"), organization(99, "other"), project(700, 70), project(701, 99)]
    assert compare(tmp_path, left, right) == []
    assert compare(tmp_path, [], []) == []


def test_a_foreign_key_to_another_row_is_told_with_both_pks(tmp_path: Path) -> None:
    left = [organization(1), organization(2), project(5, 1)]
    (finding,) = compare(tmp_path, left, [organization(11), organization(12), project(15, 12)])
    assert finding.kind == "ForeignKeyComparator"
    assert (finding.model, finding.ordinal, finding.left_pk, finding.right_pk) == ("sentry.project", 1, 5, 15)
    assert "(1)" in finding.reason
    assert "(2)" in finding.reason


def test_a_foreign_key_to_nothing_is_told_for_each_side(tmp_path: Path) -> None:
    found = compare(tmp_path, [project(5, 77)], [project(6, 78)])
    assert [finding.kind for finding in found] == ["ForeignKeyComparator"] * 2
    assert ["77" in found[0].reason, "78" in found[1].reason] == [True, True]
    assert kinds(tmp_path, [project(5, 77)], [project(5, 77)]) == ["ForeignKeyComparator"] * 2
    null = [organization(1), project(5, None)]  # type: ignore[arg-type]
    assert kinds(tmp_path, [organization(1), project(5, 1)], null) == ["ForeignKeyComparatorExistenceCheck"]


def test_rows_whose_pks_do_not_ascend_are_told_and_end_the_comparison(tmp_path: Path) -> None:
    left, right = [organization(2), organization(1)], [organization(1), organization(2, "unlike")]
    (finding,) = compare(tmp_path, left, right)
    assert (finding.kind, finding.ordinal, finding.left_pk, finding.right_pk) == ("UnorderedInput", 2, 1, None)
    (finding,) = compare(tmp_path, right, left)
    assert (finding.kind, finding.ordinal, finding.left_pk, finding.right_pk) == ("UnorderedInput", 2, None, 1)
    assert kinds(tmp_path, [organization(1), organization(1)], right) == ["UnorderedInput"]


def test_other_counts_are_told_for_each_model_and_end_the_comparison(tmp_path: Path) -> None:
    left = [organization(1), option(1, "a"), option(2, "b")]
    found = compare(tmp_path, left, [organization(1, "unlike"), option(1, "a"), project(1, 1)])
    assert sorted((finding.kind, finding.model, finding.ordinal) for finding in found) == [
        ("UnequalCounts", "sentry.option", None),
        ("UnequalCounts", "sentry.project", None),
    ]


def test_models_with_an_order_of_their_own_are_matched_by_it(tmp_path: Path) -> None:
    left = [option(1, "a", 1), option(2, "b", 2), option(3, "c", 3)]
    assert compare(tmp_path, left, [option(1, "c", 3), option(2, "a", 1), option(9, "b", 2)]) == []
    (finding,) = compare(tmp_path, left, [option(1, "c", 3), option(2, "a", 9), option(9, "b", 2)])
    assert (finding.kind, finding.ordinal, finding.left_pk, finding.right_pk) == ("UnequalJSON", 1, 1, 2)


def test_rows_of_users_are_matched_by_the_users_name(tmp_path: Path) -> None:
    def emails(ada: int, bob: int) -> Rows:
        users = sorted([user(ada, "ada"), user(bob, "bob")], key=lambda each: int(each["pk"]))
        mine = row("sentry.useremail", 1 if ada < bob else 2, user=ada, email="z@x.com", date_hash_added=TIME)
        other = row("sentry.useremail", 2 if ada < bob else 1, user=bob, email="a@x.com", date_hash_added=TIME)
        return [*users, *sorted([mine, other], key=lambda each: int(each["pk"]))]

    assert compare(tmp_path, emails(1, 2), emails(9, 8)) == []


def test_a_shared_ordinal_is_told_but_for_user_options_where_the_last_one_wins(tmp_path: Path) -> None:
    (finding,) = compare(tmp_path, [option(1, "a"), option(2, "a")], [option(1, "a"), option(2, "b")])
    assert (finding.kind, finding.ordinal, finding.left_pk, finding.right_pk) == ("DuplicateCustomOrdinal", 2, 2, None)

    def settings_of(*values: int, **changes: Any) -> Rows:
        made = [
            row("sentry.useroption", pk, user=1, key="k", value=value, **changes) for pk, value in enumerate(values, 1)
        ]
        return [user(1, "ada"), *made]

    assert compare(tmp_path, settings_of(1, 2, 3), settings_of(3)) == []
    assert kinds(tmp_path, settings_of(1, 2, 3), settings_of(2)) == ["UnequalJSON"]
    org = [organization(1)]
    one, other = settings_of(1, 2, organization_id=1), settings_of(1, 2, organization_id=1)
    assert compare(tmp_path, org + one, org + other) == []
    assert kinds(tmp_path, org + one, org + settings_of(2, organization_id=1)) == ["UnequalCounts"]


def test_what_differs_is_told_as_a_diff_without_the_compared_fields(tmp_path: Path) -> None:
    left = organization(1)
    left["fields"] |= {f"field_{number:02}": number for number in range(40)}
    right = json.loads(json.dumps(left))
    right["fields"] |= {"field_20": 99, "slug": "acme-x2"}
    (finding,) = compare(tmp_path, [left], [right])
    assert finding.kind == "UnequalJSON"
    lines = finding.reason.split("\n")
    assert [line for line in lines if line[:1] in "+-"] == [
        "--- left",
        "+++ right",
        '-  "field_20": 20,',
        '+  "field_20": 99,',
    ]
    assert len([line for line in lines if line.startswith(" ")]) == 30
    assert "slug" not in finding.reason


@pytest.mark.parametrize(
    ("model", "field", "old", "new"),
    [
        ("sentry.projectoption", "value", '["*"]', ["*"]),
        ("sentry.projectoption", "value", '"23.6.1"', "23.6.1"),
        ("sentry.authenticator", "config", '""', ""),
        ("sentry.rule", "data", '{"match":"all","actions":[]}', {"actions": [], "match": "all"}),
        ("sentry.apikey", "scope_list", "['org:ci', 'a']", ["org:ci", "a"]),
        ("sentry.project", "flags", "10", 10),
        ("sentry.rule", "date_added", "2023-06-22T00:00:00Z", "2023-06-22T00:00:00.000Z"),
        ("sentry.alertruletrigger", "alert_threshold", 100, 100.0),
    ],
)
def test_old_and_new_encodings_are_equal(tmp_path: Path, model: str, field: str, old: Any, new: Any) -> None:
    assert compare(tmp_path, [row(model, 1, **{field: old})], [row(model, 2, **{field: new})]) == []


@pytest.mark.parametrize(("left", "right"), [(1, True), (0, False), (1, 1.5), ("1", 1), (None, 0), ([], {})])
def test_values_of_other_types_differ(tmp_path: Path, left: Any, right: Any) -> None:
    one, other = row("sentry.dashboard", 1, visits=left), row("sentry.dashboard", 1, visits=right)
    assert kinds(tmp_path, [one], [other]) == ["UnequalJSON"]


def test_fields_and_models_that_later_versions_dropped_do_not_count(tmp_path: Path) -> None:
    team = row("sentry.team", 1, slug="a", name="a", actor=7, org_role=None, date_added=TIME)
    later = row("sentry.team", 1, slug="a", name="a", date_added=TIME)
    assert compare(tmp_path, [row("sentry.actor", 1), team], [later]) == []


def test_organizations_are_told_apart_by_all_that_belongs_to_them(tmp_path: Path) -> None:
    def rows(*names: str, first: int, monitored: int = 0) -> Rows:
        pks = range(first, first + len(names))
        found = [*(organization(pk, f"org-{pk - first}") for pk in pks)]
        found += [project(pk + 100, pk, name) for pk, name in zip(pks, names, strict=True)]
        found += [row("sentry.projectoption", pk, project=pk + 100, key="k", value=1) for pk in pks]
        return found + [row("sentry.monitor", 1, organization_id=first + monitored, guid=str(uuid4()))] * (
            monitored > 0
        )

    def alike(left: Rows, right: Rows) -> list[bool]:
        paths = write(tmp_path / "a.json", left), write(tmp_path / "b.json", right)
        with Comparison(*paths) as comparison:
            assert list(comparison.organizations()) == []
            list(comparison.findings())
            return [each.alike for each in comparison.organizations()]

    one = rows("a", "b", "c", first=1)
    assert alike(one, rows("a", "b", "c", first=20)) == [True, True, True]
    assert alike(one, rows("a", "x", "c", first=20)) == [True, False, True]
    assert alike(rows("a", "b", first=1, monitored=1), rows("a", "b", first=1, monitored=1)) == [True, False]
    assert alike(one, rows("a", "b", first=1)) == []


def test_a_finding_has_the_form_of_the_findings_file(tmp_path: Path) -> None:
    (finding,) = compare(tmp_path, [option(1, "a", 1)], [option(7, "a", 2)])
    assert finding.as_json() == {
        "finding": "ComparatorFinding",
        "kind": "UnequalJSON",
        "left_pk": 1,
        "on": {"model": "sentry.option", "ordinal": 1},
        "reason": finding.reason,
        "right_pk": 7,
    }
    assert finding.pretty().startswith(
        "ComparatorFinding(\n    kind: UnequalJSON,\n    on: InstanceID(model: 'sentry.option', ordinal: 1),\n"
        "    left_pk: 1,\n    right_pk: 7,\n    reason: "
    )


def test_sorting_in_runs_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [option(pk, f"key {pk * 7919 % 101}", pk * 7919 % 101) for pk in range(1, 101)]
    right = [option(pk, f"key {pk}", pk) for pk in range(1, 101)]
    for size in (1, 7, 1000):
        monkeypatch.setattr(comparison_order, "_RUN_MAX", size)
        assert compare(tmp_path, left, right) == []


def test_an_unknown_model_and_broken_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"sentry\.diary"):
        compare(tmp_path, [row("sentry.diary", 1)], [])
    for broken in (
        {"model": "sentry.team"},
        {"model": "sentry.team", "pk": "1", "fields": {}},
        row("x", 1),
        row("sentry.team", 0),
    ):
        with pytest.raises(InvalidExport):
            compare(tmp_path, [], [broken])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_diff_of_very_long_rows_is_cut() -> None:
    left, right = (
        {"list": list(range(20_000)), "text": "x" * 50_000},
        {"list": list(range(1, 20_000)), "text": "y" * 50_000},
    )
    diff = unequal_json(left, right)
    assert diff.endswith("... and more")
    assert max(map(len, diff.split("\n"))) <= 2000
    assert len(unequal_json({"a": list(range(100_000))}, {"a": [*range(99_999), -1]}).split("\n")) < 40


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.text(max_size=8)
    | st.sampled_from([TIME, "[]", "a@b.c"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3),
    max_leaves=6,
)
MODELS = [
    "sentry.user",
    "sentry.useroption",
    "sentry.project",
    "sentry.projectkey",
    "sentry.apitoken",
    "sentry.incident",
]
NAMES = ["user", "username", "password", "is_unclaimed", "organization", "key", "value", "date_added", "public_key"]
NAMES += ["scope_list", "detection_uuid", "last_active", "organization_id", "email"]
ROWS = st.lists(
    st.builds(
        lambda model, pk, fields: {"model": model, "pk": pk, "fields": fields},
        st.sampled_from(MODELS),
        st.integers(1, 6),
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    ),
    max_size=5,
)


@pytest.mark.parametrize("value", ["[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 3000, '"' * 1000])
def test_text_that_is_nested_deeply_is_compared_as_text(tmp_path: Path, value: str) -> None:
    assert kinds(tmp_path, [option(1, "a", value)], [option(1, "a", value)]) == []
    assert kinds(tmp_path, [option(1, "a", value)], [option(1, "a", value + "x")]) == ["UnequalJSON"]


@given(ROWS, ROWS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_rows_crash_it(tmp_path: Path, left: Rows, right: Rows) -> None:
    for finding in compare(tmp_path, left, right):
        json.dumps(finding.as_json())
        assert finding.pretty()
    same = {finding.kind for finding in compare(tmp_path, left, left)}
    assert "UnequalJSON" not in same
    assert "UnequalCounts" not in same


@given(st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_broken_file_crashes_it(tmp_path: Path, data: st.DataObject) -> None:
    whole = write(tmp_path / "a.json", [organization(1), option(1, "a"), user(1, "ada"), project(1, 1)])
    broken = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
    (tmp_path / "b.json").write_bytes(broken)
    with contextlib.suppress(ExportFileError):
        list(compare_files(whole, tmp_path / "b.json"))


def test_memory_does_not_grow_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(count: int) -> Iterator[str]:
        yield "["
        for pk in range(1, count):
            yield json.dumps(user(pk, f"user {pk * 7919 % 100_003}", email=f"u{pk}@x.com", last_active=TIME)) + ","
        yield json.dumps(option(1, "a")) + "]"

    def peak(count: int) -> int:
        for name in ("a.json", "b.json"):
            with (tmp_path / name).open("w") as file:
                file.writelines(rows(count))
        tracemalloc.start()
        try:
            assert list(compare_files(tmp_path / "a.json", tmp_path / "b.json")) == []
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    monkeypatch.setattr(objects, "_PIECE_BYTES", 4096)
    monkeypatch.setattr(comparison_index, "_RUN_BYTES", 2000)
    monkeypatch.setattr(comparison_order, "_RUN_MAX", 100)
    peak(300)
    assert peak(900) < peak(300) + 100_000  # a file's buffer for each run of keys
