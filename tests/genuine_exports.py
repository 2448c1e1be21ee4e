"""The documents and genuine export files that stand beside the project. They are read in place, never copied in.

A module of tests that asks for them is skipped as a whole where they are absent, before any of its tests is collected:
one without parameters would fail.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[1].parent / "shared"


def genuine_exports() -> list[Path]:
    """The export files, by name."""
    files = sorted((_BESIDE / "data" / "exports").glob("*.json"))
    if not files:
        pytest.skip("../shared/data/exports is absent: there are no genuine exports to read", allow_module_level=True)
    return files


def richest(files: Sequence[Path]) -> Path:
    """The one with the most to tell: what holds for each in global scope is tried with it in another scope too."""
    return max(files, key=lambda path: path.stat().st_size)


def specification(name: str) -> Path:
    """A file of the specification."""
    path = _BESIDE / "spec" / name
    if not path.is_file():
        pytest.skip(f"../shared/spec/{name} is absent", allow_module_level=True)
    return path
