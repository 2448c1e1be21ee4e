"""The commands: exit codes, messages of one line, files that appear whole or not at all."""

import json
import signal
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.exports.__main__ import main
from siloway_client import decryption
from siloway_client.__main__ import app as client
from siloway_client.commands import files
from siloway_client.decryption import DecryptionFailed, decrypted
from siloway_client.encryption import EncryptionFailed, encrypt_into
from tests.unit.exports.archives import PLAIN, parts_of, tar_of
from tests.unit.exports.files_of import row, write
from tests.unit.exports.keys_of import private_pem, public_pem

Run = Callable[..., tuple[int, str, str]]
LEFT, RIGHT = row("sentry.option", 1, key="a", value=1), row("sentry.option", 9, key="a", value="2 € more")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `python -m shared.exports` in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "private.pem").write_bytes(private_pem())
    (tmp_path / "other.pem").write_bytes(private_pem(1))
    (tmp_path / "public.pem").write_bytes(public_pem())
    (tmp_path / "sealed.tar").write_bytes(tar_of(parts_of()))
    (tmp_path / "plain.json").write_bytes(PLAIN)
    write(tmp_path / "left.json", [LEFT])
    write(tmp_path / "right.json", [RIGHT])
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["siloway", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, told.err

    return command


def test_equal_files_end_with_zero(run: Run) -> None:
    assert run("compare", "left.json", "left.json", "--findings-file", "f.json") == (0, "no differences\n", "")
    assert Path("f.json").read_bytes() == b"[]\n"


def test_differences_end_with_one_and_stand_in_the_findings_file(run: Run) -> None:
    code, out, err = run("compare", "left.json", "right.json", "--findings-file", "f.json")
    assert code == 1
    assert out.startswith("ComparatorFinding(\n    kind: UnequalJSON,")
    assert err == "1 finding\n"
    text = Path("f.json").read_text("ascii")
    (finding,) = json.loads(text)
    assert text == json.dumps([finding], sort_keys=True, indent=2) + "\n"
    assert finding["on"] == {"model": "sentry.option", "ordinal": 1}
    assert stat.S_IMODE(Path("f.json").stat().st_mode) == 0o600


def test_many_findings_are_one_array(run: Run) -> None:
    write(Path("left.json"), [row("sentry.option", pk, key=str(pk), value=pk) for pk in range(1, 4)])
    write(Path("right.json"), [row("sentry.option", pk, key=str(pk), value=-pk) for pk in range(1, 4)])
    run("compare", "left.json", "right.json", "--findings-file", "f.json")
    text = Path("f.json").read_text()
    assert len(json.loads(text)) == 3
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"


def test_both_sides_may_be_encrypted(run: Run) -> None:
    keys = ("--decrypt-left-with", "private.pem", "--decrypt-right-with", "private.pem")
    assert run("compare", "sealed.tar", "sealed.tar", *keys)[:2] == (0, "no differences\n")
    assert run("compare", "sealed.tar", "plain.json", *keys[:2])[:2] == (0, "no differences\n")
    assert run("compare", "plain.json", "sealed.tar", *keys[2:])[:2] == (0, "no differences\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("compare", "sealed.tar", "plain.json"), "sealed.tar is encrypted; a key is needed"),
        (("compare", "sealed.tar", "plain.json", "--decrypt-left-with", "other.pem"), "another key"),
        (
            ("compare", "private.pem", "plain.json", "--findings-file", "f"),
            "private.pem is neither a JSON array nor an archive",
        ),
        (("decrypt", "out", "--src", "sealed.tar", "--decrypt-with", "other.pem"), "another key"),
        (("decrypt", "out", "--src", "sealed.tar", "--decrypt-with", "public.pem"), "no private key"),
        (("decrypt", "out", "--src", "plain.json", "--decrypt-with", "private.pem"), "no archive"),
        (("encrypt", "out", "--src", "sealed.tar", "--encrypt-with", "public.pem"), "not an export file"),
        (("encrypt", "out", "--src", "plain.json", "--encrypt-with", "private.pem"), "no public key"),
        (("sanitize", "out", "--src", "sealed.tar"), "is encrypted"),
        (("sanitize", "out", "--src", "plain.json", "--encrypt-with", "private.pem"), "no public key"),
    ],
)
def test_a_failure_is_one_line_and_ends_with_one(run: Run, arguments: tuple[str, ...], told: str) -> None:
    before = sorted(Path.cwd().iterdir())
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("siloway: ")
    assert err.count("\n") == 1
    assert told in err
    assert sorted(Path.cwd().iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "left.json"),
        ("compare", "left.json", "absent.json"),
        ("compare", "left.json", "right.json", "--decrypt-left-with", "absent.pem"),
        ("encrypt", "out", "--src", "plain.json"),
        ("decrypt", "out", "--decrypt-with", "private.pem"),
        ("decrypt", "no/out", "--src", "sealed.tar", "--decrypt-with", "private.pem"),
        ("compare", "left.json", "right.json", "--findings-file", "no/f.json"),
        ("sanitize", "out", "--src", "plain.json", "--days-offset", "few"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2


def test_encrypting_and_decrypting_go_together(run: Run) -> None:
    assert run("encrypt", "new.tar", "--src", "plain.json", "--encrypt-with", "public.pem") == (0, "", "")
    assert run("decrypt", "new.json", "--src", "new.tar", "--decrypt-with", "private.pem") == (0, "", "")
    assert Path("new.json").read_bytes() == PLAIN


def test_sanitizing_is_repeatable_by_its_seed_and_goes_from_key_to_key(run: Run) -> None:
    assert run("sanitize", "a.json", "--src", "plain.json", "--seed", "s") == (0, "1 row\n", "")
    assert run("sanitize", "b.json", "--src", "plain.json", "--seed", "s", "--days-offset", "7")[0] == 0
    keys = ("--decrypt-with", "private.pem", "--encrypt-with", "public.pem")
    assert run("sanitize", "c.tar", "--src", "sealed.tar", "--seed", "s", *keys)[0] == 0
    assert run("decrypt", "c.json", "--src", "c.tar", "--decrypt-with", "private.pem")[0] == 0
    assert json.loads(Path("a.json").read_bytes()) == json.loads(Path("b.json").read_bytes())
    assert json.loads(Path("a.json").read_bytes()) == json.loads(Path("c.json").read_bytes())
    assert run("sanitize", "d.json", "--src", "plain.json")[0] == 0
    assert Path("d.json").read_bytes() != Path("a.json").read_bytes()


def test_what_was_left_out_is_told(run: Run) -> None:
    write(Path("odd.json"), [row("sentry.diary", 1), LEFT])
    code, out, err = run("sanitize", "out.json", "--src", "odd.json")
    assert (code, out) == (0, "1 row\n")
    assert err == "siloway: of the unknown model sentry.diary 1 row was left out\n"


@pytest.mark.parametrize("name", ["compare", "sanitize", "encrypt", "decrypt"])
def test_the_siloway_command_passes_everything_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from typer.testing import CliRunner

    became: list[Any] = []
    monkeypatch.setattr(files, "become", lambda *arguments: became.append(arguments))
    done = CliRunner().invoke(client, [name, "a", "--src", "b", "--seed", "-x", "--help"])
    assert done.exit_code == 0
    assert became == [(["shared.exports", name, "a", "--src", "b", "--seed", "-x", "--help"], {})]


def test_a_file_is_decrypted_for_an_upload_and_removed_always(run: Run, tmp_path: Path) -> None:
    sealed, key = tmp_path / "sealed.tar", tmp_path / "private.pem"
    with decrypted(sealed, None) as same:
        assert same == sealed
    seen: list[Path] = []

    def interrupted() -> None:
        with decrypted(sealed, key) as plain:
            assert plain.read_bytes() == PLAIN
            assert stat.S_IMODE(plain.stat().st_mode) == 0o600
            assert stat.S_IMODE(plain.parent.stat().st_mode) == 0o700
            seen.append(plain.parent)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [folder.exists() for folder in seen] == [False]
    with pytest.raises(DecryptionFailed, match=r"sealed\.tar"), decrypted(sealed, tmp_path / "other.pem"):
        pass


def test_an_export_is_encrypted_by_way_of_a_closed_file_that_is_removed_always(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def chunks(*, ends: bool) -> Iterator[bytes]:
        yield PLAIN
        (plain,) = (tmp_path / "temporary").glob("*/export.json")
        assert (stat.S_IMODE(plain.stat().st_mode), stat.S_IMODE(plain.parent.stat().st_mode)) == (0o600, 0o700)
        seen.append(plain)
        if not ends:
            raise KeyboardInterrupt

    target, key = tmp_path / "-new.tar", tmp_path / "public.pem"
    with pytest.raises(KeyboardInterrupt):
        encrypt_into(target, chunks(ends=False), key)
    with pytest.raises(EncryptionFailed):
        encrypt_into(target, chunks(ends=True), tmp_path / "private.pem")
    assert not target.exists()
    encrypt_into(target, chunks(ends=True), key)
    assert (len(seen), list((tmp_path / "temporary").iterdir())) == (3, [])
    assert run("decrypt", "new.json", "--src", "-new.tar", "--decrypt-with", "private.pem") == (0, "", "")
    assert (tmp_path / "new.json").read_bytes() == PLAIN


def test_a_stop_that_is_asked_for_ends_by_an_exception() -> None:
    with pytest.raises(SystemExit) as stopped, decryption.stopped_softly():
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is not decryption._exit
