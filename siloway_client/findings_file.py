"""The findings file of an import, a plan or an export: JSON array, sorted keys, indented by 2, ASCII.

An entry has what those of `siloway compare` have, and says field and severity besides. The file appears when it is
whole. Source: spec imports.md 12.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import grpc
import typer
from google.rpc import error_details_pb2, status_pb2
from siloway.region.v1 import export_service_pb2 as export_pb
from siloway.region.v1 import file_comparison_service_pb2 as comparison_pb
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.client import RegionClient
from siloway_client.findings import findings_of
from siloway_client.options import checked_destination
from siloway_client.refusal import refusal_of

FindingsFile = Annotated[
    Path | None,
    typer.Option(
        "--findings-file",
        dir_okay=False,
        callback=checked_destination,
        help="Where the findings are written, as a JSON array.",
    ),
]
COMPARATOR = "ComparatorFinding"
_ERROR = "RpcImportError"
_EXPORT_ERROR = "RpcExportError"
_REMARK = "ImportFinding"
_Entry = dict[str, object]


def write_import(path: Path, client: RegionClient, found: import_pb.DataImport) -> None:
    """Write all findings of an import that rests and, when it failed, why. Raises grpc.RpcError and OSError."""
    _write(path, _entries(client, found))


def write_export(path: Path, found: export_pb.DataExport) -> None:
    """Write why an export that ended has no file; an empty array when it has one. Raises OSError."""
    if found.state == export_pb.DataExport.STATE_SUCCEEDED:
        _write(path, [])
        return
    why = (_reason(found.error), found.error.message) if found.HasField("error") else ("CANCELLED", "it was cancelled")
    _write(path, [_entry(_EXPORT_ERROR, *why)])


def write_comparison(path: Path, findings: Iterable[comparison_pb.FileFinding]) -> None:
    """Write what differs between two files, as comparing files of this machine does. Raises OSError."""
    _write(
        path,
        (
            {
                "finding": COMPARATOR,
                "kind": each.kind,
                "left_pk": _pk(each.left_pk),
                "on": {"model": each.model, "ordinal": each.ordinal or None},
                "reason": each.reason,
                "right_pk": _pk(each.right_pk),
            }
            for each in findings
        ),
    )


@contextmanager
def refusals_written(path: Path | None, *, is_export: bool = False) -> Iterator[None]:
    """What a silo refuses meanwhile becomes the one entry; a failure that no silo has explained leaves no file."""
    try:
        yield
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        if path is not None and refusal.reason != refusal.code:
            _write(path, [_entry(_EXPORT_ERROR if is_export else _ERROR, refusal.reason, refusal.message)])
        raise


def _entries(client: RegionClient, found: import_pb.DataImport) -> Iterator[_Entry]:
    for each in findings_of(client, found.name):
        is_error = each.severity == import_pb.ImportFinding.SEVERITY_ERROR
        severity = import_pb.ImportFinding.Severity.Name(each.severity).removeprefix("SEVERITY_").lower()
        entry = _entry(_ERROR if is_error else _REMARK, each.kind, each.reason, severity)
        entry["on"] = {"model": each.model, "ordinal": each.ordinal or None}
        yield {**entry, "left_pk": _pk(each.pk), "field": each.field or None}
    if found.state == import_pb.DataImport.STATE_FAILED:
        yield _entry(_ERROR, _reason(found.error), found.error.message)


def _entry(kind_of_finding: str, kind: str, reason: str, severity: str = "error") -> _Entry:
    return {
        "finding": kind_of_finding,
        "kind": kind,
        "left_pk": None,
        "on": {"model": "", "ordinal": None},
        "reason": reason,
        "right_pk": None,
        "field": None,
        "severity": severity,
    }


def _pk(text: str) -> int | str | None:
    """A number where it is one, as in the file; what is no number stays a text."""
    return int(text) if text.isascii() and text.isdecimal() else text or None


def _reason(error: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    return next((info.reason for each in error.details if each.Unpack(info)), "")


def _write(path: Path, entries: Iterable[_Entry]) -> None:
    made = path.with_name(f"{path.name}.new")
    try:
        with made.open("w", encoding="ascii") as file:
            opening = "["
            for entry in entries:
                text = json.dumps(entry, sort_keys=True, indent=2)
                file.write(opening + "\n  " + text.replace("\n", "\n  "))
                opening = ","
            file.write("[]\n" if opening == "[" else "\n]\n")
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
