import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidUpload, LimitExceeded, SpoolMissing
from shared.importing.index import IndexBuilder, ModelRows, ObjectIndex
from shared.importing.scanner import CutObject, CutRun
from shared.importing.spool import Spool
from shared.importing.upload import Upload, UploadedFile

_NAMES = ["sentry.a", "sentry.b", "other.c"]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, 100_000_000)


def receive(spool: Spool, import_id: str, data: bytes, chunk: int = 65_536) -> int:
    with Upload(spool, import_id) as upload:
        for start in range(0, len(data), chunk):
            upload.write(data[start : start + chunk])
        return upload.finish().length


def test_a_received_upload_has_its_hash_and_its_models_in_file_order(spool: Spool) -> None:
    objects: list[Any] = [{"model": name, "pk": 1, "fields": {}} for name in ("Sentry.B", "sentry.a", "sentry.b")]
    data = json.dumps(objects).encode()
    with Upload(spool, "5") as upload:
        upload.write(data)
        assert (upload.length, upload.objects) == (len(data), 3)
        received = upload.finish()
    assert received.sha256 == hashlib.sha256(data).digest()
    assert received.objects == 3
    assert received.models == (ModelRows("sentry.b", 2), ModelRows("sentry.a", 1))
    with UploadedFile(spool, "5", len(data)) as file:
        assert (file.objects, file.models) == (3, received.models)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.sampled_from(_NAMES), st.integers(1, 9), st.integers(0, 3000)), max_size=60),
    chunk=st.integers(1, 5000),
    asked=st.tuples(st.integers(1, 30), st.integers(0, 40), st.integers(1, 9000)),
)
def test_rows_come_by_model_in_file_order_whatever_their_order_in_the_file(
    spool: Spool, rows: list[tuple[str, int, int]], chunk: int, asked: tuple[int, int, int]
) -> None:
    first, count, bytes_max = asked
    objects: list[dict[str, Any]] = [
        {"model": name, "pk": pk, "fields": {"text": "x" * length}} for name, pk, length in rows
    ]
    length = receive(spool, "1", json.dumps(objects).encode(), chunk)
    with UploadedFile(spool, "1", length) as file:
        for name in _NAMES:
            expected = [
                (ordinal, position, value)
                for ordinal, (position, value) in enumerate(
                    ((place, value) for place, value in enumerate(objects, 1) if value["model"] == name), 1
                )
            ][first - 1 : first - 1 + count]
            runs = list(file.rows(name, first, count, bytes_max))
            assert [(row.ordinal, row.position, json.loads(row.data)) for run in runs for row in run] == expected
            assert all(len(run) == 1 or sum(len(row.data) for row in run) <= bytes_max for run in runs)
            records = file.records(name, first, count)
            assert [record.pk for record in records] == [value["pk"] for _, _, value in expected]
            within = file.count_within(name, first, count, bytes_max)
            size = sum(record.length for record in records[:within])
            assert size <= bytes_max or within == 1
            assert within == len(records) or size + records[within].length > bytes_max


def test_many_rows_of_alternating_models_keep_their_places(tmp_path: Path) -> None:
    path = tmp_path / "index"
    builder = IndexBuilder(path)
    for place in range(1, 2001):
        model = _NAMES[place % 3 % 2]
        builder.add(CutRun.of(CutObject(place * 10, b'{"model": "%s", "pk": %d}' % (model.encode(), place))))
    counts = {entry.model: entry.rows for entry in builder.finish()}
    index = ObjectIndex(path)
    places: dict[str, list[int]] = {name: [p for p in range(1, 2001) if _NAMES[p % 3 % 2] == name] for name in counts}
    for name, expected in places.items():
        assert counts[name] == len(expected)
        assert [record.position for record in index.records(name, 1, 5000)] == expected
        assert [record.pk for record in index.records(name, 400, 200)] == expected[399:599]
    index.close()


def test_objects_without_a_readable_model_are_kept_apart(spool: Spool) -> None:
    bad = [
        '{"pk": 1}',
        '{"model": 5}',
        '{"model": "nodot"}',
        '{"model": "a.b\\u0000"}',
        "{nonsense}",
        '{"model": "a.b" "pk"}',
    ]
    data = ("[" + ",".join([*bad, '{"model": "A.B", "pk": 0}']) + "]").encode()
    length = receive(spool, "1", data)
    with UploadedFile(spool, "1", length) as file:
        assert file.models == (ModelRows("", len(bad)), ModelRows("a.b", 1))
        assert file.records("a.b", 1, 9)[0].pk is None


@pytest.mark.parametrize("data", [b"[{}", b"{}", b""])
def test_a_refused_upload_leaves_nothing(spool: Spool, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InvalidUpload):
        receive(spool, "1", data)
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_upload_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    with Upload(spool, "1") as upload:
        upload.write(b"[{}]")
    assert list(tmp_path.iterdir()) == []


def test_too_many_model_names_are_refused(tmp_path: Path) -> None:
    builder = IndexBuilder(tmp_path / "index", models_max=3)
    for name in (b"a.a", b"a.b", b"a.c", b"a.a"):
        builder.add(CutRun.of(CutObject(1, b'{"model": "%s", "pk": 1}' % name)))
    with pytest.raises(LimitExceeded) as caught:
        builder.add(CutRun.of(CutObject(9, b'{"model": "a.d", "pk": 1}')))
    assert caught.value.metadata == {"offset": "9", "limit": "models", "maximum": "3"}
    builder.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_an_index_that_is_not_whole_is_a_missing_file(spool: Spool, tmp_path: Path, keep: int) -> None:
    length = receive(spool, "1", b'[{"model": "a.b", "pk": 1, "fields": {}}]')
    path = tmp_path / "1.index"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SpoolMissing):
        UploadedFile(spool, "1", length)
    path.unlink()
    with pytest.raises(SpoolMissing):
        UploadedFile(spool, "1", length)


def test_an_upload_that_was_kept_goes_on_to_the_same_file_and_index_wherever_it_broke(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbf[{"model": "a.b", "pk": 1, "s": "\\"]"}, {"model": "a.c", "pk": 2}, {"model": "a.b", "pk": 3}]'
    whole = Upload(Spool(tmp_path / "whole", 1 << 20), "1")
    whole.write(data)
    wanted = whole.finish()
    for cut in range(len(data) + 1):
        spool = Spool(tmp_path / str(cut), 1 << 20)
        with Upload(spool, "1") as first:
            first.write(data[:cut])
            first.keep()
        assert spool.part_length("1") == cut
        with Upload(spool, "1", goes_on=True) as second:
            assert second.length == cut
            second.write_at(cut, data[cut:])
            assert second.finish() == wanted
        with UploadedFile(spool, "1", len(data)) as file:
            assert [row.pk for run in file.rows("a.b", 1, 9) for row in run] == [1, 3]


def test_bytes_that_came_before_are_compared_and_those_behind_them_taken(tmp_path: Path) -> None:
    data = b'[{"model": "a.b", "pk": 1}]'
    spool = Spool(tmp_path, 1 << 20)
    with Upload(spool, "1") as upload:
        upload.write(data[:10])
        upload.write_at(4, data[4:8])
        upload.write_at(4, data[4:20])
        with pytest.raises(InvalidUpload):
            upload.write_at(4, b"#" + data[5:])
        upload.write_at(20, data[20:])
        assert upload.finish().length == len(data)
