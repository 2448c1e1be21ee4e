"""Where the `siloway` script begins: `siloway up` becomes the local stack at once, all else loads the commands.

The commands, with all they import, take as long to load as the stack itself, and the stack needs none of them.
"""

import os
import sys
from pathlib import Path

DEFAULT_FOLDER = Path(".siloway")
_INTERRUPTED = 130


def main() -> None:
    """Run the command and exit with its code."""
    match sys.argv[1:]:
        case ["up", *arguments]:
            become_stack(Path(os.environ.get("SILOWAY_FOLDER") or DEFAULT_FOLDER), arguments)
        case _:
            try:
                from siloway_client.__main__ import main as run_command  # noqa: PLC0415 - see above
            except KeyboardInterrupt:
                sys.exit(_INTERRUPTED)
            run_command()


def become_stack(folder: Path, arguments: list[str]) -> None:
    """Replace this process by the local stack on `folder`; a later --folder among the `arguments` wins."""
    kept = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder.resolve() / "bytecode")}
    # Where the environment forbids bytecode beside the sources, a folder that is there already keeps it.
    closed = "PYTHONDONTWRITEBYTECODE" in os.environ and folder.is_dir()
    become(["shared.embedded", "--folder", str(folder), *arguments], kept if closed else {})


def become(arguments: list[str], environment: dict[str, str]) -> None:
    """Replace this process by `python -m ...`; it has our terminal and gives its own exit code."""
    command = [sys.executable, "-m", *arguments]
    os.execve(sys.executable, command, {**os.environ, **environment})  # noqa: S606  # no shell is meant
