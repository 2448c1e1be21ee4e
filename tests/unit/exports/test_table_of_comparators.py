"""The rules are those of the specification's table."""

import csv

from shared.exports.comparators import ForeignKeyComparator
from shared.exports.comparison_rules import rules_of
from shared.importing.registry import models
from tests.genuine_exports import specification

TABLE = specification("comparators.tsv")


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
