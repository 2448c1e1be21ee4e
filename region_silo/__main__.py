"""A region silo's programs: `python -m region_silo --region us serve|work|migrate|restored`.

Only this file reads the environment. Each program loads what it needs and no more: loading is most of its start.
"""

import argparse
import os
from collections.abc import Sequence

from shared.loading import loading


def run(arguments: Sequence[str]) -> int:
    """Run the program that the arguments name; returns its exit code."""
    parsed = _parser().parse_args(arguments)
    with loading():
        from region_silo.settings import read_migrate_settings, read_settings

        if parsed.program == "serve":
            from region_silo.wiring import serve as run_silo
        elif parsed.program == "work":
            from region_silo.working import work as run_silo
        else:
            from region_silo.migrate import migrate_database
    if parsed.program == "migrate":
        settings = read_migrate_settings(os.environ, parsed.region)
        migrate_database(settings.database_url, settings.name, settings.number)
        return 0
    if parsed.program == "restored":
        from shared import program

        return program.restored(read_migrate_settings(os.environ, parsed.region).database_url)
    return run_silo(read_settings(os.environ, parsed.region))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="region_silo", description="Programs of a region silo.")
    parser.add_argument("--region", required=True, help="the region's name, for example us")
    programs = parser.add_subparsers(dest="program", required=True)
    programs.add_parser("serve", help="answer calls on the public and the internal door")
    programs.add_parser("work", help="write imports, deliver the outbox, clean what is old")
    programs.add_parser("migrate", help="bring the database to the newest version")
    programs.add_parser(
        "restored",
        help="after a restore from a backup, with the programs stopped: close the region until `siloway doctor"
        " --after-restore REGION` has brought it in step",
    )
    return parser


if __name__ == "__main__":
    with loading():
        from shared.program import main
    main(run)
