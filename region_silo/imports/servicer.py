"""ImportService on the wire: messages in and out, nothing decided here."""

from collections.abc import Iterator
from dataclasses import replace

import grpc
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import import_service_pb2_grpc as import_rpc

from region_silo.imports.domain import DataImport, ImportReport, Scope, import_name
from region_silo.imports.life import LifeUseCases
from region_silo.imports.options import ImportOptions
from region_silo.imports.plan_answers import edits_of, list_decisions
from region_silo.imports.plans import PlanUseCases
from region_silo.imports.usecases import ImportUseCases, UploadHeader
from region_silo.imports.watching import Watching
from region_silo.verification.domain import Difference, Verification
from region_silo.verification.usecases import VerificationUseCases
from shared.clock import Clock
from shared.errors import InvalidArgument
from shared.importing.decisions import BatchFinding
from shared.importing.findings import Severity
from shared.rpc import page_token
from shared.rpc.call import current_caller, mutation
from shared.rpc.methods import Budget, Door, Method, Whose
from shared.rpc.wire import stored_status, timestamp

_SERVICE = "/siloway.region.v1.ImportService"
_SCOPES = ("import:write", "silo:operate")
_DOMAIN = "siloway"

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/UploadImport", Door.PUBLIC, _SCOPES, budget=Budget.STREAMS, maximum_s=3000.0, mutating=True),
    Method(f"{_SERVICE}/PlanImport", Door.PUBLIC, _SCOPES, budget=Budget.STREAMS, maximum_s=3000.0, mutating=True),
    Method(f"{_SERVICE}/ListPlanDecisions", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(f"{_SERVICE}/ApplyImport", Door.PUBLIC, _SCOPES, budget=Budget.STREAMS, maximum_s=60.0, mutating=True),
    Method(f"{_SERVICE}/GetUpload", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(f"{_SERVICE}/GetImport", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(f"{_SERVICE}/ListImports", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(f"{_SERVICE}/ListImportFindings", Door.PUBLIC, _SCOPES, whose=Whose.CALLER),
    Method(
        f"{_SERVICE}/WatchImport",
        Door.PUBLIC,
        _SCOPES,
        budget=Budget.STREAMS,
        maximum_s=1800.0,
        whose=Whose.CALLER,
    ),
    Method(
        f"{_SERVICE}/VerifyImport",
        Door.PUBLIC,
        _SCOPES,
        budget=Budget.STREAMS,
        maximum_s=3000.0,
        whose=Whose.CALLER,
    ),
    Method(f"{_SERVICE}/PauseImport", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/ResumeImport", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/CancelImport", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/RetryImport", Door.PUBLIC, _SCOPES, mutating=True),
    Method(f"{_SERVICE}/UndoImport", Door.PUBLIC, _SCOPES, mutating=True),
)

_SEVERITIES = {
    Severity.WARNING: import_pb.ImportFinding.SEVERITY_WARNING,
    Severity.SKIPPED: import_pb.ImportFinding.SEVERITY_SKIPPED,
    Severity.ERROR: import_pb.ImportFinding.SEVERITY_ERROR,
}


class ImportServicer(import_rpc.ImportServiceServicer):
    """Serves the region's imports."""

    def __init__(self, usecases: ImportUseCases, clock: Clock, verification: VerificationUseCases) -> None:
        self._usecases = usecases
        self._verification = verification
        self._life = LifeUseCases(usecases.database, usecases.spool, usecases.wake)
        self._plans = PlanUseCases(usecases.database, usecases.spool, usecases.ids, usecases.wake)
        self._watching = Watching(usecases.get)
        self._clock = clock

    def UploadImport(
        self, request_iterator: Iterator[import_pb.UploadImportRequest], context: grpc.ServicerContext
    ) -> import_pb.DataImport:
        del context
        return self._upload(request_iterator, is_plan=False)

    def PlanImport(
        self, request_iterator: Iterator[import_pb.UploadImportRequest], context: grpc.ServicerContext
    ) -> import_pb.DataImport:
        del context
        return self._upload(request_iterator, is_plan=True)

    def ListPlanDecisions(
        self, request: import_pb.ListPlanDecisionsRequest, context: grpc.ServicerContext
    ) -> import_pb.ListPlanDecisionsResponse:
        del context
        return list_decisions(self._plans, _import_id(request.parent), request)

    def ApplyImport(
        self, request_iterator: Iterator[import_pb.ApplyImportRequest], context: grpc.ServicerContext
    ) -> import_pb.DataImport:
        del context
        first = next(request_iterator, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument.of("header", "must be the first part")
        edits = edits_of(request_iterator)
        return self._message(self._plans.apply(_import_id(first.header.name), mutation(first.header), edits))

    def GetUpload(self, request: import_pb.GetUploadRequest, context: grpc.ServicerContext) -> import_pb.Upload:
        del context
        found = self._usecases.find_upload(request.request_id)
        return import_pb.Upload(
            request_id=found.request_id,
            offset_bytes=found.offset_bytes,
            size_bytes=found.size_bytes,
            sha256=found.sha256,
            name=import_name(found.import_id),
            complete=found.complete,
            expire_time=timestamp(found.expires_at),
        )

    def GetImport(self, request: import_pb.GetImportRequest, context: grpc.ServicerContext) -> import_pb.DataImport:
        del context
        return self._report(self._usecases.get(_import_id(request.name)))

    def ListImports(
        self, request: import_pb.ListImportsRequest, context: grpc.ServicerContext
    ) -> import_pb.ListImportsResponse:
        del context
        digest = page_token.query_digest("imports", current_caller().principal)
        before_id = page_token.decode_number(request.page_token, digest)
        rows_max = page_token.page_size(request.page_size)
        found = self._usecases.page(before_id, rows_max + 1)
        following = page_token.encode((found[rows_max - 1].id,), digest) if len(found) > rows_max else ""
        return import_pb.ListImportsResponse(
            imports=[self._message(each) for each in found[:rows_max]], next_page_token=following
        )

    def ListImportFindings(
        self, request: import_pb.ListImportFindingsRequest, context: grpc.ServicerContext
    ) -> import_pb.ListImportFindingsResponse:
        del context
        digest = page_token.query_digest("findings", request.parent, request.kind)
        after_id = page_token.decode_number(request.page_token, digest) or 0
        rows_max = page_token.page_size(request.page_size)
        found = self._usecases.findings(_import_id(request.parent), request.kind, after_id, rows_max + 1)
        following = page_token.encode((found[rows_max - 1][0],), digest) if len(found) > rows_max else ""
        return import_pb.ListImportFindingsResponse(
            findings=[_finding(each) for _, each in found[:rows_max]], next_page_token=following
        )

    def WatchImport(
        self, request: import_pb.WatchImportRequest, context: grpc.ServicerContext
    ) -> Iterator[import_pb.DataImport]:
        for report in self._watching.watch(_import_id(request.name), context.is_active):
            yield self._report(report)

    def VerifyImport(
        self, request: import_pb.VerifyImportRequest, context: grpc.ServicerContext
    ) -> Iterator[import_pb.VerifyImportResponse]:
        for part in self._verification.verify(_import_id(request.name), context.is_active):
            if isinstance(part, Difference):
                yield import_pb.VerifyImportResponse(difference=_difference(part))
            elif part.done:
                yield import_pb.VerifyImportResponse(result=_verification(part))
            else:
                yield import_pb.VerifyImportResponse(progress=_verification(part))

    def PauseImport(self, request: import_pb.PauseImportRequest, context: grpc.ServicerContext) -> import_pb.DataImport:
        del context
        return self._message(self._life.pause(_import_id(request.name), mutation(request)))

    def ResumeImport(
        self, request: import_pb.ResumeImportRequest, context: grpc.ServicerContext
    ) -> import_pb.DataImport:
        del context
        return self._message(self._life.resume(_import_id(request.name), mutation(request)))

    def CancelImport(
        self, request: import_pb.CancelImportRequest, context: grpc.ServicerContext
    ) -> import_pb.DataImport:
        del context
        return self._message(self._life.cancel(_import_id(request.name), mutation(request)))

    def RetryImport(self, request: import_pb.RetryImportRequest, context: grpc.ServicerContext) -> import_pb.DataImport:
        del context
        on_error = request.continue_on_error if request.HasField("continue_on_error") else None
        return self._message(self._life.retry(_import_id(request.name), mutation(request), on_error))

    def UndoImport(self, request: import_pb.UndoImportRequest, context: grpc.ServicerContext) -> import_pb.DataImport:
        del context
        return self._message(self._life.undo(_import_id(request.name), mutation(request)))

    def _upload(self, parts: Iterator[import_pb.UploadImportRequest], *, is_plan: bool) -> import_pb.DataImport:
        first = next(parts, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument.of("header", "must be the first part")
        made = self._usecases.upload(replace(_header(first.header), is_plan=is_plan), _chunks(parts))
        message = self._message(made)
        message.options.CopyFrom(_options_message(made.options))
        return message

    def _report(self, report: ImportReport) -> import_pb.DataImport:
        message = self._message(report.data_import)
        message.options.CopyFrom(_options_message(report.data_import.options))
        message.recent_objects_per_second = report.pace.objects_per_second
        if report.pace.seconds_left is not None:
            message.seconds_left = report.pace.seconds_left
        for total, counts in report.counts:
            message.models.add(
                model=total.model,
                total=total.rows,
                inserted=counts.inserted,
                merged=counts.merged,
                overwritten=counts.overwritten,
                suffixed=counts.suffixed,
                skipped=counts.skipped,
            )
        for each in report.organizations:
            message.organizations.add(
                organization=f"organizations/{each.id}", base_slug=each.base_slug, slug=each.slug or ""
            )
        return message

    def _message(self, row: DataImport) -> import_pb.DataImport:
        return import_pb.DataImport(
            name=row.name,
            scope=row.scope.value,  # type: ignore[arg-type]  # the numbers are the same, a test says so
            state=row.state.value,  # type: ignore[arg-type]  # as above
            creator=row.principal,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            object_count=row.object_count,
            done_count=row.done_count,
            objects_per_second=row.objects_per_second(self._clock.now()),
            finding_count=row.finding_count,
            error=None if row.error is None else stored_status(row.error),
            create_time=timestamp(row.created_at),
            start_time=timestamp(row.started_at),
            end_time=timestamp(row.ended_at),
            requested_state=0 if row.wanted is None else row.wanted.value,  # type: ignore[arg-type]  # as above
            error_count=row.error_count,
            continue_on_error=row.continue_on_error,
            retry_count=row.tries,
            plan=row.is_plan,
            applied_plan="" if row.plan_id is None else import_name(row.plan_id),
            expire_time=timestamp(row.expires_at),
            undone_count=row.undo.undone_count,
            kept_count=row.undo.kept_count,
        )


def _options(message: import_pb.ImportOptions) -> ImportOptions:
    return ImportOptions(
        merge_users=message.merge_users,
        overwrite_configs=message.overwrite_configs,
        hide_organizations=message.hide_organizations,
        add_to_silo=message.add_to_silo,
        usernames=_names(message.usernames) if message.HasField("usernames") else None,
        organization_slugs=_names(message.organization_slugs) if message.HasField("organization_slugs") else None,
        continue_on_error=message.continue_on_error,
        policies=_policies(message),
    )


def _policies(message: import_pb.ImportOptions) -> tuple[tuple[str, int], ...]:
    """By model, each once; a model that stands twice is refused."""
    chosen = {each.model: int(each.on_conflict) for each in message.policies}
    if len(chosen) < len(message.policies):
        raise InvalidArgument.of("header.options.policies", "a model stands twice")
    return tuple(sorted(chosen.items()))


def _names(message: import_pb.ImportOptions.Filter) -> tuple[str, ...]:
    """Each once; neither their order nor a repetition says anything."""
    return tuple(sorted(set(message.values)))


def _options_message(options: ImportOptions) -> import_pb.ImportOptions:
    def names(values: tuple[str, ...] | None) -> import_pb.ImportOptions.Filter | None:
        return None if values is None else import_pb.ImportOptions.Filter(values=values)

    return import_pb.ImportOptions(
        merge_users=options.merge_users,
        overwrite_configs=options.overwrite_configs,
        hide_organizations=options.hide_organizations,
        add_to_silo=options.add_to_silo,
        usernames=names(options.usernames),
        organization_slugs=names(options.organization_slugs),
        continue_on_error=options.continue_on_error,
        policies=[
            import_pb.ImportOptions.Policy(model=model, on_conflict=policy)  # type: ignore[arg-type]  # as above
            for model, policy in options.policies
        ],
    )


def _header(header: import_pb.UploadImportRequest.Header) -> UploadHeader:
    return UploadHeader(
        Scope(header.scope),
        header.request_id,
        header.size_bytes,
        header.sha256,
        _options(header.options),
        header.offset,
    )


def _chunks(parts: Iterator[import_pb.UploadImportRequest]) -> Iterator[bytes | None]:
    for part in parts:
        kind = part.WhichOneof("part")
        if kind == "header":
            raise InvalidArgument.of("header", "may only be the first part")
        yield part.chunk if kind == "chunk" else None


def _import_id(name: str) -> int:
    return int(name.removeprefix("imports/"))


def _finding(finding: BatchFinding) -> import_pb.ImportFinding:
    return import_pb.ImportFinding(
        kind=finding.kind,
        model=finding.model,
        ordinal=finding.ordinal,
        pk=finding.pk,
        field=finding.field,
        reason=finding.reason,
        skipped=finding.skipped,
        severity=_SEVERITIES[finding.severity],
    )


def _difference(difference: Difference) -> import_pb.ImportDifference:
    return import_pb.ImportDifference(
        kind=difference.kind,
        model=difference.model,
        ordinal=difference.ordinal,
        pk=str(difference.old_pk),
        new_pk=str(difference.new_pk),
        reason=difference.reason,
    )


def _verification(counts: Verification) -> import_pb.ImportVerification:
    return import_pb.ImportVerification(
        compared_count=counts.compared,
        merged_count=counts.merged,
        left_out_count=counts.left_out,
        difference_count=counts.differences,
        explanations=[
            import_pb.ImportVerification.Explanation(model=model, field=field, kind=kind, rows=rows)
            for (model, field, kind), rows in sorted(counts.explanations.items())
        ],
    )
