"""`siloway doctor`: whether the silos' data is in order, repairs, and a restored silo's way back. For operators."""

import time
from contextlib import ExitStack
from typing import Annotated

import typer
from siloway.common.v1 import doctor_service_pb2 as doctor_pb

from siloway_client import output
from siloway_client.client import ControlClient, RegionClient
from siloway_client.doctor.checking import COMPARED, CONTROL, Checker, Finding, Result
from siloway_client.doctor.restoring import Done, NotClosed, Restorer
from siloway_client.options import Json, session

_POLL_S = 0.5
_WRONG_USAGE = 2


def doctor(
    context: typer.Context,
    silo: Annotated[
        list[str] | None,
        typer.Option("--silo", "-s", help="Only this silo; may be repeated. All by default, and compared."),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be repaired safely.")] = False,
    after_restore: Annotated[
        str | None,
        typer.Option(
            "--after-restore",
            metavar="SILO",
            help="Bring this silo, restored from an older backup and closed, back in step with the others.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="REGION", help="With --after-restore control: leave a lost region out."),
    ] = None,
    settle_s: Annotated[float, typer.Option("--settle", min=0, help="Seconds to wait for what is on its way.")] = 15.0,
    json_output: Json = False,
) -> None:
    """Check the data of all silos, and what they know of each other. Needs the scope silo:operate.

    Exit code 0: nothing is wrong; 1: findings are left; 2: called wrongly. What must hold only when nothing is on its
    way is looked at twice. With --repair what is safe is repaired, and all is checked again.

    After a restore: stop the silo's programs, restore its database, run `python -m control_silo restored` (or
    `python -m region_silo --region NAME restored`), start the programs, then `siloway doctor --after-restore SILO`
    with a token that is older than the backup. The silo answers nobody else until that is done.
    """
    if after_restore and (repair or silo):
        raise typer.BadParameter("goes with neither --repair nor --silo", param_hint="--after-restore")
    if without and after_restore != CONTROL:
        raise typer.BadParameter("goes with --after-restore control", param_hint="--without")
    targets = session(context).targets()
    with ExitStack() as stack:
        known = [*targets.region_names(), CONTROL]
        for name in [*(silo or []), *(without or []), *([after_restore] if after_restore else [])]:
            if name not in known:
                raise typer.BadParameter(f"there is no silo {name!r}; there are: {', '.join(sorted(known))}")
        wanted = [name for name in (silo or known) if name not in (without or [])]
        control = stack.enter_context(targets.control()) if CONTROL in wanted else None
        regions = {name: stack.enter_context(targets.region(name)) for name in wanted if name != CONTROL}
        checker = Checker(
            control, regions, lambda: _settle([*([control] if control else []), *regions.values()], settle_s)
        )
        done = _restore(checker, after_restore, quiet=json_output) if after_restore else None
        result = checker.run()
        repaired = 0
        if repair:
            repaired = checker.repair(result.findings)
            if repaired:
                checker.settle()
                result = checker.run()
    _show(result, done, repaired, json_output=json_output)
    if result.findings or (done is not None and done.left):
        raise typer.Exit(1)


def _restore(checker: Checker, silo: str, *, quiet: bool) -> Done:
    try:
        return Restorer(checker, (lambda _step: None) if quiet else output.say).restore(silo)
    except NotClosed as error:
        output.complain(f"siloway: {error}")
        raise typer.Exit(_WRONG_USAGE) from None


def _settle(clients: list[ControlClient | RegionClient], seconds: float) -> None:
    """Wait until nothing waits in any outbox twice in a row, or the time is over."""
    ends_at, empty = time.monotonic() + seconds, 0
    while time.monotonic() < ends_at and empty < 2:
        time.sleep(min(_POLL_S, seconds))
        lives = [client.doctor.GetRestoration(doctor_pb.GetRestorationRequest()) for client in clients]
        empty = empty + 1 if not any(life.waiting_message_count for life in lives) else 0


def _show(result: Result, done: Done | None, repaired: int, *, json_output: bool) -> None:
    left = done.left if done is not None else {}
    if json_output:
        output.as_json(
            {
                "findings": [_plain(finding) for finding in result.findings],
                "checks": [
                    {"silo": silo, "check": check, "row_count": rows}
                    for (silo, check), rows in sorted(result.rows.items())
                ],
                "repaired_count": repaired,
                "steps": [] if done is None else done.steps,
                "left": {str(organization_id): reason for organization_id, reason in left.items()},
            }
        )
        return
    if repaired:
        output.say(f"{repaired} findings repaired")
    for organization_id, reason in left.items():
        output.say(f"left as it is: organizations/{organization_id}: {reason}")
    if result.findings:
        rows = [(each.silo, each.check, each.key, each.says, way) for each, way in result.ways()]
        output.table(("silo", "check", "what", "wrong", "can be mended"), rows)
    compared = len(COMPARED) if any(silo == CONTROL for silo, _ in result.rows) else 0
    output.say(
        f"{len(result.rows)} checks and {compared} comparisons over {sum(result.rows.values())} rows:"
        f" {len(result.findings)} findings"
    )


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "silo": finding.silo,
        "check": finding.check,
        "key": finding.key,
        "description": finding.says,
        "repairable": finding.repairable,
    }
