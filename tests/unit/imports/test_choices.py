"""How text becomes a filter, and which fields a row is read for without being decoded."""

from pathlib import Path

import pytest
import typer

from shared.importing.fields import FieldReader
from siloway_client.filters import names_of, values_of


@pytest.mark.parametrize("text", [None, ""])
def test_no_text_is_no_filter(text: str | None) -> None:
    assert values_of(text) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (" ", []),
        ("\t\n", []),
        ("a", ["a"]),
        (" a , b ", ["a", "b"]),
        ("a,,b", ["a", "", "b"]),
        (",", ["", ""]),
    ],
)
def test_names_stand_between_commas_and_blank_text_lets_nothing_pass(text: str, names: list[str]) -> None:
    assert values_of(text) == names


@pytest.mark.parametrize(
    ("content", "names"),
    [(b"", []), (b" \n", []), (b"a,b\n", ["a", "b"]), (b"a\r\nb , c\n\n", ["a", "b", "c"]), (b"a,,b", ["a", "", "b"])],
)
def test_a_file_is_always_a_filter(tmp_path: Path, content: bytes, names: list[str]) -> None:
    file = tmp_path / "names"
    file.write_bytes(content)
    assert names_of(None, file) == names


def test_a_filter_comes_from_one_place_and_is_text(tmp_path: Path) -> None:
    file = tmp_path / "names"
    file.write_bytes(b"\xff")
    for text in ("a", "", None):
        with pytest.raises(typer.BadParameter):
            names_of(text, file)
    assert names_of("a", None) == values_of("a")


def test_fields_are_read_from_whatever_stands_there() -> None:
    reader = FieldReader(("order", "user", "email"))
    row = b'{"model": "a.b", "pk": 1, "fields": {"user": 7, "email": "a@example.com", "order": null, "more": [1]}}'
    assert reader.pks(row) == (None, 7, None)
    assert reader.texts(row) == (None, None, "a@example.com")
    for broken in (b"{", b"[]", b'{"fields": []}', b'{"fields": {"user": "\\ud800"}}', b"\xff"):
        assert reader.pks(broken) == (None, None, None)
        assert reader.texts(broken) == (None, None, None)
    assert reader.texts(b'{"fields": {"user": "a\\u0000b", "email": ""}}') == (None, None, "")
