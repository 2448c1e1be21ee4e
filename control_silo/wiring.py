"""Puts the control silo's `serve` together: servicers behind their doors. `working` does it for `work`."""

from siloway.control.v1 import announcement_service_pb2_grpc as announcement_rpc
from siloway.control.v1 import organization_service_pb2_grpc as organization_rpc
from siloway.control.v1 import reconciliation_service_pb2_grpc as reconciliation_rpc
from siloway.control.v1 import recovery_service_pb2_grpc as recovery_rpc
from siloway.control.v1 import region_service_pb2_grpc as region_rpc
from siloway.control.v1 import slug_reservation_service_pb2_grpc as slug_rpc
from siloway.control.v1 import token_service_pb2_grpc as token_rpc
from siloway.control.v1 import user_service_pb2_grpc as user_rpc
from siloway.internal.v1 import control_callback_service_pb2_grpc as callback_rpc
from siloway.internal.v1 import model_export_service_pb2_grpc as model_export_rpc
from siloway.internal.v1 import model_import_service_pb2_grpc as model_import_rpc

from control_silo.announcements import servicer as announcements
from control_silo.callbacks import servicer as callbacks
from control_silo.callbacks.registry import sending_registry
from control_silo.changes.waiting import ChangeWaiter
from control_silo.deletions.domain import Deletions
from control_silo.doctor.part import ControlPart
from control_silo.model_exports import servicer as model_exports
from control_silo.model_exports.domain import Keeping
from control_silo.model_exports.usecases import ModelExportUseCases, Right
from control_silo.model_imports import servicer as model_imports
from control_silo.model_imports.usecases import ModelImportUseCases
from control_silo.opening import open_control
from control_silo.organizations import servicer as organizations
from control_silo.reconciliation import servicer as reconciliation
from control_silo.recovery import servicer as recovery
from control_silo.recovery.usecases import refuse_lost
from control_silo.regions import servicer as regions
from control_silo.regions.usecases import number_of
from control_silo.settings import ControlSettings
from control_silo.slugs import servicer as slugs
from control_silo.tokens import servicer as tokens
from control_silo.tokens.grants import TokenUseCases
from control_silo.tokens.usecases import authenticator, scopes_of, tokens_of
from control_silo.users import servicer as users
from control_silo.users.usecases import UserUseCases
from shared import silo
from shared.parts import Parts
from shared.rpc.methods import Budget
from shared.rpc.permits import DEFAULT_BUDGETS
from shared.silo import Servicer

PUBLIC_METHODS = (
    *organizations.METHODS,
    *slugs.METHODS,
    *regions.METHODS,
    *tokens.METHODS,
    *users.METHODS,
    *recovery.METHODS,
    *reconciliation.METHODS,
    *announcements.METHODS,
)
INTERNAL_METHODS = (*callbacks.METHODS, *model_imports.METHODS, *model_exports.METHODS)

# A change that waits for its regions holds a thread for up to 10 s, but no database connection. With few permits a
# handful of calls for a region that is down would keep everybody from changing anything in the others.
_PUBLIC_BUDGETS = {**DEFAULT_BUDGETS, Budget.PEERS: 64}


def serve(settings: ControlSettings) -> int:
    """Answer calls until told to stop. Returns the exit code."""
    parts = open_control(settings)
    waiter = ChangeWaiter(parts.database, settings.silo.database_url)
    doors = [
        silo.public_door(
            parts,
            PUBLIC_METHODS,
            public_servicers(parts, waiter, settings.deletions),
            authenticator(parts.database, parts.clock),
            _PUBLIC_BUDGETS,
            sends=sending_registry(),
            doctor=ControlPart(),
        ),
        silo.internal_door(
            parts,
            INTERNAL_METHODS,
            internal_servicers(parts, settings.export_keeping),
            admit=refuse_lost(parts.database),
        ),
    ]
    try:
        return silo.serve(parts, doors)
    finally:
        waiter.close()


def public_servicers(parts: Parts, waiter: ChangeWaiter, deletions: Deletions) -> list[Servicer]:
    """The servicers of the public door."""
    return [
        (
            organization_rpc.add_OrganizationServiceServicer_to_server,
            organizations.OrganizationServicer(parts.database, waiter, deletions),
        ),
        (slug_rpc.add_SlugReservationServiceServicer_to_server, slugs.SlugReservationServicer(parts.database)),
        (region_rpc.add_RegionServiceServicer_to_server, regions.RegionServicer(parts.database)),
        (
            token_rpc.add_TokenServiceServicer_to_server,
            tokens.TokenServicer(TokenUseCases(parts.database, parts.ids)),
        ),
        (user_rpc.add_UserServiceServicer_to_server, users.UserServicer(UserUseCases(parts.database, parts.ids))),
        (
            recovery_rpc.add_RecoveryServiceServicer_to_server,
            recovery.RecoveryServicer(parts.database, sending_registry()),
        ),
        (
            reconciliation_rpc.add_ReconciliationServiceServicer_to_server,
            reconciliation.ReconciliationServicer(parts.database),
        ),
        (
            announcement_rpc.add_AnnouncementServiceServicer_to_server,
            announcements.AnnouncementServicer(parts.database),
        ),
    ]


def internal_servicers(parts: Parts, export_keeping: Keeping) -> list[Servicer]:
    """The servicers of the internal door."""
    return [
        (
            callback_rpc.add_ControlCallbackServiceServicer_to_server,
            callbacks.ControlCallbackServicer(parts.database, wake=parts.waker.wake),
        ),
        (
            model_import_rpc.add_ModelImportServiceServicer_to_server,
            model_imports.ModelImportServicer(_model_imports(parts)),
        ),
        (
            model_export_rpc.add_ModelExportServiceServicer_to_server,
            model_exports.ModelExportServicer(_model_exports(parts, export_keeping)),
        ),
    ]


def _model_imports(parts: Parts) -> ModelImportUseCases:
    database = parts.database
    return ModelImportUseCases(
        database,
        parts.ids,
        scopes_of=lambda principal, at: database.ask(lambda transaction: scopes_of(transaction, principal, at)),
        number_of=lambda region: database.ask(lambda transaction: number_of(transaction, region)),
    )


def _model_exports(parts: Parts, keeping: Keeping) -> ModelExportUseCases:
    database = parts.database
    return ModelExportUseCases(
        database,
        rights_of=lambda principal, at: [
            Right(frozenset(token.scopes), token.organization_id)
            for token in database.ask(lambda transaction: tokens_of(transaction, principal, at))
        ],
        number_of=lambda region: database.ask(lambda transaction: number_of(transaction, region)),
        keeping=keeping,
    )
