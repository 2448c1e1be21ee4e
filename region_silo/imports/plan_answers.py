"""Plans on the wire: pages of decisions, what would be written or found and then what would be left out; and edits."""

from collections.abc import Iterator

from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.edits import PlanEdits, RowPolicy, Skips
from region_silo.imports.plan_store import Decided
from region_silo.imports.plans import PlanUseCases
from shared.errors import InvalidArgument, LimitExceeded, Violation
from shared.importing.decisions import Decision
from shared.rpc import page_token

_EDITS_MAX = 100_000
_SKIP = import_pb.PlanDecision.DECISION_SKIP
_DECISIONS = {
    0: _SKIP,
    Decision.INSERT: import_pb.PlanDecision.DECISION_INSERT,
    Decision.MERGE: import_pb.PlanDecision.DECISION_MERGE,
    Decision.OVERWRITE: import_pb.PlanDecision.DECISION_OVERWRITE,
    Decision.SUFFIX: import_pb.PlanDecision.DECISION_SUFFIX,
}


def list_decisions(
    plans: PlanUseCases, plan_id: int, request: import_pb.ListPlanDecisionsRequest
) -> import_pb.ListPlanDecisionsResponse:
    """One page. Its token holds a model with a pk, or no model with the key of what was left out last."""
    digest = page_token.query_digest("decisions", request.parent, request.model, str(request.decision))
    model, key, is_skipped = "", 0, request.decision == _SKIP
    if request.page_token:
        place = page_token.decode(request.page_token, digest, [int, str, int])
        is_skipped, model, key = bool(place[0]), str(place[1]), int(str(place[2]))
    rows_max = page_token.page_size(request.page_size)
    if is_skipped:
        found = plans.skipped(plan_id, key, request.model, rows_max + 1)
    else:
        only = (request.model, int(request.decision))
        found = plans.decisions(plan_id, (model, key), only, rows_max + 1)
    shown, following = found[:rows_max], ""
    if len(found) > rows_max:
        last = shown[-1]
        following = page_token.encode((int(is_skipped), "" if is_skipped else last.model, last.key), digest)
    elif not is_skipped and not request.decision:
        following = page_token.encode((1, "", 0), digest)
    return import_pb.ListPlanDecisionsResponse(decisions=[_decision(each) for each in shown], next_page_token=following)


def edits_of(parts: Iterator[import_pb.ApplyImportRequest]) -> PlanEdits:
    """What comes behind the header. Raises LimitExceeded, InvalidArgument."""
    skips: list[Skips] = []
    policies: list[RowPolicy] = []
    rows = dict.fromkeys(("skips", "policies"), 0)
    for part in parts:
        kind = part.WhichOneof("part")
        if kind == "skips":
            skips.append(Skips(part.skips.model, part.skips.pks))
            rows[kind] += len(part.skips.pks)
        elif kind == "policies":
            chosen = part.policies
            policies.append(RowPolicy(chosen.model, int(chosen.policy), chosen.pks))
            rows[kind] += len(chosen.pks)
        else:
            raise InvalidArgument.of("header", "may only be the first part")
        if rows[kind] > _EDITS_MAX:
            raise LimitExceeded(
                f"at most {_EDITS_MAX} rows of a plan may have such an edit",
                metadata={"limit": kind, "maximum": str(_EDITS_MAX)},
                violations=[Violation(kind, f"must be at most {_EDITS_MAX}")],
            )
    return PlanEdits(skips, policies)


def _decision(decided: Decided) -> import_pb.PlanDecision:
    return import_pb.PlanDecision(
        model=decided.model,
        pk=decided.pk,
        ordinal=decided.ordinal,
        decision=_DECISIONS[decided.decision],
        name=decided.name,
        existing=decided.existing or 0,
        kind=decided.kind,
        reason=decided.reason,
    )
