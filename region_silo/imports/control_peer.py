"""The importer's control, over the internal door."""

from collections.abc import Sequence

from siloway.internal.v1 import control_callback_service_pb2 as callback_pb
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.internal.v1 import model_import_service_pb2_grpc as model_import_rpc

from region_silo.imports.domain import SlugWish
from region_silo.slugs import reservations
from region_silo.slugs.reservations import SlugReservations
from shared.importing.decisions import BatchFinding, Counts, ledger_rows
from shared.importing.handover import CompletedUsers, HandedAnswer, HandedBatch, UsersToComplete
from shared.importing.terms import Terms
from shared.importing.undo_handover import UndoWanted
from shared.importing.undoing import StayingRow, UndonePage
from shared.rpc.channel import InternalChannel

_TIMEOUT_S = 30.0
_TEXT_LENGTH_MAX = 200


class ControlSilo:
    """Implements peers.ControlPeer. Its calls stay within `_TIMEOUT_S`; whose lease of an import ends before finds that
    out when the answer is recorded.
    """

    def __init__(self, channel: InternalChannel) -> None:
        self._channel = channel
        self._models = model_import_rpc.ModelImportServiceStub(channel.channel)
        self._slugs = SlugReservations(channel)
        self._callbacks = callback_rpc.ControlCallbackServiceStub(channel.channel)

    def import_batch(self, batch: HandedBatch) -> HandedAnswer:
        """Hand over a batch. Raises PeerUnavailable and Aborted for now, ScopeMissing for good, Internal for a bug."""
        request = model_import_pb.ImportBatchRequest(
            import_id=batch.import_id,
            principal=batch.principal,
            scope=_scope(batch.terms),
            merge_users=batch.terms.merge_users,
            overwrite_configs=batch.terms.overwrite_configs,
            model=batch.model,
            ordinals=[row.ordinal for row in batch.rows],
            objects=[row.data for row in batch.rows],
            known=[
                model_import_pb.ImportBatchRequest.KnownRow(model=each.model, old_pk=each.old_pk, new_pk=each.new_pk)
                for each in batch.known
            ],
            filtered=batch.filtered,
            again=batch.again,
            policy=batch.terms.policy_of(batch.model) or 0,
            plan=batch.planned,
            applied_plan=batch.applied_plan or 0,
            plan_was_edited=batch.plan_was_edited,
            choices=[
                model_import_pb.ImportBatchRequest.Choice(ordinal=each.ordinal, policy=each.policy)
                for each in batch.choices
            ],
            own_addresses_later=batch.own_addresses_later,
            without_rows=batch.without_rows,
        )
        response = self._channel.invoke(self._models.ImportBatch, request, timeout_s=_TIMEOUT_S)
        found = response.columns
        names = map(dict(found.suffixed).get, found.ordinals)
        rows = ledger_rows(zip(found.ordinals, found.old_pks, found.new_pks, found.decisions, names, strict=True))
        findings = [
            BatchFinding(
                each.kind,
                batch.model,
                each.ordinal,
                str(each.old_pk) if each.old_pk else "",
                each.field,
                each.reason,
                each.error,
            )
            for each in response.findings
        ]
        counted = _counts(response.counts) if response.HasField("counts") else None
        return HandedAnswer(rows, findings, drifted=response.drifted, counted=counted)

    def complete_users(self, wanted: UsersToComplete) -> CompletedUsers:
        """Have users get their own addresses. Raises as import_batch, and PlanExpired."""
        request = model_import_pb.CompleteUsersRequest(
            import_id=wanted.import_id,
            principal=wanted.principal,
            scope=_scope(wanted.terms),
            merge_users=wanted.terms.merge_users,
            after=wanted.after,
            plan=wanted.planned,
        )
        response = self._channel.invoke(self._models.CompleteUsers, request, timeout_s=_TIMEOUT_S)
        return CompletedUsers(response.last, response.has_more)

    def undo_rows(self, wanted: UndoWanted) -> UndonePage:
        """Undo a span, or a phase before that. Raises as import_batch, and UndoTooLate."""
        request = model_import_pb.UndoRowsRequest(
            import_id=wanted.import_id,
            principal=wanted.principal,
            scope=_scope(wanted.terms),
            merge_users=wanted.terms.merge_users,
            phase=wanted.phase.value,  # type: ignore[arg-type]  # the numbers are the same, a test says so
            model=wanted.model,
            after=wanted.after,
            through=wanted.through,
            referred=[_referred(pk, why) for pk, why in wanted.referred],
            expects_rows=wanted.expects_rows,
        )
        response = self._channel.invoke(self._models.UndoRows, request, timeout_s=_TIMEOUT_S)
        in_all = response.undone_count if response.HasField("undone_count") else None
        staying = [_staying(row) for row in response.staying]
        return UndonePage(0, staying, response.last, response.has_more, in_all=in_all)

    def find_references(self, import_id: int, model: str, pks: Sequence[int]) -> list[StayingRow]:
        """Rows of the region that something in control refers to. Raises as import_batch."""
        request = model_import_pb.FindReferencesRequest(import_id=import_id, model=model, pks=pks)
        response = self._channel.invoke(self._models.FindReferences, request, timeout_s=_TIMEOUT_S)
        return [_staying(row) for row in response.rows]

    def reserve_slugs(self, change_set: str, wishes: list[SlugWish], *, plan: str = "") -> None:
        """Ask for slugs. Raises as import_batch."""
        self._slugs.reserve(
            change_set,
            [reservations.SlugWish(wish.organization_id, wish.base_slug, wish.display_name) for wish in wishes],
            plan=plan,
        )

    def hold_slugs(self, plan: str, base_slugs: list[str], *, afresh: bool, seconds: int) -> list[str]:
        """Hold slugs for a plan. Raises as import_batch."""
        cut = [slug[:_TEXT_LENGTH_MAX] for slug in base_slugs]
        request = callback_pb.HoldSlugsRequest(plan=plan, base_slugs=cut, afresh=afresh, seconds=seconds)
        return list(self._channel.invoke(self._callbacks.HoldSlugs, request, timeout_s=_TIMEOUT_S).slugs)

    def hold_exactly(self, plan: str, slugs: list[str], *, seconds: int) -> list[str]:
        """Go on holding slugs for a plan. Raises as import_batch."""
        request = callback_pb.HoldSlugsRequest(plan=plan, base_slugs=slugs, exact=True, seconds=seconds)
        return list(self._channel.invoke(self._callbacks.HoldSlugs, request, timeout_s=_TIMEOUT_S).slugs)

    def forget_plan(self, plan: str) -> None:
        """Drop the rows of a plan. Raises as import_batch."""
        request = callback_pb.ForgetPlanRequest(plan=plan)
        self._channel.invoke(self._callbacks.ForgetPlan, request, timeout_s=_TIMEOUT_S)


def _scope(terms: Terms) -> "model_import_pb.ImportBatchRequest.Scope.ValueType":
    return model_import_pb.ImportBatchRequest.Scope.Value(f"SCOPE_{terms.scope.name}")


def _counts(counts: model_import_pb.ImportBatchResponse.Counts) -> Counts:
    return Counts(counts.inserted, counts.merged, counts.overwritten, counts.suffixed)


def _referred(pk: int, why: str) -> model_import_pb.UndoRowsRequest.Referred:
    kind, _, by = why.partition(" ")
    return model_import_pb.UndoRowsRequest.Referred(pk=pk, kind=kind, by=by)


def _staying(row: model_import_pb.StayingRow) -> StayingRow:
    return StayingRow(row.ordinal, row.old_pk, row.new_pk, row.kind, row.by)
