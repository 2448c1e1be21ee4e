"""The newest revision is found by file names: they must tell what alembic would."""

import re
from pathlib import Path

import pytest

import control_silo
import region_silo
from shared.migrations import head_revision

_FOLDERS = [Path(str(package.__file__)).parent / "migrations" for package in (control_silo, region_silo)]


@pytest.mark.parametrize("folder", _FOLDERS, ids=["control", "region"])
def test_revisions_are_numbered_without_a_gap_and_follow_each_other(folder: Path) -> None:
    files = sorted((folder / "versions").glob("[0-9]*.py"))
    numbers = [file.name[:4] for file in files]
    assert numbers == [f"{number:04}" for number in range(1, len(files) + 1)]
    for previous, file in zip([None, *numbers], files, strict=False):
        found = dict(re.findall(r"^(revision|down_revision)(?:: [^=]*)? = (.*)$", file.read_text(), re.MULTILINE))
        assert found["revision"] == f'"{file.name[:4]}"'
        assert found["down_revision"] == ("None" if previous is None else f'"{previous}"')
    assert head_revision(folder) == numbers[-1]
