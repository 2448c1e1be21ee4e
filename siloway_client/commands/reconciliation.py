"""`siloway reconciliation`: how far control and its regions are known to be equal, and what differs. For operators."""

from collections.abc import Iterable
from typing import Annotated

import typer
from siloway.control.v1 import reconciliation_service_pb2 as reconciliation_pb

from siloway_client import output
from siloway_client.options import Json, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="What control and the regions have of each other (needs silo:operate).")

OnlyRegion = Annotated[str, typer.Option("--region", "-r", help="Only this region, for example us.")]
_KIND = "RECONCILIATION_KIND_"
_WORDS = [name.removeprefix(_KIND).lower() for name in reconciliation_pb.ReconciliationKind.keys()[1:]]
_Difference = reconciliation_pb.Difference


@app.command("status")
def status(context: typer.Context, region: OnlyRegion = "", json_output: Json = False) -> None:
    """Show up to when each region was seen equal, by kind."""
    request = reconciliation_pb.ListReconciliationsRequest(region=_long(region))
    with session(context).targets().control() as control:
        found = control.reconciliation.ListReconciliations(request).reconciliations
    if json_output:
        output.as_json(found)
        return
    rows = [
        (
            each.region.removeprefix("regions/"),
            _kind(each.kind),
            output.when(each.equal_up_to_time),
            output.when(each.finish_time),
            each.row_count,
            each.difference_count,
            each.pending_count,
            each.last_error or "-",
        )
        for each in found
    ]
    columns = ("region", "kind", "equal up to", "compared", "rows", "differences", "pending", "last error")
    output.table(columns, rows)


@app.command("differences")
def differences(
    context: typer.Context,
    region: OnlyRegion = "",
    kind: Annotated[str, typer.Option(help=f"Only this kind: {', '.join(_WORDS)}.")] = "",
    pending: Annotated[bool, typer.Option("--pending", help="Also what may still be on its way.")] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Also what was seen equal since.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    json_output: Json = False,
) -> None:
    """List what differs, the oldest first, with what can be done about it."""
    if kind and kind not in _WORDS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(_WORDS)}", param_hint="--kind")
    request = reconciliation_pb.ListDifferencesRequest(
        page_size=limit,
        region=_long(region),
        kind=reconciliation_pb.ReconciliationKind.Value(f"{_KIND}{kind.upper() or 'UNSPECIFIED'}"),
        show_pending=pending,
        show_resolved=resolved,
    )
    with session(context).targets().control() as control:
        found = control.reconciliation.ListDifferences(request).differences
    _show(found, json_output)


@app.command("repair")
def repair(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="DIFFERENCE...", help="As listed: differences/17, or 17.")],
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Repair exactly these differences: what the owner of the truth has is sent again. Carried out within seconds."""
    request = reconciliation_pb.RepairDifferencesRequest(
        names=[f"differences/{name.removeprefix('differences/')}" for name in names],
        request_id=request_id_of(request_id),
    )
    with session(context).targets().control() as control:
        found = control.reconciliation.RepairDifferences(request).differences
    _show(found, json_output)


def _show(found: Iterable[reconciliation_pb.Difference], json_output: bool) -> None:
    if json_output:
        output.as_json(found)
        return
    rows = [
        (
            each.name,
            each.region.removeprefix("regions/"),
            _kind(each.kind),
            each.subject,
            _word(_Difference.Nature.Name(each.nature), "NATURE_"),
            _word(_Difference.State.Name(each.state), "STATE_"),
            "-" if not each.repair else _word(_Difference.Repair.Name(each.repair), "REPAIR_"),
            each.control_json or "nothing",
            each.region_json or "nothing",
        )
        for each in found
    ]
    columns = ("difference", "region", "kind", "subject", "copy is", "state", "repair", "control has", "region has")
    output.table(columns, rows)


def _kind(kind: "reconciliation_pb.ReconciliationKind.ValueType") -> str:
    return _word(reconciliation_pb.ReconciliationKind.Name(kind), _KIND)


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _long(region: str) -> str:
    return f"regions/{region}" if region and not region.startswith("regions/") else region
