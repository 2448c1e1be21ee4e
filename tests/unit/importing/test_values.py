from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.importing.columns import Column, Kind
from shared.importing.values import BadValue, decode_field

_OPTION = Column("value", Kind.JSON, None, nullable=True, json_in_text=True)
_PLAIN = Column("data", Kind.JSON, "{}")
_SCOPES = Column("scope_list", Kind.TEXT_ARRAY, ())
_GUID = Column("guid", Kind.UUID, None, nullable=True)


def decode(column: Column, text: str) -> Any:
    return decode_field(column, msgspec.json.Decoder(column.wire_type), msgspec.Raw(text.encode()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r'"\"23.6.1\""', '"23.6.1"'),
        (r'"\"Europe/Vienna\""', '"Europe/Vienna"'),
        (r'"\"\""', '""'),
        (r'"{\"match\": [1, null]}"', '{"match":[1,null]}'),
        (r'"[\"*\"]"', '["*"]'),
        ("11", "11"),
        ("true", "true"),
    ],
)
def test_json_in_text_and_plain_json_are_the_same_value(old: str, new: str) -> None:
    assert decode(_OPTION, old) == decode(_OPTION, new) == new


def test_a_text_that_only_looks_like_json_stays_a_text() -> None:
    assert decode(_OPTION, '"23.6.1"') == '"23.6.1"'
    assert decode(_OPTION, '"123"') == '"123"'
    assert decode(_OPTION, '"null"') == '"null"'
    assert decode(_PLAIN, r'"[\"*\"]"') == r'"[\"*\"]"'
    assert decode(_OPTION, "null") is None


@pytest.mark.parametrize("text", [r'"\"a\\u0000\""', r'"a\u0000"', "1e400", "[" + "9" * 60 + "]", "null", '"\\ud800"'])
def test_json_that_jsonb_does_not_take_is_refused(text: str) -> None:
    column = Column("data", Kind.JSON, "{}", json_in_text=True)
    with pytest.raises(BadValue):
        decode(column, text)


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ('["org:ci"]', ["org:ci"]),
        ("\"['org:ci']\"", ["org:ci"]),
        (r'"[\"org:ci\", \"x\"]"', ["org:ci", "x"]),
        (r"""" [u'a', \"it's\", 'b\\'c\\n\\u00e9',] " """, ["a", "it's", "b'c\né"]),
        ('"[]"', []),
        ("[]", []),
    ],
)
def test_arrays_and_their_python_form_are_the_same_value(text: str, texts: list[str]) -> None:
    assert decode(_SCOPES, text.strip()) == texts


@pytest.mark.parametrize(
    "text",
    [
        '""',
        '"["',
        "\"['a'\"",
        "\"['a'] + ['b']\"",
        '"[1]"',
        "\"['a'],\"",
        "[1]",
        r"""["a\u0000"]""",
        r""""['a\\x00']" """,
        "3",
    ],
)
def test_what_is_no_array_of_texts_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        decode(_SCOPES, text.strip())


def test_uuids_are_handed_on_as_such() -> None:
    text = "7d2b3c1e-9a57-4bb4-9a3f-0a4d7f9f6d10"
    assert decode(_GUID, f'"{text}"') == UUID(text)
    with pytest.raises(BadValue):
        decode(_GUID, '"7d2b"')


@pytest.mark.parametrize("inner", ["[" * 65 + "]" * 65, "[" * 100_000, '{"a":' * 2000, "[" * 100_000 + "]" * 100_000])
def test_json_in_text_is_nested_no_deeper_than_an_upload(inner: str) -> None:
    with pytest.raises(BadValue, match="nested too deeply"):
        decode(_OPTION, msgspec.json.encode(inner).decode())


def test_json_in_text_may_be_nested_as_deeply_as_an_upload() -> None:
    inner = "[" * 64 + "]" * 64
    assert decode(_OPTION, msgspec.json.encode(inner).decode()) == inner
