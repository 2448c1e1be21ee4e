"""The rules as data: which comparators take which fields of a model."""

from shared.exports.comparison_rules import owners_of, rules_of
from shared.importing.columns import columns_of
from shared.importing.registry import models


def test_every_model_has_rules_about_fields_that_it_has() -> None:
    for name in models():
        rules = rules_of(name)
        known = {column.name for column in columns_of(name)}
        for comparator in rules.comparators:
            if comparator.kind != "IgnoredComparator":  # also fields of earlier versions
                assert set(comparator.fields) <= known | {"token"}, name  # the table has one that no version exports
        assert {*rules.ordinal, *rules.ordinal_unless} <= known


def test_owners_lead_to_an_organization() -> None:
    assert owners_of("sentry.project") == ("organization", "template")
    assert owners_of("sentry.projectkey") == ("project",)
    assert owners_of("sentry.organizationmemberteam") == ("organizationmember", "team")
    assert owners_of("sentry.user") == ()
    assert owners_of("sentry.snubaquery") == ("environment",)
