"""The local stack's command with pretended silos."""

import sys
from pathlib import Path

from shared.embedded.__main__ import main

PRETEND = Path(__file__).parent / "pretend_silo.py"

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], lambda silo, verb: [sys.executable, "-I", "-S", PRETEND, silo, verb]))
