"""Every real export file, read in place: indexed whole, and each row of a supported model decoded unchanged."""

import ast
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared.importing.columns import Column, Kind
from shared.importing.findings import FindingKind
from shared.importing.registry import REMOVED_FIELDS, ImportScope, models, why_skipped
from shared.importing.rows import RowDecoder
from shared.importing.spool import Spool
from shared.importing.upload import Upload, UploadedFile
from tests.genuine_exports import genuine_exports
from tests.unit.importing.rows_of import NOW

_FILES = genuine_exports()


@pytest.fixture(params=_FILES, ids=lambda path: path.stem)
def export(request: pytest.FixtureRequest) -> bytes:
    path: Path = request.param
    return path.read_bytes()


@pytest.fixture
def file(export: bytes, tmp_path: Path) -> UploadedFile:
    spool = Spool(tmp_path, 100_000_000)
    with Upload(spool, "1") as upload:
        for start in range(0, len(export), 1000):
            upload.write(export[start : start + 1000])
        upload.finish()
    return UploadedFile(spool, "1", len(export))


def test_the_index_has_every_object_under_its_model(file: UploadedFile, export: bytes) -> None:
    objects = json.loads(export)
    assert dict(file.models) == Counter(value["model"] for value in objects)
    for name, rows in file.models:
        pks = [record.pk for record in file.records(name, 1, rows)]
        assert pks == [value["pk"] for value in objects if value["model"] == name]
    file.close()


def test_no_model_is_unknown(file: UploadedFile) -> None:
    for name, _ in file.models:
        why = why_skipped(name, ImportScope.GLOBAL)
        assert why in {None, FindingKind.MODEL_REMOVED}, name
        assert name in models() or why is FindingKind.MODEL_REMOVED
    file.close()


def test_each_row_of_a_known_model_is_decoded_as_it_stands(file: UploadedFile, export: bytes) -> None:
    objects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for value in json.loads(export):
        objects[value["model"]].append(value)
    for name, count in file.models:
        if name not in models():
            continue
        decoder = RowDecoder(name, NOW)
        rows = []
        for run in file.rows(name, 1, count):
            decoded = decoder.decode(run)
            assert decoded.findings == []
            rows += decoded.rows
        ignored = {finding.field for finding in decoder.take_ignored_fields()}
        assert ignored <= REMOVED_FIELDS.get(name, frozenset())
        assert [row.pk for row in rows] == [value["pk"] for value in objects[name]]
        for row, value in zip(rows, objects[name], strict=True):
            fields = value["fields"]
            got = dict(zip((column.name for column in decoder.columns), row.values, strict=True))
            assert fields.keys() - got.keys() == ignored
            for column in decoder.columns:
                assert got[column.name] == _expected(column, fields), (name, column.name)
    file.close()


def _expected(column: Column, fields: dict[str, Any]) -> Any:
    if column.name not in fields:
        return column.default
    value = fields[column.name]
    if value is None:
        return None
    if column.kind is Kind.DATETIME:
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if column.kind is Kind.BIT_FIELD:
        return int(value)
    if column.kind is Kind.UUID:
        return UUID(value)
    if column.kind is Kind.TEXT_ARRAY:
        return ast.literal_eval(value) if isinstance(value, str) else value
    if column.kind is Kind.JSON:
        wrapped = column.json_in_text and isinstance(value, str) and value.startswith(("[", "{", '"'))
        return json.dumps(json.loads(value) if wrapped else value, separators=(",", ":"))
    return value
