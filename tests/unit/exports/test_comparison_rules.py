"""The rules as data: what the table of comparators says, read in place where it is there."""

import csv
from pathlib import Path

import pytest

from shared.exports.comparators import ForeignKeyComparator
from shared.exports.comparing import compare_files
from shared.exports.comparison_rules import owners_of, rules_of
from shared.importing.columns import columns_of
from shared.importing.registry import models
from tests.unit.exports.files_of import REAL_FILES

TABLE = Path(__file__).parents[3] / ".." / "shared" / "spec" / "comparators.tsv"


def test_every_model_has_rules_about_fields_that_it_has() -> None:
    for name in models():
        rules = rules_of(name)
        known = {column.name for column in columns_of(name)}
        for comparator in rules.comparators:
            if comparator.kind != "IgnoredComparator":  # also fields of earlier versions
                assert set(comparator.fields) <= known | {"token"}, name  # the table has one that no version exports
        assert {*rules.ordinal, *rules.ordinal_unless} <= known


@pytest.mark.skipif(not TABLE.is_file(), reason="../shared/spec/comparators.tsv is absent")
def test_the_rules_are_those_of_the_table() -> None:
    with TABLE.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) > 100
    for each in rows:
        found = {comparator.kind: comparator.fields for comparator in rules_of(each["model"]).comparators}
        fields = set(each["fields"].split(","))
        assert fields <= set(found[each["comparator"]]), each
        if each["comparator"] not in {ForeignKeyComparator.__name__, "IgnoredComparator"}:
            assert fields == set(found[each["comparator"]])
    listed = {(each["model"], each["comparator"]) for each in rows}
    for name in models():
        kinds = {comparator.kind for comparator in rules_of(name).comparators} - {
            "ForeignKeyComparator",
            "IgnoredComparator",
        }
        assert kinds <= {comparator for model, comparator in listed if model == name}


def test_owners_lead_to_an_organization() -> None:
    assert owners_of("sentry.project") == ("organization", "template")
    assert owners_of("sentry.projectkey") == ("project",)
    assert owners_of("sentry.organizationmemberteam") == ("organizationmember", "team")
    assert owners_of("sentry.user") == ()
    assert owners_of("sentry.snubaquery") == ("environment",)


@pytest.mark.skipif(not REAL_FILES, reason="../shared/data/exports is absent")
@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.stem)
def test_a_real_export_differs_from_itself_only_where_it_must(path: Path) -> None:
    assert {finding.kind for finding in compare_files(path, path)} <= {"UUID4Comparator", "SubscriptionIDComparator"}
