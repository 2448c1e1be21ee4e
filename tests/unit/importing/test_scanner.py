import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidUpload, LimitExceeded
from shared.importing.scanner import CutObject, ScanLimits, Scanner

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=6), _VALUES, max_size=5), max_size=6)


def scan(data: bytes, sizes: list[int] | None = None, limits: ScanLimits | None = None) -> list[CutObject]:
    scanner = Scanner(limits)
    found: list[CutObject] = []
    position = 0
    for size in sizes or []:
        found += scanner.feed(data[position : position + size])
        position += size
    found += scanner.feed(data[position:])
    scanner.finish()
    return found


@given(
    objects=_OBJECTS,
    sizes=st.lists(st.integers(0, 9), max_size=60),
    bom=st.booleans(),
    indent=st.sampled_from([None, 2]),
)
def test_any_chunking_gives_the_objects_that_json_gives(
    objects: list[dict[str, Any]], sizes: list[int], bom: bool, indent: int | None
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + json.dumps(objects, indent=indent, ensure_ascii=bom).encode()
    found = scan(data, sizes, ScanLimits(string_bytes_max=400))
    assert [json.loads(cut.data) for cut in found] == objects
    assert all(data[cut.offset : cut.offset + len(cut.data)] == cut.data for cut in found)


@given(objects=_OBJECTS, size=st.integers(1, 40))
def test_pieces_no_longer_than_the_string_limit_change_nothing(objects: list[dict[str, Any]], size: int) -> None:
    data = json.dumps(objects).encode()
    small = ScanLimits(string_bytes_max=200)
    assert scan(data, [size] * (len(data) // size), small) == scan(data)


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), objects=_OBJECTS, chunk=st.integers(1, 30))
def test_damaged_bytes_raise_nothing_but_refusals(seed: int, objects: list[dict[str, Any]], chunk: int) -> None:
    damage = random.Random(seed)
    data = bytearray(json.dumps(objects).encode())
    for _ in range(damage.randint(1, 6)):
        at = damage.randrange(len(data) + 1)
        kind = damage.randrange(3)
        if kind == 0:
            data[at:at] = damage.choice([b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\xff", b"\x00"])
        elif kind == 1:
            del data[at : at + damage.randint(1, 4)]
        else:
            data[at : at + 1] = bytes([damage.randrange(256)])
    limits = ScanLimits(depth_max=5, string_bytes_max=30, object_bytes_max=120)
    with suppress(InvalidUpload, LimitExceeded):
        scan(bytes(data), [chunk] * (len(data) // chunk), limits)


def cut_or_refused(data: bytes, size: int, limits: ScanLimits) -> list[CutObject] | None:
    """None for a refusal: which of two reasons is met first depends on the pieces."""
    try:
        return scan(data, [size] * (len(data) // size), limits)
    except (InvalidUpload, LimitExceeded):
        return None


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32), objects=st.lists(_OBJECTS, max_size=4), limit=st.sampled_from([12, 60, 1000]))
def test_objects_that_arrive_together_are_cut_and_refused_as_those_that_arrive_byte_by_byte(
    seed: int, objects: list[list[dict[str, Any]]], limit: int
) -> None:
    damage = random.Random(seed)
    data = bytearray(json.dumps([each for some in objects for each in some], indent=damage.choice([None, 1])).encode())
    for _ in range(damage.randint(0, 2)):
        at = damage.randrange(len(data))
        data[at : at + damage.randint(0, 1)] = damage.choice(
            [b'"', b"{", b"}", b"]", b",", b"\\", b"\xff", b"1", b"},{"]
        )
    limits = ScanLimits(depth_max=4, string_bytes_max=limit, object_bytes_max=5 * limit)
    assert cut_or_refused(bytes(data), len(data), limits) == cut_or_refused(bytes(data), 1, limits)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"", 0),
        (b" \n", 2),
        (b"\xef\xbb", 2),
        (b"not json", 0),
        (b"{}", 0),
        (b"[", 1),
        (b"[{}", 3),
        (b"[{},", 4),
        (b'[{"a', 4),
        (b"[1]", 1),
        (b"[[]]", 1),
        (b'["x"]', 1),
        (b"[{},]", 4),
        (b"[,{}]", 1),
        (b"[{}{}]", 3),
        (b"[{}] x", 5),
        (b"[{}][]", 4),
        (b'[{"a":[}]]', 7),
        (b'[{"a":{]}]', 7),
        (b"\xef\xbb\xbf\xef\xbb\xbf[]", 3),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_broken_framing_is_refused_with_its_offset(data: bytes, offset: int, size: int) -> None:
    with pytest.raises(InvalidUpload) as caught:
        scan(data, [size] * (len(data) // size))
    assert caught.value.metadata == {"offset": str(offset)}


@pytest.mark.parametrize(
    ("data", "limit", "offset"),
    [
        (b'[{"a":[[{"b":1}]]}]', "depth", 8),
        (b'[{"a":"' + b"x" * 11 + b'"}]', "string_bytes", None),
        (b'[{"a":"' + b"\\u0041" * 2 + b'"}]', "string_bytes", None),
        (b"[{ " + b" " * 60 + b"}]", "object_bytes", 1),
        (b"[{}, { " + b" " * 600, "object_bytes", 5),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_is_too_deep_or_too_long_is_refused(data: bytes, limit: str, offset: int | None, size: int) -> None:
    limits = ScanLimits(depth_max=4, string_bytes_max=10, object_bytes_max=50)
    with pytest.raises(LimitExceeded) as caught:
        scan(data, [size] * (len(data) // size), limits)
    maximum = {"depth": "4", "string_bytes": "10", "object_bytes": "50"}[limit]
    assert caught.value.metadata["limit"] == limit
    assert caught.value.metadata["maximum"] == maximum
    if offset is not None:
        assert caught.value.metadata["offset"] == str(offset)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_what_lies_exactly_on_the_limits_passes(size: int) -> None:
    limits = ScanLimits(depth_max=4, string_bytes_max=10, object_bytes_max=19)
    data = b'[{"a":[[]]},{"ab":"0123456789"}]'
    found = scan(data, [size] * (len(data) // size), limits)
    assert [len(cut.data) for cut in found] == [10, 19]


def test_an_error_repeats_on_every_further_call() -> None:
    scanner = Scanner()
    with pytest.raises(InvalidUpload):
        scanner.feed(b"[1")
    for call in (lambda: scanner.feed(b"]"), scanner.finish):
        with pytest.raises(InvalidUpload):
            call()


def test_an_empty_array_is_a_whole_upload() -> None:
    assert scan(b"\xef\xbb\xbf [ ] \n") == []
