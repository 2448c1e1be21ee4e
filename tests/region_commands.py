"""The `siloway` command against the public door of a region in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siloway_client.__main__ import app
from tests.region_features import RegionFeatures

Run = Callable[..., Any]


@pytest.fixture
def run(features: RegionFeatures, tmp_path: Path) -> Run:
    """Runs a command as the administrator; its JSON document when there is one, else its text."""
    token_file, nowhere = tmp_path / "token", "127.0.0.1:1"
    token_file.write_text("administrator")
    stack = {
        "control": {"public_address": nowhere},
        "regions": {"us": {"public_address": f"127.0.0.1:{features.server.port}"}},
        "token_file": str(token_file),
        "environment_file": nowhere,
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    def command(*arguments: str) -> Any:
        result: Result = CliRunner().invoke(app, ["--folder", str(tmp_path), *arguments])
        if result.exception is not None:
            raise result.exception
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    return command
