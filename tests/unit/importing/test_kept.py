"""Rows that are kept whole: whatever a file holds becomes a staged row or a finding, never an error."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.importing.columns import columns_of
from shared.importing.kept import kept_target
from shared.importing.registry import ImportScope, models
from shared.importing.rows import RowDecoder
from shared.importing.terms import Terms
from shared.importing.upload import RawRow
from tests.unit.importing.rows_of import NOW

_KEPT = [name for name, model in models().items() if model.table is None]
_TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", "0", "[]", '"a"', "['x']", "2024-01-01T00:00:00.000Z", "7fc72b8e-3f87-43c9-9e6d-85d7f61d4a37", "127.0.0.1"]
)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)
@given(model=st.sampled_from(_KEPT), data=st.data())
def test_any_values_become_a_staged_row_or_findings(model: str, data: st.DataObject) -> None:
    names = [column.name for column in columns_of(model)]
    fields = data.draw(st.dictionaries(st.sampled_from([*names, "unknown"]), _VALUES, max_size=len(names) + 1))
    raw = json.dumps({"model": model, "pk": 3, "fields": fields}).encode()
    decoded = RowDecoder(model, NOW).decode([RawRow(1, 3, 1, raw)])
    assert len(decoded.rows) + bool(decoded.findings) == 1
    target = kept_target(model, Terms(ImportScope.GLOBAL))
    assert target.packed is not None
    for row in decoded.rows:
        if target.check is not None:
            target.check(row.values)
        staged = dict(zip((name for name, _ in target.packed.columns), target.packed.pack(row.values), strict=True))
        kept: dict[str, Any] = msgspec.json.decode(staged["fields"])
        references = {reference.field for reference in models()[model].references}
        assert set(kept) == set(fields) - references


def test_a_kept_row_has_every_field_in_the_modern_encoding() -> None:
    fields = {
        "user": 7,
        "application": None,
        "token": "t",
        "scopes": "3",
        "scope_list": "['org:ci', \"a'b\"]",
        "expires_at": "2024-01-01T00:00:00Z",
        "date_added": "2024-01-01T02:00:00.123456+02:00",
        "brand_new": {"id": 1},
    }
    raw = json.dumps({"model": "sentry.apitoken", "pk": 3, "fields": fields}).encode()
    decoder = RowDecoder("sentry.apitoken", NOW)
    (row,) = decoder.decode([RawRow(1, 3, 1, raw)]).rows
    (told,) = decoder.take_ignored_fields()
    assert (told.field, told.reason) == ("brand_new", "no such field is known; kept as it is in 1 row")
    target = kept_target("sentry.apitoken", Terms(ImportScope.GLOBAL))
    assert target.packed is not None
    staged = dict(zip((name for name, _ in target.packed.columns), target.packed.pack(row.values), strict=True))
    assert (staged["user"], staged["application"]) == (7, None)
    assert msgspec.json.decode(staged["fields"]) == {
        "token": "t",
        "scopes": "3",
        "scope_list": ["org:ci", "a'b"],
        "expires_at": "2024-01-01T00:00:00.000Z",
        "date_added": "2024-01-01T00:00:00.123456Z",
        "brand_new": {"id": 1},
    }
