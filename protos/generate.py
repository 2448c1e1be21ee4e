"""Generates protos/gen from the contract; with --check it fails when that would change a byte.

The code is made by the pinned grpcio-tools and mypy-protobuf. google.api and google.rpc come with
googleapis-common-protos; only buf.validate, which no package ships, is generated besides our own.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS / "gen"


def generate(target: Path) -> None:
    """Write all generated files below `target`, which must be empty. Raises CalledProcessError when protoc refuses."""
    # Names relative to an include folder: protoc takes a path inside two of them for two files.
    sources = [str(path.relative_to(PROTOS)) for path in sorted((PROTOS / "siloway").rglob("*.proto"))]
    include = [f"-I{PROTOS}", f"-I{PROTOS / 'third_party'}"]
    # protoc finds the plugins of mypy-protobuf beside the running interpreter.
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        *include,
        f"--python_out={target}",
        f"--mypy_out=quiet:{target}",
    ]
    subprocess.run([*command, "buf/validate/validate.proto", *sources], check=True, env=environment)
    services = [source for source in sources if source.endswith("_service.proto")]
    grpc_out = [f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"]
    subprocess.run([*command, *grpc_out, *services], check=True, env=environment)


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths of files that differ or stand on one side only."""
    names = {path.relative_to(base) for base in (left, right) for path in base.rglob("*.py*") if path.suffix != ".pyc"}
    return [
        str(name)
        for name in sorted(names)
        if not (left / name).is_file()
        or not (right / name).is_file()
        or not filecmp.cmp(left / name, right / name, shallow=False)
    ]


def main() -> int:
    """Generate, or compare with what is committed; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when the committed code is not current"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if arguments.check:
            stale = differences(GENERATED, fresh)
            if stale:
                sys.stderr.write(f"protos/gen is not current, run `make protos`: {', '.join(stale)}\n")
            return 1 if stale else 0
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
