"""What can be known to be wrong before a silo is asked ends with 2 and says why, and nothing is left behind."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siloway_client.__main__ import app
from siloway_client.plans import PlanFileWrong
from tests.unit.exports.keys_of import private_pem

Run = Callable[..., tuple[int, str]]

_NOBODY = "127.0.0.1:1"
_BINARY = b"\x91\xff\x00"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder with some files, for a stack that is not there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("secret")
    stack = {
        "control": {"public_address": _NOBODY},
        "regions": {"us": {"public_address": _NOBODY}},
        "token_file": str(tmp_path / "token"),
        "environment_file": _NOBODY,
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    (tmp_path / "export.json").write_text("[]")
    (tmp_path / "key.pem").write_bytes(private_pem())
    (tmp_path / "binary").write_bytes(_BINARY)
    (tmp_path / "folder").mkdir()

    def command(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--folder", str(tmp_path), *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stderr

    return command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("export organizations folder", "folder is a folder"),
        ("export organizations none/x.json", "there is no folder none"),
        ("export organizations x.tar --encrypt-with key.pem", "key.pem holds no public key"),
        ("export organizations x.tar --encrypt-with binary", "binary holds no public key"),
        ("export users x.json --filter-usernames-file binary", "binary is not UTF-8 text"),
        ("import users export.json --filter-usernames-file binary", "binary is not UTF-8 text"),
        ("plan organizations export.json --plan-file none/x.plan", "there is no folder none"),
        ("plan organizations export.json --findings-file none/x.json", "there is no folder none"),
        ("exports get nonsense", "is no id, nor exports/ID"),
        ("exports get imports/1", "is no id, nor exports/ID"),
        ("exports download ../../x x.json", "is no id, nor exports/ID"),
        ("exports cancel 12345678901234567", "is no id, nor exports/ID"),
        ("imports findings nonsense", "is no id, nor imports/ID"),
        ("verify nonsense", "is no id, nor imports/ID"),
    ],
)
def test_wrong_usage_ends_with_two_and_leaves_nothing(run: Run, arguments: str, told: str) -> None:
    before = sorted(Path.cwd().iterdir())
    code, errors = run(*arguments.split())
    assert code == 2
    assert told in errors
    assert sorted(Path.cwd().iterdir()) == before


@pytest.mark.parametrize(
    "content",
    [b"", b"[]\n", b"{}\n", b'{"plan": 1}\n', _BINARY, b"[" * 100_000],
    ids=["empty", "array", "object", "number", "binary", "nested"],
)
def test_what_is_no_plan_file_is_told_so(run: Run, content: bytes) -> None:
    Path("x.plan").write_bytes(content)
    with pytest.raises(PlanFileWrong, match=r"x\.plan is no plan file"):
        run("apply", "x.plan")


@pytest.mark.parametrize(
    ("line", "told"),
    [(b"nonsense", "line 2: not a JSON object"), (b'{"decision": "skip", "model": "m", "pk": null}', "line 2: no row")],
)
def test_a_wrong_line_of_a_plan_file_is_told_by_its_number(run: Run, line: bytes, told: str) -> None:
    Path("x.plan").write_bytes(b'{"plan": "imports/1", "region": "us"}\n' + line)
    with pytest.raises(PlanFileWrong, match=told):
        run("apply", "x.plan")
