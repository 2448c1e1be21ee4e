"""`siloway compare`, `sanitize`, `encrypt`, `decrypt`: tools for export files. They become a server-side program.

Keys stay on this machine, and no silo is called, but to compare files that a region has.
"""

import typer

from siloway_client.commands.file_comparison import compare_in_region, names_files_of_regions
from siloway_client.entry import become

_PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (compare, sanitize, encrypt, decrypt):
        app.command(context_settings=_PASS_ON)(command)


def compare(context: typer.Context) -> None:
    """Tell how two export files differ, or exports/1 and imports/2 in a region (options: siloway compare --help)."""
    if names_files_of_regions(context.args):
        compare_in_region(context)
    else:
        _become("compare", context)


def sanitize(context: typer.Context) -> None:
    """Write a copy of an export file without secrets and people (options: siloway sanitize --help)."""
    _become("sanitize", context)


def encrypt(context: typer.Context) -> None:
    """Encrypt an export file with an RSA public key (options: siloway encrypt --help)."""
    _become("encrypt", context)


def decrypt(context: typer.Context) -> None:
    """Decrypt an encrypted export file with an RSA private key (options: siloway decrypt --help)."""
    _become("decrypt", context)


def _become(name: str, context: typer.Context) -> None:
    become(["shared.exports", name, *context.args], {})
