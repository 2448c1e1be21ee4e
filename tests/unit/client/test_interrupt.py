"""Ctrl-C ends the command quietly, from the first moment."""

import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

from siloway_client import entry

_COMMANDS = "siloway_client.__main__"


class _InterruptedThere:
    """Stands for a key that is pressed while the commands are loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        del path, target
        if name == _COMMANDS:
            raise KeyboardInterrupt


def test_an_interrupt_while_the_commands_are_loaded_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, _COMMANDS, raising=False)
    monkeypatch.setattr(sys, "meta_path", [_InterruptedThere(), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["siloway", "regions", "list"])
    with pytest.raises(SystemExit) as stopped:
        entry.main()
    assert stopped.value.code == 130
