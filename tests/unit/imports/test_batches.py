"""What a batch is made of: counts, minted secrets, targets that fit their models, statements with bound values."""

import hashlib
import re

import pytest

from control_silo.model_imports.targets import target_of as control_target_of
from region_silo.imports.targets import target_of as region_target_of
from shared.importing.batch import batch_of
from shared.importing.columns import columns_of
from shared.importing.decisions import BatchFinding, Counts, Decision, LedgerRow, WriteKind, count_decisions
from shared.importing.findings import Finding, FindingKind
from shared.importing.handover import HandedAnswer
from shared.importing.minting import alphanumerics, password_hashes
from shared.importing.registry import ImportScope, Silo, models
from shared.importing.rows import DecodedRows
from shared.importing.shapes import DecodedRow
from shared.importing.statements import statements_of
from shared.importing.targets import Target
from shared.importing.terms import Terms

_ORGANIZATION, _GLOBAL = Terms(ImportScope.ORGANIZATION), Terms(ImportScope.GLOBAL)


def _target(model: str, terms: Terms) -> Target:
    return (control_target_of if models()[model].silo is Silo.CONTROL else region_target_of)(model, terms)


_TARGETS = pytest.mark.parametrize("target", [_target(model, _ORGANIZATION) for model in models()], ids=list(models()))


@pytest.mark.parametrize(
    "terms",
    [*map(Terms, ImportScope), Terms(ImportScope.GLOBAL, merge_users=True, overwrite_configs=True)],
    ids=lambda terms: f"{terms.scope.name} {terms.merge_users}",
)
def test_every_model_has_one_target_on_any_terms(terms: Terms) -> None:
    for model in models():
        target = _target(model, terms)
        assert target.model == model
        assert _target(model, terms) is target
        assert target.table == (models()[model].table or "kept_row")
        assert len(target.unique) >= len(models()[model].unique) or target.packed is None


@_TARGETS
def test_every_column_of_the_file_is_kept_or_replaced_on_purpose(target: Target) -> None:
    replaced = {
        "sentry.user": {"password", "is_staff", "is_superuser", "is_managed", "is_unclaimed", "is_password_expired"}
        | {"last_password_change"},
        "sentry.useremail": {"validation_hash", "date_hash_added", "is_verified"},
    }.get(target.model, set())
    text = " ".join(target.values.values())
    references = {reference.field for reference in target.references}
    for column in columns_of(target.model):
        if column.name in replaced:
            assert f"s.{column.name}" not in text
        elif column.name in references:
            assert f"r_{column.name}.new_pk" in text
        elif target.packed is None:
            assert re.search(rf"\bs\.{column.name}\b", text), column.name


@_TARGETS
def test_statements_are_made_once_and_bind_their_values(target: Target) -> None:
    statements = statements_of(target)
    assert statements_of(target) is statements
    assert "%(import_id)s" in statements.resolve
    assert set(re.findall(r"%\((\w+)\)s", statements.resolve)) <= {"import_id", "now"}
    assert len({warned.bit for warned in statements.warned}) == len(statements.warned)


def test_a_pk_that_stands_twice_costs_the_later_row() -> None:
    taken: list[int] = []

    def take(count: int) -> list[int]:
        taken.append(count)
        return list(range(100, 100 + count))

    row = DecodedRow(1, 7, ())
    decoded = DecodedRows([row, DecodedRow(2, 7, ()), DecodedRow(3, 8, ())], [])
    batch = batch_of(1, region_target_of("sentry.team", _ORGANIZATION), 3, decoded, take)
    assert [each.ordinal for each in batch.rows] == [1, 3]
    assert [(each.kind, each.ordinal) for each in batch.findings] == [(FindingKind.REPEATED_PK, 2)]
    assert (taken, batch.new_pks) == ([2], [100, 101])


def test_ids_are_taken_only_for_models_that_have_snowflakes() -> None:
    decoded = DecodedRows([DecodedRow(1, 7, ())], [])

    def take(count: int) -> list[int]:
        raise AssertionError(count)

    assert batch_of(1, region_target_of("sentry.projectteam", _ORGANIZATION), 1, decoded, take).new_pks == []
    assert batch_of(1, region_target_of("sentry.team", _ORGANIZATION), 0, DecodedRows([], []), take).new_pks == []


def test_counts_sum_up_to_the_rows() -> None:
    rows = [LedgerRow(1, 1, 1, Decision.INSERT, None), LedgerRow(2, 2, 2, Decision.SUFFIX, "a-b")]
    counts = HandedAnswer(rows, ()).counts(5)
    assert counts == Counts(inserted=1, suffixed=1, skipped=3)
    assert counts.total == 5
    assert count_decisions([]) == {}


def test_findings_of_reading_tell_whether_they_cost_the_row() -> None:
    costly = Finding.of(FindingKind.INVALID_PK, "sentry.user", 3, reason="no")
    harmless = Finding.of(FindingKind.UNKNOWN_FIELD, "sentry.user", 3, pk=5, field="x", reason="no")
    assert BatchFinding.of_row(costly) == BatchFinding("INVALID_PK", "sentry.user", 3, "", "", "no", True)
    assert BatchFinding.of_row(harmless).skipped is False
    assert {kind.value for kind in WriteKind} == {kind.name for kind in WriteKind}
    assert not {kind.value for kind in WriteKind} & {kind.name for kind in FindingKind}


def test_minted_texts_are_new_each_time_and_use_every_character() -> None:
    texts = alphanumerics(2000)
    assert len(set(texts)) == 2000
    assert all(re.fullmatch("[A-Za-z0-9]{32}", text) for text in texts)
    assert len(set("".join(texts))) == 62
    assert alphanumerics(0) == []


def test_password_hashes_are_marked_and_salted() -> None:
    hashes = password_hashes(50)
    assert len(set(hashes)) == 50
    for each in hashes:
        name, salt, digest = each.split("$")
        assert (name, len(salt), len(digest)) == ("sha256", 12, 64)
        assert digest != hashlib.sha256(salt.encode()).hexdigest()
