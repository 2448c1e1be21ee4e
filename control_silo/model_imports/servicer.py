"""ModelImportService on the wire: messages in and out, nothing decided here."""

from collections.abc import Sequence

import grpc
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.internal.v1 import model_import_service_pb2_grpc as model_import_rpc

from control_silo.model_imports.completing import CompletingUseCases
from control_silo.model_imports.undoing import UndoingUseCases
from control_silo.model_imports.usecases import ModelImportUseCases
from shared.errors import InvalidArgument
from shared.importing.choices import Choice
from shared.importing.decisions import BatchFinding, Counts, LedgerRow
from shared.importing.handover import HandedBatch, KnownRow, UsersToComplete
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from shared.importing.undo_handover import UndoWanted
from shared.importing.undo_order import Phase
from shared.importing.undoing import StayingRow
from shared.importing.upload import raw_rows
from shared.rpc.call import current_caller
from shared.rpc.methods import PEER_REGION, Budget, Door, Method

METHODS: tuple[Method, ...] = (
    Method(
        "/siloway.internal.v1.ModelImportService/ImportBatch",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.STREAMS,
        mutating=True,
    ),
    Method(
        "/siloway.internal.v1.ModelImportService/CompleteUsers",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.STREAMS,
        mutating=True,
    ),
    Method(
        "/siloway.internal.v1.ModelImportService/UndoRows",
        Door.INTERNAL,
        (PEER_REGION,),
        budget=Budget.STREAMS,
        mutating=True,
    ),
    Method("/siloway.internal.v1.ModelImportService/FindReferences", Door.INTERNAL, (PEER_REGION,)),
)


class ModelImportServicer(model_import_rpc.ModelImportServiceServicer):
    """Serves the calling region's own imports."""

    def __init__(self, usecases: ModelImportUseCases) -> None:
        self._usecases = usecases
        self._completing = CompletingUseCases(usecases.database, usecases.scopes_of, usecases.number_of)
        self._undoing = UndoingUseCases(usecases.database, usecases.scopes_of, usecases.number_of)

    def ImportBatch(
        self, request: model_import_pb.ImportBatchRequest, context: grpc.ServicerContext
    ) -> model_import_pb.ImportBatchResponse:
        del context
        if len(request.ordinals) != len(request.objects) or not (request.ordinals or request.rows):
            raise InvalidArgument.of("objects", "must be as many as ordinals, and one at least")
        rows = raw_rows(request.ordinals, request.objects) or raw_rows(
            [row.ordinal for row in request.rows], [row.object for row in request.rows]
        )
        known = [KnownRow(each.model, each.old_pk, each.new_pk) for each in request.known]
        terms = Terms(
            _scope(request.scope),
            merge_users=request.merge_users,
            overwrite_configs=request.overwrite_configs,
            policies=((request.model, request.policy),) if request.policy else (),
        )
        batch = HandedBatch(
            request.import_id,
            request.principal,
            terms,
            request.model,
            rows,
            known,
            filtered=request.filtered,
            again=request.again,
            planned=request.plan,
            applied_plan=request.applied_plan or None,
            plan_was_edited=request.plan_was_edited,
            choices=[Choice(each.ordinal, each.policy) for each in request.choices],
            own_addresses_later=request.own_addresses_later,
            without_rows=request.without_rows,
        )
        answer = self._usecases.import_batch(current_caller().silo or "", batch)
        return model_import_pb.ImportBatchResponse(
            rows=() if request.ordinals else map(_row, answer.rows),
            columns=_columns(answer.rows) if request.ordinals and answer.counted is None else None,
            counts=None if answer.counted is None else _counts(answer.counted),
            findings=map(_finding, answer.findings),
            drifted=answer.drifted,
        )

    def CompleteUsers(
        self, request: model_import_pb.CompleteUsersRequest, context: grpc.ServicerContext
    ) -> model_import_pb.CompleteUsersResponse:
        del context
        terms = Terms(_scope(request.scope), merge_users=request.merge_users)
        wanted = UsersToComplete(request.import_id, request.principal, terms, request.after, planned=request.plan)
        done = self._completing.complete_users(current_caller().silo or "", wanted)
        return model_import_pb.CompleteUsersResponse(last=done.last, has_more=done.has_more)

    def UndoRows(
        self, request: model_import_pb.UndoRowsRequest, context: grpc.ServicerContext
    ) -> model_import_pb.UndoRowsResponse:
        del context
        wanted = UndoWanted(
            request.import_id,
            request.principal,
            Terms(_scope(request.scope), merge_users=request.merge_users),
            Phase(request.phase),
            request.model,
            request.after,
            request.through,
            [(each.pk, f"{each.kind} {each.by}") for each in request.referred],
            request.expects_rows,
        )
        done = self._undoing.undo(current_caller().silo or "", wanted)
        staying = [_staying(each) for each in done.staying]
        return model_import_pb.UndoRowsResponse(
            last=done.last, has_more=done.has_more, staying=staying, undone_count=done.in_all
        )

    def FindReferences(
        self, request: model_import_pb.FindReferencesRequest, context: grpc.ServicerContext
    ) -> model_import_pb.FindReferencesResponse:
        del context
        found = self._undoing.find_references(
            current_caller().silo or "", request.import_id, request.model, request.pks
        )
        return model_import_pb.FindReferencesResponse(rows=[_staying(each) for each in found])


def _scope(number: "model_import_pb.ImportBatchRequest.Scope.ValueType") -> ImportScope:
    return ImportScope[model_import_pb.ImportBatchRequest.Scope.Name(number).removeprefix("SCOPE_")]


def _staying(row: StayingRow) -> model_import_pb.StayingRow:
    return model_import_pb.StayingRow(
        ordinal=row.ordinal, old_pk=row.old_pk, new_pk=row.new_pk, kind=row.kind, by=row.by
    )


def _row(row: LedgerRow) -> model_import_pb.ImportBatchResponse.Row:
    return model_import_pb.ImportBatchResponse.Row(
        ordinal=row.ordinal,
        old_pk=row.old_pk,
        new_pk=row.new_pk,
        decision=row.decision,  # type: ignore[arg-type]  # the numbers are the same, a test says so
        suffixed=row.suffixed or "",
    )


def _counts(counted: Counts) -> model_import_pb.ImportBatchResponse.Counts:
    return model_import_pb.ImportBatchResponse.Counts(
        inserted=counted.inserted,
        merged=counted.merged,
        overwritten=counted.overwritten,
        suffixed=counted.suffixed,
    )


def _columns(rows: Sequence[LedgerRow]) -> model_import_pb.ImportBatchResponse.Columns:
    ordinals, old_pks, new_pks, decisions, names = zip(*rows, strict=True) if rows else ((),) * 5
    return model_import_pb.ImportBatchResponse.Columns(
        ordinals=ordinals,
        old_pks=old_pks,
        new_pks=new_pks,
        decisions=decisions,  # the numbers are the same, as in _row
        suffixed={ordinal: name for ordinal, name in zip(ordinals, names, strict=True) if name} if any(names) else {},
    )


def _finding(finding: BatchFinding) -> model_import_pb.ImportBatchResponse.Finding:
    return model_import_pb.ImportBatchResponse.Finding(
        kind=finding.kind,
        ordinal=finding.ordinal,
        old_pk=int(finding.pk or 0),
        field=finding.field,
        reason=finding.reason,
        error=finding.skipped,
    )
