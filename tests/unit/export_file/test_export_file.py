"""The generator of export files: deterministic, of the asked size, whole in itself."""

import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest

from shared.importing.columns import columns_of
from shared.importing.registry import models
from siloway_client.export_file import OBJECTS_MIN, write_export

_LEFT_TO_REAL_EXPORTS = {"sentry.environment", "sentry.environmentproject", "sentry.repository", "sentry.counter"}


@pytest.mark.parametrize("objects", [OBJECTS_MIN, 21, 23, 24, 199, 1000, 2503])
def test_a_file_has_exactly_the_asked_rows_and_every_reference_leads_somewhere(objects: int) -> None:
    file = io.BytesIO()
    facts = write_export(file, objects=objects, seed=1, organization_slug="acme", first_pk=5)
    rows = json.loads(file.getvalue())
    assert len(rows) == objects == facts.objects
    assert Counter(row["model"] for row in rows) == facts.rows
    assert set(facts.rows) == {name for name, model in models().items() if model.table} - _LEFT_TO_REAL_EXPORTS
    assert facts.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    assert facts.size_bytes == len(file.getvalue())
    known = {(row["model"], row["pk"]) for row in rows}
    assert len(known) == objects
    for row in rows:
        for reference in models()[row["model"]].references:
            value = row["fields"][reference.field]
            assert value is None or (reference.model, value) in known
        assert set(row["fields"]) >= {column.name for column in columns_of(row["model"])} - {"is_suspended"}


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = write_export(tmp_path / "a", objects=100, seed=1, organization_slug="acme")
    again = write_export(tmp_path / "b", objects=100, seed=1, organization_slug="acme")
    other = write_export(tmp_path / "c", objects=100, seed=2, organization_slug="acme")
    assert first == again
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert other.sha256 != first.sha256


def test_unique_values_are_unique() -> None:
    file = io.BytesIO()
    write_export(file, objects=5000, seed=1, organization_slug="acme")
    rows = json.loads(file.getvalue())
    for model, names in {"sentry.user": ["username"], "sentry.projectkey": ["public_key", "secret_key"]}.items():
        for name in names:
            values = [row["fields"][name] for row in rows if row["model"] == model]
            assert len(set(values)) == len(values)
    for model in ("sentry.team", "sentry.project"):
        slugs = [row["fields"]["slug"] for row in rows if row["model"] == model]
        assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize(("objects", "slug"), [(OBJECTS_MIN - 1, "acme"), (100, ""), (100, "x" * 51)])
def test_what_cannot_be_made_is_refused(objects: int, slug: str) -> None:
    with pytest.raises(ValueError, match=r"an export file|an organization's slug"):
        write_export(io.BytesIO(), objects=objects, seed=1, organization_slug=slug)
