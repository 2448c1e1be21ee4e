"""Verifying an import through the real door."""

from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.domain import DataImport
from tests.integration.imports.doors import Doors


def verify(
    doors: Doors, done: DataImport, token: str = "operator"
) -> tuple[list[tuple[str, str, str]], import_pb.ImportVerification]:
    """The differences (kind, model, pk), and the result."""
    answers = list(doors.call("VerifyImport", import_pb.VerifyImportRequest(name=done.name), token))
    assert answers[-1].HasField("result")
    found = [answer.difference for answer in answers if answer.HasField("difference")]
    assert answers[-1].result.difference_count == len(found)
    return [(each.kind, each.model, each.pk) for each in found], answers[-1].result
