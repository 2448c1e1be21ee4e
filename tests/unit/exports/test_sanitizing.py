import contextlib
import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.exports import objects, timeline
from shared.exports.errors import DateOutOfRange, ExportFileError, InvalidExport, NotText
from shared.exports.pseudonyms import Pseudonyms, key_of_seed
from shared.exports.sanitizing import sanitize_file
from tests.unit.exports.files_of import TIME, row, write

KEY = key_of_seed("seed")
NAMES = Pseudonyms(KEY)


def sanitized(folder: Path, *rows: dict[str, Any], key: bytes = KEY, days_offset: int = 0) -> list[dict[str, Any]]:
    source = write(folder / "source.json", list(rows))
    sanitize_file(source, folder / "out.json", key=key, days_offset=days_offset)
    found: list[dict[str, Any]] = json.loads((folder / "out.json").read_bytes())
    return found


def fields(folder: Path, model: str, **values: Any) -> dict[str, Any]:
    found: dict[str, Any] = sanitized(folder, row(model, 1, **values))[0]["fields"]
    return found


def test_the_same_seed_gives_the_same_file_and_another_one_another(tmp_path: Path) -> None:
    user = row("sentry.user", 1, username="somebody", email="somebody@example.com")
    first = sanitized(tmp_path, user)
    assert sanitized(tmp_path, user) == first
    assert sanitized(tmp_path, user, key=key_of_seed("other")) != first


def test_addresses_of_one_domain_stay_together_and_lead_nowhere() -> None:
    first, second = NAMES.email("ada@corp.com"), NAMES.email("bob@corp.com")
    assert first != second
    assert first.rpartition("@")[2] == second.rpartition("@")[2]
    assert first.endswith(".example")
    assert NAMES.email("Ada@corp.com").casefold() == first
    assert NAMES.email("ada@other.com").rpartition("@")[2] != first.rpartition("@")[2]


def test_a_slug_becomes_the_slug_of_its_names_stand_in() -> None:
    assert NAMES.name("Big Corp").casefold().replace(" ", "-") == NAMES.name("big-corp")
    assert len({NAMES.name(text) for text in ("Big Corp", "BIG CORP", "Big-Corp", "big corp", "big_corp")}) == 5
    assert all(len(NAMES.name("x" * length)) <= 30 for length in range(1, 100))


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("192.168.17.4", r"10\.\d+\.\d+\.\d+"),
        ("2001:db8::17", r"fd[0-9a-f:]+"),
        (
            "f315ef58-3efa-41df-a502-f9f395d8f87f",
            r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        ),
        (
            "https://corp.com:8080/people/ada?token=abc&x#part",
            r"https://\w+\.example:8080/\w{6}/\w{3}\?\w{5}=\w{3}&\w#\w{4}",
        ),
        ("https://[::1]/x", r"https://\[fd[0-9a-f:]+\]/\w"),
        ("0/7c69362cd42207b83f80087bc15ebccb", r"0/[0-9a-f]{32}"),
        ("https://a.com\nhttps://b.com", r"https://\w+\.example\nhttps://\w+\.example"),
    ],
)
def test_what_shows_its_kind_stays_of_its_kind(text: str, shape: str) -> None:
    found = NAMES.shaped(text)
    assert found is not None
    assert found != text
    assert re.fullmatch(shape, found)


@given(st.text(max_size=40))
def test_a_text_keeps_its_length_and_no_other_text_its_shape(text: str) -> None:
    assert len(NAMES.text(text)) == len(text)
    assert (NAMES.shaped(text) is None) == (Pseudonyms(bytes(32)).shaped(text) is None)
    assert NAMES.name(text) == "" if not text else NAMES.name(text)


def test_encodings_stay(tmp_path: Path) -> None:
    found = fields(
        tmp_path,
        "sentry.projectoption",
        key="k",
        value='{"people": ["somebody"], "n": 11}',
        other="['somebody', 'else']",
        modern={"people": ["somebody"]},
    )
    inner = json.loads(found["value"])
    assert inner == {"people": found["modern"]["people"], "n": 11}
    assert found["other"].startswith("['")
    assert found["modern"]["people"] != ["somebody"]
    assert fields(tmp_path, "sentry.useroption", key="timezone", value='"Europe/Vienna"')["value"] == '"UTC"'
    assert fields(tmp_path, "sentry.useroption", key="timezone", value="Europe/Vienna")["value"] == "UTC"
    assert fields(tmp_path, "sentry.useroption", key="theme", value="dark")["value"] == "dark"
    assert fields(tmp_path, "sentry.servicehook", events="['a']")["events"] == "[]"
    assert fields(tmp_path, "sentry.servicehook", events=["a"])["events"] == []
    assert fields(tmp_path, "sentry.authenticator", config='{"secret": 1}')["config"] == "{}"
    assert fields(tmp_path, "sentry.userip", country_code="AT", region_code=None) == {
        "country_code": "CA",
        "region_code": None,
    }


def test_a_kept_column_does_not_keep_what_is_no_word_of_the_product(tmp_path: Path) -> None:
    aggregates = ["count()", "count_if(user.email,equals,ada@corp.com)", "ada@corp.com", "x" * 201]
    found = fields(tmp_path, "sentry.dashboardwidgetquery", aggregates=aggregates, orderby="-count()")
    assert found["orderby"] == "-count()"
    assert found["aggregates"][0] == "count()"
    assert not set(found["aggregates"][1:]) & set(aggregates)
    assert "corp" not in json.dumps(found)


@pytest.mark.parametrize("value", ["[" * 100_000, "[" * 60 + "]" * 60, '{"a":' * 3000, '"' * 1000, r'"\"' * 200])
def test_text_that_is_nested_deeply_is_replaced(tmp_path: Path, value: str) -> None:
    found = fields(tmp_path, "sentry.projectoption", key="k", value=value)["value"]
    assert len(found) == len(value)


def test_rows_of_unknown_models_are_left_out_and_told(tmp_path: Path) -> None:
    source = write(tmp_path / "source.json", [row("sentry.secretdiary", 1, text="x"), row("sentry.option", 1, key="a")])
    done = sanitize_file(source, tmp_path / "out.json", key=KEY)
    assert (done.rows, done.dropped) == (1, {"sentry.secretdiary": 1})
    assert [each["model"] for each in json.loads((tmp_path / "out.json").read_bytes())] == ["sentry.option"]


@pytest.mark.parametrize("value", [12345678, True, ["secret"], {"a": "secret"}, 1.5])
def test_a_secret_that_is_no_text_is_refused_and_nothing_is_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(NotText, match=r"sentry\.user 1, field password"):
        sanitized(tmp_path, row("sentry.user", 1, password=value))
    assert [entry.name for entry in tmp_path.iterdir()] == ["source.json"]


def test_moments_move_between_their_neighbours_and_by_the_offset(tmp_path: Path) -> None:
    times = [f"2024-01-{day:02d}T00:00:00{part}" for day in range(1, 29) for part in (".000Z", ".001Z", "+00:00")]
    rows = [row("sentry.organization", pk, date_added=text) for pk, text in enumerate(times, 1)]
    plain = [each["fields"]["date_added"] for each in sanitized(tmp_path, *rows)]
    assert all(plain[place] == plain[place + 2] < plain[place + 1] for place in range(0, len(plain), 3))
    assert sorted(set(plain)) == sorted(set(plain), key=plain.index)
    moved = [each["fields"]["date_added"] for each in sanitized(tmp_path, *rows, days_offset=-400)]
    for before, after in zip(plain, moved, strict=True):
        assert datetime.fromisoformat(before) - datetime.fromisoformat(after) == timedelta(days=400)
    with pytest.raises(DateOutOfRange):
        sanitized(tmp_path, *rows, days_offset=99_999_999)


@given(st.lists(st.integers(-(10**12), 10**13), max_size=30), st.integers(1, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sorting_in_runs_changes_nothing(tmp_path: Path, moments: list[int], run: int) -> None:
    texts = [timeline.text_of(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=each)) for each in moments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeline, "_RUN_MAX", run)
        line = timeline.Timeline(tmp_path, [text.encode() for text in texts], NAMES, 0)
    moved = {text: line.moved(datetime.fromisoformat(text)) for text in texts}
    assert sorted(moved, key=moved.__getitem__) == sorted(moved)
    assert len(set(moved.values())) == len(moved)
    line.close()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_crashes_it(tmp_path: Path, value: Any) -> None:
    with contextlib.suppress(ExportFileError):
        sanitized(tmp_path, row("sentry.option", 1, value=value, name=value, config=json.dumps(value)))


@pytest.mark.parametrize(
    "text", [b"", b"[", b'[{"model": "sentry.user"}]', b'[{"model":"x","pk":1,"fields":{}}]', b'[{"a":\xff}]']
)
def test_a_broken_file_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "source.json").write_bytes(text)
    with pytest.raises(InvalidExport):
        sanitize_file(tmp_path / "source.json", tmp_path / "out.json", key=KEY)
    assert not (tmp_path / "out.json").exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_PIECE_BYTES", 4096)

    def peak(count: int) -> int:
        rows = [row("sentry.team", pk, name=f"team {pk}", slug=f"team-{pk}", date_added=TIME) for pk in range(1, count)]
        source = write(tmp_path / "source.json", rows)
        del rows
        tracemalloc.start()
        try:
            sanitize_file(source, tmp_path / "out.json", key=KEY)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(300)
    assert peak(900) < peak(300) + 30_000
