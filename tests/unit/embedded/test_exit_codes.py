"""How the local stack's program ends when it cannot run."""

from pathlib import Path

import pytest

from shared.embedded.__main__ import main


@pytest.mark.parametrize("option", ["--regions=us=99", "--regions=us", "--without=nowhere"])
def test_what_cannot_be_understood_is_a_wrong_call(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--folder", str(tmp_path / "stack"), option]) == 2
    assert capsys.readouterr().err.startswith("siloway: ")
    assert not (tmp_path / "stack").exists()
