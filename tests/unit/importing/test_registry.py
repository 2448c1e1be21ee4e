from shared.importing.columns import COLUMNS, Kind
from shared.importing.findings import FindingKind
from shared.importing.registry import (
    REMOVED_MODELS,
    ImportScope,
    RelocationScope,
    Silo,
    in_write_order,
    models,
    referred_models,
    why_skipped,
)


def test_every_model_stands_after_those_it_refers_to() -> None:
    known = models()
    assert len(known) == 99
    assert [model.order for model in known.values()] == list(range(len(known)))
    for model in known.values():
        for target in {*(reference.model for reference in model.references), *model.after} & known.keys() - {
            model.name
        }:
            assert known[target].order < model.order, (model.name, target)


def test_what_is_referred_to_is_known_and_what_is_not_too() -> None:
    known = referred_models()
    assert {"sentry.user", "sentry.organization", "sentry.userrole", "sentry.authprovider"} <= known
    assert not known & {"sentry.email", "sentry.useremail", "sentry.useroption", "sentry.counter"}
    assert known <= models().keys()


def test_what_references_point_outside_is_known() -> None:
    known = models()
    outside = {reference.model for model in known.values() for reference in model.references} - known.keys()
    assert outside == {"sentry.group", "sentry.alertruleactivations"}


def test_useremail_waits_for_email_and_email_for_user() -> None:
    wanted = ["sentry.useremail", "sentry.projectkey", "sentry.email", "sentry.user", "unknown.model"]
    assert in_write_order(wanted) == ["sentry.projectkey", "sentry.user", "sentry.email", "sentry.useremail"]


def test_columns_agree_with_the_registry() -> None:
    assert COLUMNS.keys() == models().keys()
    for name, columns in COLUMNS.items():
        of_columns = {(c.name, c.references, c.nullable) for c in columns if c.kind is Kind.REFERENCE}
        assert of_columns == {(r.field, r.model, r.nullable) for r in models()[name].references}
        names = {column.name for column in columns}
        assert len(names) == len(columns)
        assert names.issuperset(field for unique in models()[name].unique for field in unique)


def test_scopes_take_the_models_of_the_specification() -> None:
    assert why_skipped("sentry.user", ImportScope.USER) is None
    assert why_skipped("sentry.organization", ImportScope.USER) is FindingKind.OUT_OF_SCOPE
    assert why_skipped("sentry.organization", ImportScope.ORGANIZATION) is None
    assert why_skipped("sentry.useroption", ImportScope.ORGANIZATION) is None
    assert why_skipped("sentry.option", ImportScope.ORGANIZATION) is FindingKind.OUT_OF_SCOPE
    assert why_skipped("sentry.actor", ImportScope.GLOBAL) is FindingKind.MODEL_REMOVED
    assert why_skipped("sentry.nothing", ImportScope.GLOBAL) is FindingKind.UNKNOWN_MODEL
    assert not REMOVED_MODELS & models().keys()


def test_users_and_emails_belong_to_control_and_the_other_models_with_tables_to_regions() -> None:
    control = {name for name, model in models().items() if model.table and model.silo is Silo.CONTROL}
    assert control == {"sentry.user", "sentry.email", "sentry.useremail"}
    assert models()["sentry.apitoken"].scopes == {RelocationScope.CONFIG, RelocationScope.GLOBAL}
