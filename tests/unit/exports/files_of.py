"""Export files for the tests of the file tools, and where the genuine ones stand."""

import json
from pathlib import Path
from typing import Any

REAL_FOLDER = Path(__file__).parents[3] / ".." / "shared" / "data" / "exports"
REAL_FILES = sorted(REAL_FOLDER.glob("*.json")) if REAL_FOLDER.is_dir() else []
TIME = "2024-10-02T23:17:48.714Z"


def row(model: str, pk: int, **fields: Any) -> dict[str, Any]:
    return {"model": model, "pk": pk, "fields": fields}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, indent=1))
    return path
