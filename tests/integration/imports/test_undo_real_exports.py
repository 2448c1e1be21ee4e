"""Genuine exports that are undone next to others leave both silos as they were."""

from pathlib import Path

import pytest

from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from tests.genuine_exports import genuine_exports
from tests.integration.imports.stack import OPERATOR, ImportStack
from tests.integration.imports.undone import contents, kept, settle, undo

pytestmark = [pytest.mark.integration, pytest.mark.long]

_FILES = genuine_exports()
_BETWEEN = {"full-23.12.0", "full-24.3.0", "full-24.5.0", "full-24.7.0", "fresh-install-23.11", "fresh-install-24.10"}
"""Exports whose models all stand in older or newer ones; each costs many seconds."""


@pytest.mark.parametrize("path", [path for path in _FILES if path.stem not in _BETWEEN], ids=lambda path: path.stem)
def test_a_genuine_export_next_to_itself_is_undone_without_a_trace(stack: ImportStack, path: Path) -> None:
    before = []
    imports = []
    for is_again in (False, True):
        settle(stack)
        before.append(contents(stack))
        options = ImportOptions(add_to_silo=is_again)
        upload = stack.upload(path.read_bytes(), scope=Scope.GLOBAL, caller=OPERATOR, options=options)
        assert stack.run(upload.id).state is State.SUCCEEDED
        imports.append(upload.id)
    settle(stack)
    for place in (1, 0):
        undone = undo(stack, imports[place], caller=OPERATOR)
        assert (undone.state, kept(stack, imports[place])) == (State.UNDONE, [])
        assert contents(stack) == before[place]
