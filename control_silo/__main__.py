"""The control silo's programs: `python -m control_silo serve|work|migrate|mint-token`.

Only this file reads the environment. `serve` and `work` load the wiring; the others start without it.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from control_silo.migrate import migrate_database
from control_silo.settings import MigrateSettings, read_migrate_settings, read_settings
from shared import program
from shared.clock import SystemClock


def run(arguments: Sequence[str]) -> int:
    """Run the program that the arguments name; returns its exit code."""
    parsed = _parser().parse_args(arguments)
    if parsed.program == "migrate":
        return _migrate(read_migrate_settings(os.environ))
    if parsed.program == "mint-token":
        return _mint_token(read_migrate_settings(os.environ), parsed)
    gc.disable()  # nothing is garbage while modules load: a seventh of a start
    from control_silo import wiring

    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    gc.enable()
    settings = read_settings(os.environ)
    return wiring.serve(settings) if parsed.program == "serve" else wiring.work(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="control_silo", description="Programs of the control silo.")
    programs = parser.add_subparsers(dest="program", required=True)
    programs.add_parser("serve", help="answer calls on the public and the internal door")
    programs.add_parser("work", help="deliver the outbox, clean what is old")
    programs.add_parser("migrate", help="bring the database to the newest version, make the first token")
    mint = programs.add_parser("mint-token", help="make a token and print its secret, which is shown only here")
    mint.prog = "siloway tokens mint"
    mint.add_argument("--name", required=True, help="what people call it")
    mint.add_argument("--scope", action="append", required=True, help="for example project:releases; may be repeated")
    mint.add_argument("--audience", action="append", help="a silo's name; may be repeated; all silos by default")
    mint.add_argument("--organization", help="the id of the only organization that it may touch")
    mint.add_argument("--expires-in", help="for example 12h or 30d; never by default")
    return parser


def _migrate(settings: MigrateSettings) -> int:
    from control_silo.regions.domain import Region
    from control_silo.regions.usecases import register_regions
    from control_silo.tokens.bootstrap import ensure_bootstrap_token
    from shared.database import Database
    from shared.snowflake.allocator import SnowflakeAllocator

    clock = SystemClock()
    migrate_database(settings.database_url, clock=clock)
    regions = [
        Region(region.name, region.number, region.internal_address, region.public_address)
        for region in settings.regions
    ]
    database = Database.open(settings.database_url, clock=clock, pool_size=1, application_name="siloway-migrate")
    allocator = SnowflakeAllocator.open(settings.database_url, clock=clock, number=0)
    try:
        database.transact(lambda transaction: register_regions(transaction, regions))
        if settings.bootstrap_token_file is not None:
            ensure_bootstrap_token(database, allocator, settings.bootstrap_token_file)
    finally:
        allocator.close()
        database.close()
    return 0


def _mint_token(settings: MigrateSettings, parsed: argparse.Namespace) -> int:
    from control_silo.tokens.command import mint_token
    from shared.tokens import EVERYWHERE

    secret = mint_token(
        settings.database_url,
        name=parsed.name,
        scopes=parsed.scope,
        audience=parsed.audience or [EVERYWHERE],
        organization=parsed.organization,
        expires_in=parsed.expires_in,
    )
    sys.stdout.write(f"{secret}\n")
    return 0


if __name__ == "__main__":
    program.main(run)
