"""What is done with many objects at once comes out as what is done with one after the other, whatever stands there."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import InvalidUpload, LimitExceeded
from shared.importing.index import IndexBuilder, IndexRecord, ModelRows, ObjectIndex
from shared.importing.scanner import CutObject, CutRun, ScanLimits, Scanner

_GAPS = [b",", b", ", b",\n", b" ,\n  ", b"\t,"]
# Not all of them are JSON, but most of them have brackets that match.
_VALUES = [
    b"1", b"-", b"null", b'"x"', b'"}"', b'"},{"', b'"\\\\"', b'"\\"}, {\\""', b'"\\q"', b'"\xff"', b'"{[{[{["',
    b'"' + b"y" * 30 + b'"', b"[]", b"[[[]]]", b"[{},{}]", b'[{"a":1}, {"b":2}]', b"[[[[]]]]", b'{"c":{"d":[]}}',
    b"[{},\n{}]", b'"\x01"', b'"' + b"z" * 41 + b'"', b"[1", b"]", b'"', b"{", b"},{", b"5 5",
]  # fmt: skip
_WELL = [b"1", *_VALUES[2:8], *_VALUES[10:16]]
_OBJECTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(_WELL)), max_size=50)
_ODD = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(_VALUES)), max_size=2)
_LIMITS = st.builds(
    ScanLimits,
    depth_max=st.integers(3, 8),
    string_bytes_max=st.sampled_from([40, 200, 9999]),
    object_bytes_max=st.sampled_from([45, 60, 999]),
)

_MODELS = [b'"a.b"', b'"a.b"', b'"A.b"', b'"a.c"', b'"a"', b'""', b'"\\u0061.d"', b'"\xff.b"', b"5", b"null"]
_PKS = [
    b"1", b"7", b"9223372036854775807", b"9223372036854775808", b"0", b"-1", b"-0", b"1.0", b"1e3", b"01", b'"5"',
    b"null", b"true", b"123456789012345678901234567890", b"[1]", b'1,"pk":2', b'0,"pk":2', b'2,"pk":0',
    b'1,"model":"a.e"', b'1,"x":nul',
]  # fmt: skip
_GOOD_HEADS = st.tuples(st.sampled_from(_MODELS[:4]), st.sampled_from(_PKS[:3]))
_HEADS = st.lists(_GOOD_HEADS, max_size=30) | st.lists(
    _GOOD_HEADS | st.tuples(st.sampled_from(_MODELS), st.sampled_from(_PKS)), max_size=6
)


class _Exact(Scanner):
    """Scans every object bracket by bracket."""

    def _parse_objects(self, piece: bytes, position: int, gap: bytes, found: list[CutRun]) -> int:
        return position


def _outcome(scanner: Scanner, data: bytes, size: int) -> tuple[list[CutObject], Any]:
    """What is cut, and how it ends."""
    found: list[CutObject] = []
    try:
        for start in range(0, len(data), size):
            found += scanner.feed(data[start : start + size])
        scanner.finish()
    except (InvalidUpload, LimitExceeded) as error:
        return found, (type(error), error.message, error.metadata)
    return found, None


@settings(max_examples=400)
@given(objects=_OBJECTS, odd=_ODD, gap=st.sampled_from(_GAPS), limits=_LIMITS, size=st.sampled_from([7, 150, 9999]))
def test_what_is_cut_and_what_is_refused_is_the_same_as_by_the_scan_alone(
    objects: list[tuple[int, bytes]], odd: list[tuple[int, bytes]], gap: bytes, limits: ScanLimits, size: int
) -> None:
    texts = [b'{"m": %b, "f": {"k": %b}}' % (b"1" * repeat, value) if repeat else b"{}" for repeat, value in objects]
    for place, value in odd:
        element = (b'{"f": %b}', b' {"f": %b}', b"%b")[place % 3] % value
        texts.insert(place % (len(texts) + 1), element)
    data = b"[ " + gap.join(texts) + b"\n]"
    assert _outcome(Scanner(limits), data, size) == _outcome(_Exact(limits), data, size)


@given(count=st.integers(1, 40), deep=st.integers(0, 39), depth=st.integers(1, 9))
def test_one_object_that_is_too_deep_is_found_among_many(count: int, deep: int, depth: int) -> None:
    texts = [b'{"a":{}}'] * count
    texts.insert(min(deep, count), b'{"a":' + b"[" * depth + b"]" * depth + b"}")
    limits = ScanLimits(depth_max=7)
    found, error = _outcome(Scanner(limits), b"[" + b",".join(texts) + b"]", 9999)
    assert (error is None) == (depth <= 5)
    assert (found, error) == _outcome(_Exact(limits), b"[" + b",".join(texts) + b"]", 9999)


@pytest.mark.parametrize("other", [b"1", b"[]", b'"{"', b"null", b"[{}]"])
def test_what_is_no_object_is_refused_at_its_place_among_objects(other: bytes) -> None:
    data = b'[{},{"a":1},%b,{"a":2},{}]' % other
    assert _outcome(Scanner(), data, 9999)[1][2] == {"offset": "12"}


def test_a_gap_of_another_length_is_seen_where_an_object_stands_at_either_place() -> None:
    data = b'[{"z":1},     {"y":2},{"a":{}},     {"c":4}]'
    assert _outcome(Scanner(), data, 9999) == _outcome(_Exact(), data, 9999)


def test_objects_that_stand_evenly_are_cut_together() -> None:
    data = b'[\n{"a": 1},\n{"b": {"c": "}, {"}},\n{"d": [{}, {}]},\n{"e'
    runs = Scanner().feed_runs(data)
    assert [len(run.lengths) for run in runs] == [1, 2]
    assert [cut.data for cut in runs[1].objects()] == [b'{"b": {"c": "}, {"}}', b'{"d": [{}, {}]}']
    assert all(data[cut.offset :].startswith(cut.data) for run in runs for cut in run.objects())


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heads=_HEADS, cuts=st.lists(st.integers(1, 9), max_size=4))
def test_objects_are_entered_together_as_one_by_one(
    tmp_path: Path, heads: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    texts = [b'{"model": %b, "pk": %b}' % head for head in heads]
    singles = [CutRun.of(CutObject(place * 1000, text)) for place, text in enumerate(texts)]
    together, position = list[CutRun](), 0
    for size in [*cuts, len(texts)]:
        some = texts[position : position + size]
        if some:
            start = 100 + sum(map(len, texts[:position])) + 2 * position
            together.append(CutRun(start, list(map(len, some)), 2, b"[%b]" % b", ".join(some)))
        position += size
    offsets = {one.start: cut.offset for one, cut in zip(singles, _objects(together), strict=True)}
    expected = {
        model: [record._replace(offset=offsets[record.offset]) for record in records]
        for model, records in _entered(tmp_path, singles).items()
    }
    assert _entered(tmp_path, together) == expected


def _objects(runs: list[CutRun]) -> list[CutObject]:
    return [cut for run in runs for cut in run.objects()]


def _entered(folder: Path, runs: list[CutRun]) -> dict[ModelRows, list[IndexRecord]]:
    builder = IndexBuilder(folder / "index")
    for run in runs:
        builder.add(run)
    models = builder.finish()
    index = ObjectIndex(folder / "index")
    try:
        return {each: index.records(each.model, 1, 1000) for each in models}
    finally:
        index.close()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_object_with_a_model_too_many_is_named(tmp_path: Path, place: int) -> None:
    texts = [b'{"model": "a.a", "pk": 1}'] * 3
    texts[place] = b'{"model": "a.z", "pk": 1}'
    builder = IndexBuilder(tmp_path / "index", models_max=1)
    builder.add(CutRun.of(CutObject(1, b'{"model": "a.a", "pk": 1}')))
    with pytest.raises(LimitExceeded) as caught:
        builder.add(CutRun(50, [25] * 3, 1, b"[%b]" % b",".join(texts)))
    assert caught.value.metadata["offset"] == str(50 + 26 * place)
    builder.abort()
