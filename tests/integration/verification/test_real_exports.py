"""Every genuine export file, imported twice, is verified to stand as it is."""

from pathlib import Path
from typing import Any

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from tests.genuine_exports import genuine_exports, richest
from tests.integration.imports.doors import Doors
from tests.integration.imports.stack import OPERATOR
from tests.integration.verification.verifying import verify

pytestmark = [pytest.mark.integration, pytest.mark.long]

_FILES = genuine_exports()
_CASES = [*((path, "global") for path in _FILES), (richest(_FILES), "organization")]
_GLOBAL = {"scope": Scope.GLOBAL, "caller": OPERATOR, "options": ImportOptions(add_to_silo=True)}
_SCOPES: dict[str, dict[str, Any]] = {"organization": {}, "global": _GLOBAL}


@pytest.mark.parametrize(("path", "scope"), _CASES, ids=[f"{path.stem}-{scope}" for path, scope in _CASES])
def test_a_genuine_file_stands_as_it_is_also_next_to_itself(doors: Doors, path: Path, scope: str) -> None:
    for _ in range(2):
        done = doors.stack.run(doors.stack.upload(path.read_bytes(), **_SCOPES[scope]).id)
        assert done.state is State.SUCCEEDED
        differences, result = verify(doors, done)
        assert differences == []
        counts = [counts for _, counts in doors.stack.report(done.id).counts]
        assert result.compared_count == sum(each.inserted + each.suffixed + each.overwritten for each in counts)
        assert result.merged_count == sum(each.merged for each in counts)
        assert result.left_out_count == sum(each.skipped for each in counts)
