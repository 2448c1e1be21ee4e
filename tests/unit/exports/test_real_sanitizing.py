"""Every genuine export, sanitized: nothing of its people and secrets stays, and its shape does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.exports.comparing import compare_files
from shared.exports.pseudonyms import key_of_seed
from shared.exports.sanitizing import sanitize_file
from shared.importing.registry import REMOVED_MODELS
from shared.importing.rows import RowDecoder
from tests.genuine_exports import genuine_exports
from tests.unit.importing.rows_of import NOW, raw_row

# Columns whose texts are words of the product. Everything else counts as somebody's.
STRUCTURE = frozenset(
    {"aggregate", "condition_result", "dataset", "default_role", "detection_type", "extraction_state", "interval"}
    | {"languages", "last_updated_by", "logic_type", "permission", "permissions", "platform", "provider", "query_sort"}
    | {"role", "scope_list", "sort", "state", "token_type", "type", "use_case", "version", "visibility"}
)
WORDS = re.compile(
    r"sentry\..*|[a-z]+:(?!test)[a-z-]+|timezone|language|Default|critical|environment|equals|unknown"
    r"|ActiveMembers|IssueOwners|[0-9* ]+"
)
WORDS_STAND_IN = {"data", "value", "condition", "comparison", "label", "config"}


def texts(value: Any) -> Iterator[str]:
    """Every text of a value, those inside of JSON texts too."""
    if isinstance(value, str):
        try:
            inner = json.loads(value) if value[:1] in {'"', "[", "{"} else None
        except ValueError:
            inner = None
        if inner is None:
            yield value
        else:
            yield from texts(inner)
    elif isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def somebodys(rows: list[dict[str, Any]], length_min: int = 6) -> set[str]:
    found = set()
    for value in rows:
        for name, field in value["fields"].items():
            if name in STRUCTURE or (name == "key" and value["model"] != "sentry.apikey"):
                continue
            for text in texts(field):
                is_word = WORDS.fullmatch(text) and name in WORDS_STAND_IN
                if len(text) >= length_min and not is_word:
                    found.add(text)
    return found


@pytest.fixture(params=genuine_exports(), ids=lambda path: path.stem)
def real(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def sanitized(real: Path, tmp_path: Path) -> Path:
    sanitize_file(real, tmp_path / "sanitized.json", key=key_of_seed("seed"), days_offset=3)
    return tmp_path / "sanitized.json"


def test_no_text_that_is_somebodys_survives(real: Path, sanitized: Path) -> None:
    everything = "\n".join(somebodys(json.loads(sanitized.read_bytes()), length_min=1)).casefold()
    rows = [each for each in json.loads(real.read_bytes()) if each["model"] not in REMOVED_MODELS]
    assert [text for text in somebodys(rows) if text.casefold() in everything] == []
    # Nor does what is long or an address stand anywhere else, keys and structure included.
    raw = sanitized.read_text()
    assert [text for text in somebodys(rows) if ("@" in text or len(text) >= 20) and text in raw] == []


def test_the_shape_stays(real: Path, sanitized: Path) -> None:
    before = [each for each in json.loads(real.read_bytes()) if each["model"] not in REMOVED_MODELS]
    after = json.loads(sanitized.read_bytes())
    assert [(each["model"], each["pk"]) for each in after] == [(each["model"], each["pk"]) for each in before]
    for old, new in zip(before, after, strict=True):
        assert list(old["fields"]) == list(new["fields"])
        for name, value in old["fields"].items():
            assert type(new["fields"][name]) is type(value), (old["model"], name)
            if not isinstance(value, str | list | dict):
                assert new["fields"][name] == value


def test_rows_can_still_be_matched_with_the_originals(real: Path, sanitized: Path) -> None:
    kinds = {finding.kind for finding in compare_files(real, sanitized)}
    assert not kinds & {"UnorderedInput", "UnequalCounts", "DuplicateCustomOrdinal"}
    assert {finding.kind for finding in compare_files(sanitized, sanitized)} <= {"UUID4Comparator"}


def test_every_row_can_still_be_imported(sanitized: Path) -> None:
    for value in json.loads(sanitized.read_bytes()):
        decoded = RowDecoder(value["model"], NOW).decode([raw_row(json.dumps(value).encode(), pk=value["pk"])])
        assert decoded.findings == []


def test_the_same_text_becomes_the_same_everywhere(real: Path, sanitized: Path) -> None:
    before = [each for each in json.loads(real.read_bytes()) if each["model"] not in REMOVED_MODELS]
    became: dict[tuple[str, str], str] = {}
    kinds = {"slug": "name", "title": "name", "label": "name", "redirect_slug": "name"}
    kinds |= {"email": "username", "user_email": "username"}
    for old, new in zip(before, json.loads(sanitized.read_bytes()), strict=True):
        for name, value in old["fields"].items():
            if isinstance(value, str) and name not in {"config", "schema", "data", "value", "country_code", "key"}:
                kind = "structure" if name in STRUCTURE else kinds.get(name, "shaped" if ":" in value else name)
                assert became.setdefault((kind, value), new["fields"][name]) == new["fields"][name]


def test_moments_keep_their_order(real: Path, sanitized: Path) -> None:
    before, after = (re.findall(r"\d{4}-\d\d-\d\dT[:.\d]+Z", path.read_text()) for path in (real, sanitized))
    if any(model in real.read_text() for model in REMOVED_MODELS):
        return  # their rows and moments are left out
    order = sorted(range(len(before)), key=before.__getitem__)
    assert sorted(after) == [after[place] for place in order]
    assert len({text.replace(".000", "") for text in before}) == len(set(after))
