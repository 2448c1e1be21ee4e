"""A region silo's programs: `python -m region_silo --region us serve|work|migrate`.

Only this file reads the environment. `serve` and `work` load the wiring; `migrate` starts without it.
"""

import argparse
import gc
import os
from collections.abc import Sequence

from region_silo.migrate import migrate_database
from region_silo.settings import read_migrate_settings, read_settings
from shared import program


def run(arguments: Sequence[str]) -> int:
    """Run the program that the arguments name; returns its exit code."""
    parsed = _parser().parse_args(arguments)
    if parsed.program == "migrate":
        settings = read_migrate_settings(os.environ, parsed.region)
        migrate_database(settings.database_url, settings.name, settings.number)
        return 0
    gc.disable()  # nothing is garbage while modules load: a seventh of a start
    from region_silo import wiring

    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    gc.enable()
    region = read_settings(os.environ, parsed.region)
    return wiring.serve(region) if parsed.program == "serve" else wiring.work(region)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="region_silo", description="Programs of a region silo.")
    parser.add_argument("--region", required=True, help="the region's name, for example us")
    programs = parser.add_subparsers(dest="program", required=True)
    programs.add_parser("serve", help="answer calls on the public and the internal door")
    programs.add_parser("work", help="write imports, deliver the outbox, clean what is old")
    programs.add_parser("migrate", help="bring the database to the newest version")
    return parser


if __name__ == "__main__":
    program.main(run)
