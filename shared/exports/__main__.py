"""`python -m shared.exports`: compare, sanitize, encrypt and decrypt export files; `siloway` becomes it.

Exit code 0 when it is done, or the files are equal; 1 when files differ or something failed; 2 when called wrongly.
"""

import contextlib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import ServiceError
from shared.exports.comparing import Comparison
from shared.exports.comparison_findings import ComparisonFinding, write_findings
from shared.exports.encryption import decrypt_file, encrypt_file, new_file, plain_file
from shared.exports.errors import ExportFileError
from shared.exports.keys import LocalPrivateKey, LocalPublicKey
from shared.exports.pseudonyms import key_of_seed
from shared.exports.sanitizing import sanitize_file

KEY_BYTES = 32
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="An export file.")]


def _in_a_folder(path: Path | None) -> Path | None:
    """BadParameter before any work when the folder of a file to write is missing."""
    if path is not None and not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


Destination = Annotated[
    Path, typer.Argument(dir_okay=False, metavar="DEST", callback=_in_a_folder, help="The file to write.")
]
Source = Annotated[Path, typer.Option("--src", exists=True, dir_okay=False, readable=True, help="The file to read.")]
_PRIVATE = "The RSA private key (PEM, no passphrase) of "
DecryptWith = Annotated[
    Path | None, typer.Option("--decrypt-with", exists=True, dir_okay=False, help=_PRIVATE + "the encrypted source.")
]
EncryptWith = Annotated[
    Path | None, typer.Option("--encrypt-with", exists=True, dir_okay=False, help="An RSA public key (PEM).")
]


class Differences(Exception):
    """The files were compared, and differ."""


@app.command()
def compare(
    left: File,
    right: File,
    decrypt_left_with: Annotated[
        Path | None, typer.Option("--decrypt-left-with", exists=True, dir_okay=False, help=_PRIVATE + "the left file.")
    ] = None,
    decrypt_right_with: Annotated[
        Path | None, typer.Option("--decrypt-right-with", exists=True, dir_okay=False, help=_PRIVATE + "the right one.")
    ] = None,
    findings_file: Annotated[
        Path | None,
        typer.Option(
            "--findings-file", dir_okay=False, callback=_in_a_folder, help="Write the findings there, as JSON."
        ),
    ] = None,
) -> None:
    """Tell how two exports differ; the exit code is 1 when they do. Ids, suffixes and later dates are no difference.

    What an import must make anew (some UUIDs and ids of subscriptions) is told where it is the same on both sides.

    Two files that a region has, like exports/1 and imports/2, are compared there: siloway compare exports/1 --help.
    """
    with contextlib.ExitStack() as stack:
        plain = [
            stack.enter_context(plain_file(path, _private_key(key)))
            for path, key in ((left, decrypt_left_with), (right, decrypt_right_with))
        ]
        comparison = stack.enter_context(Comparison(*plain))
        count = 0
        for finding in _written(comparison.findings(), findings_file):
            typer.echo(finding.pretty())
            count += 1
        if not count:
            typer.echo("no differences")
            return
        outcomes = [organization.alike for organization in comparison.organizations()]
        told = f"; {outcomes.count(True)} of {len(outcomes)} organizations are alike" if outcomes else ""
        typer.echo(f"{count} finding{'s' if count > 1 else ''}{told}", err=True)
    raise Differences


@app.command()
def sanitize(
    destination: Destination,
    *,
    source: Source,
    days_offset: Annotated[int, typer.Option("--days-offset", help="Move all dates by this many days.")] = 0,
    seed: Annotated[
        str | None,
        typer.Option("--seed", help="The same seed gives the same stand-ins; keep it secret. At random by default."),
    ] = None,
    decrypt_with: DecryptWith = None,
    encrypt_with: EncryptWith = None,
) -> None:
    """Write a copy without its secrets and without what tells of people; its shape stays."""
    key = os.urandom(KEY_BYTES) if seed is None else key_of_seed(seed)
    public_key = None if encrypt_with is None else LocalPublicKey.read(encrypt_with)
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(plain_file(source, _private_key(decrypt_with)))
        if public_key is None:
            done = sanitize_file(plain, destination, key=key, days_offset=days_offset)
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="siloway-"))
            sanitized = Path(folder, "sanitized.json")
            done = sanitize_file(plain, sanitized, key=key, days_offset=days_offset)
            encrypt_file(sanitized, destination, public_key)
    for model, rows in done.dropped.items():
        told = "row was" if rows == 1 else "rows were"
        typer.echo(f"siloway: of the unknown model {model} {rows} {told} left out", err=True)
    typer.echo(f"{done.rows} row{'' if done.rows == 1 else 's'}")


@app.command()
def encrypt(
    destination: Destination,
    source: Source,
    encrypt_with: Annotated[
        Path, typer.Option("--encrypt-with", exists=True, dir_okay=False, help="An RSA public key (PEM).")
    ],
) -> None:
    """Encrypt an export for the owner of a key."""
    encrypt_file(source, destination, LocalPublicKey.read(encrypt_with))


@app.command()
def decrypt(
    destination: Destination,
    source: Source,
    decrypt_with: Annotated[
        Path, typer.Option("--decrypt-with", exists=True, dir_okay=False, help=_PRIVATE + "the source.")
    ],
) -> None:
    """Decrypt an encrypted export, after all of it was verified."""
    decrypt_file(source, destination, LocalPrivateKey.read(decrypt_with))


def main() -> None:
    """Run the command and exit with its code."""
    # Temporary files hold what was decrypted: a stop that is asked for must remove them too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        app(prog_name="siloway")
    except Differences:
        sys.exit(1)
    except ServiceError as error:
        typer.echo(f"siloway: {error.message}", err=True)
        sys.exit(1)
    except (ExportFileError, OSError) as error:
        typer.echo(f"siloway: {error}", err=True)
        sys.exit(1)


def _written(findings: Iterator[ComparisonFinding], path: Path | None) -> Iterator[ComparisonFinding]:
    """The findings, written to the file while they are handed on; the file appears when all are there."""
    if path is None:
        yield from findings
        return
    with new_file(path) as file:
        text = io.TextIOWrapper(file, encoding="ascii")
        yield from write_findings(findings, text)
        text.flush()
        text.detach()


def _private_key(path: Path | None) -> LocalPrivateKey | None:
    return None if path is None else LocalPrivateKey.read(path)


if __name__ == "__main__":
    main()
