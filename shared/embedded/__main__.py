"""`python -m shared.embedded`: the local stack in the foreground.

Exit codes: 0 after a stop that was asked for, 1 with one line when it cannot run, 2 for a wrong command line.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from shared.loading import loading

with loading():
    from shared.embedded.failures import LocalStackError, OptionInvalid
    from shared.embedded.settings import DEFAULT_FOLDER, DEFAULT_PORTS_FROM, DEFAULT_REGIONS, read_settings
    from shared.embedded.stack import Command, Stack, run, silo_command


def main(arguments: list[str] | None = None, command: Command = silo_command) -> int:
    """Run the stack until it is stopped; returns the exit code. `command` says what a silo's programs are."""
    options = _parse(arguments)
    try:
        settings = read_settings(
            os.environ,
            folder=options.folder,
            ports_from=options.ports_from,
            regions=options.regions,
            without=options.without,
        )
        # With --json the first line of stdout is the description, and nothing else is.
        notices = sys.stderr if options.json else sys.stdout
        stack = Stack(settings, say=lambda line: _write(notices, line), command=command)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stack.request_stop())
        run(stack, _announce_json if options.json else _announce)
    except (LocalStackError, OSError) as problem:
        _write(sys.stderr, f"siloway: {problem}")
        return 2 if isinstance(problem, OptionInvalid) else 1
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="siloway up",
        description="Run Siloway on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path(DEFAULT_FOLDER), help="where data, logs and keys are kept")
    parser.add_argument(
        "--ports-from", type=int, default=DEFAULT_PORTS_FROM, help="control's first port; 0: free ports"
    )
    parser.add_argument("--regions", default=DEFAULT_REGIONS, help="name=number,...")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="SILO",
        help="run this silo's database, but not its programs, so that it can be restored; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="print the addresses as one line of JSON")
    return parser.parse_args(arguments)


def _announce(stack: Stack) -> None:
    settings = stack.settings
    token = stack.token()
    lines = ["", "Siloway runs. Ctrl-C stops it.", ""]
    for silo in settings.started:
        admin = f"admin {silo.serve_admin_address} (serve), {silo.work_admin_address} (work)"
        lines.append(f"  {silo.name:<8} public {silo.public_address}   internal {silo.internal_address}   {admin}")
    apart = f"only its database runs; its settings are in {settings.environment_file}"
    lines += [f"  {name:<8} {apart}" for name in sorted(settings.without)]
    lines += ["", f"  token    {token or 'none in this folder; make one with: siloway tokens mint'}"]
    lines += [f"  files    {settings.folder} (token, logs/, stack.json)", "", "Try:", f"  {_demo(settings.folder)}"]
    certificate = settings.environment.get("SILOWAY_PUBLIC_TLS_CERT_FILE")
    security = "-plaintext" if certificate is None else f"-cacert {certificate}"
    for silo in settings.started:
        lines.append(f"  grpcurl {security} -H 'authorization: Bearer {token or 'TOKEN'}' {silo.public_address} list")
    _write(sys.stdout, "\n".join([*lines, ""]))


def _demo(folder: Path) -> str:
    """What runs the demo on this folder."""
    if folder == Path(DEFAULT_FOLDER).resolve():
        return "make demo"
    return f"{Path(sys.executable).with_name('siloway')} --folder {folder} demo"


def _announce_json(stack: Stack) -> None:
    _write(sys.stdout, json.dumps(stack.describe()))


def _write(stream: TextIO, text: str) -> None:
    # A terminal that was closed must not keep the stack from stopping its processes.
    with contextlib.suppress(OSError):
        stream.write(text + "\n")
        stream.flush()


if __name__ == "__main__":
    sys.exit(main())
