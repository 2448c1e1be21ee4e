"""Export files for the tests of the file tools."""

import json
from pathlib import Path
from typing import Any

TIME = "2024-10-02T23:17:48.714Z"


def row(model: str, pk: int, **fields: Any) -> dict[str, Any]:
    return {"model": model, "pk": pk, "fields": fields}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(rows, indent=1))
    return path
