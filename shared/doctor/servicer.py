"""DoctorService on the wire, the same in every silo."""

from collections.abc import Iterable
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from siloway.common.v1 import doctor_service_pb2 as doctor_pb
from siloway.common.v1 import doctor_service_pb2_grpc as doctor_rpc

from shared import requests
from shared.database import Database
from shared.doctor.domain import (
    AGE_MIN,
    Agreed,
    IdPlace,
    Opened,
    OrganizationRecord,
    Repaired,
    TokenRecord,
    When,
)
from shared.doctor.part import SiloPart
from shared.doctor.usecases import DoctorUseCases, key_texts
from shared.outbox.domain import CHANNEL
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method
from shared.rpc.wire import timestamp

_SERVICE = "/siloway.common.v1.DoctorService"
_OPERATE = ("silo:operate",)
_AGREE_MAX_S = 600.0

METHODS = (
    Method(f"{_SERVICE}/ListChecks", Door.PUBLIC, _OPERATE, while_closed=True),
    Method(f"{_SERVICE}/ListFindings", Door.PUBLIC, _OPERATE, while_closed=True),
    Method(f"{_SERVICE}/RepairFindings", Door.PUBLIC, _OPERATE, mutating=True, while_closed=True),
    Method(f"{_SERVICE}/ListOrganizationRecords", Door.PUBLIC, _OPERATE, while_closed=True),
    Method(f"{_SERVICE}/ListTokenRecords", Door.PUBLIC, _OPERATE, while_closed=True),
    Method(f"{_SERVICE}/GetRestoration", Door.PUBLIC, _OPERATE, while_closed=True),
    Method(f"{_SERVICE}/AgreeOnEpoch", Door.PUBLIC, _OPERATE, maximum_s=_AGREE_MAX_S, mutating=True, while_closed=True),
    Method(f"{_SERVICE}/EndRestoration", Door.PUBLIC, _OPERATE, mutating=True, while_closed=True),
)

_WHEN = {When.ALWAYS: doctor_pb.Check.WHEN_ALWAYS, When.QUIET: doctor_pb.Check.WHEN_QUIET}


class DoctorServicer(doctor_rpc.DoctorServiceServicer):
    """Serves the database of one silo."""

    def __init__(self, database: Database, part: SiloPart) -> None:
        self._database = database
        self._doctor = DoctorUseCases(part)

    def ListChecks(
        self, request: doctor_pb.ListChecksRequest, context: grpc.ServicerContext
    ) -> doctor_pb.ListChecksResponse:
        del request, context
        return doctor_pb.ListChecksResponse(
            checks=[
                doctor_pb.Check(
                    id=check.id, description=check.says, when=_WHEN[check.when], repairable=check.is_repairable
                )
                for check in self._doctor.checks
            ]
        )

    def ListFindings(
        self, request: doctor_pb.ListFindingsRequest, context: grpc.ServicerContext
    ) -> doctor_pb.ListFindingsResponse:
        del context
        age_min = _age(request.age_min if request.HasField("age_min") else None)
        looked, token = self._database.read(
            lambda transaction: self._doctor.find(
                transaction, request.check, page_size=request.page_size, token=request.page_token, age_min=age_min
            )
        )
        findings = [doctor_pb.Finding(key=key, description=says) for key, says in key_texts(looked)]
        return doctor_pb.ListFindingsResponse(findings=findings, row_count=looked.row_count, next_page_token=token)

    def RepairFindings(
        self, request: doctor_pb.RepairFindingsRequest, context: grpc.ServicerContext
    ) -> doctor_pb.RepairFindingsResponse:
        del context
        age_min = _age(request.age_min if request.HasField("age_min") else None)
        asked = mutation(request)
        done = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Repaired,
                lambda: self._doctor.repair(
                    transaction, request.check, list(request.keys), age_min=age_min, request_id=asked.request_id
                ),
            )
        )
        self._wake()
        return doctor_pb.RepairFindingsResponse(repaired_keys=done.repaired, gone_keys=done.gone, left_keys=done.left)

    def ListOrganizationRecords(
        self, request: doctor_pb.ListOrganizationRecordsRequest, context: grpc.ServicerContext
    ) -> doctor_pb.ListOrganizationRecordsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: self._doctor.organizations(
                transaction, request.region, page_size=request.page_size, token=request.page_token
            )
        )
        return doctor_pb.ListOrganizationRecordsResponse(
            records=[_organization(record) for record in page], next_page_token=token
        )

    def ListTokenRecords(
        self, request: doctor_pb.ListTokenRecordsRequest, context: grpc.ServicerContext
    ) -> doctor_pb.ListTokenRecordsResponse:
        del context
        page, token = self._database.read(
            lambda transaction: self._doctor.tokens(
                transaction, request.region, page_size=request.page_size, token=request.page_token
            )
        )
        return doctor_pb.ListTokenRecordsResponse(records=[_token(record) for record in page], next_page_token=token)

    def GetRestoration(
        self, request: doctor_pb.GetRestorationRequest, context: grpc.ServicerContext
    ) -> doctor_pb.Restoration:
        del request, context
        life = self._database.read(self._doctor.life)
        return doctor_pb.Restoration(
            silo=life.silo,
            epoch=life.epoch,
            restore_time=timestamp(life.restored_at),
            id_marks=_places(life.marks),
            highest_ids=_places(life.highest),
            peers=[
                doctor_pb.PeerEpoch(silo=peer.silo, epoch=peer.epoch, agree_time=timestamp(peer.agreed_at))
                for peer in life.peers
            ],
            waiting_message_count=life.waiting,
        )

    def AgreeOnEpoch(
        self, request: doctor_pb.AgreeOnEpochRequest, context: grpc.ServicerContext
    ) -> doctor_pb.AgreeOnEpochResponse:
        del context
        asked = mutation(request)
        done = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Agreed,
                lambda: self._doctor.agree(
                    transaction, peer=request.peer, epoch=request.epoch, request_id=asked.request_id
                ),
            )
        )
        self._wake()
        return doctor_pb.AgreeOnEpochResponse(resent_count=done.resent)

    def EndRestoration(
        self, request: doctor_pb.EndRestorationRequest, context: grpc.ServicerContext
    ) -> doctor_pb.EndRestorationResponse:
        del context
        asked = mutation(request)
        seen = [IdPlace(place.layout, place.number, place.position) for place in request.seen]
        done = self._database.transact(
            lambda transaction: requests.once(
                transaction,
                asked,
                Opened,
                lambda: self._doctor.open(transaction, seen=seen, request_id=asked.request_id),
            )
        )
        return doctor_pb.EndRestorationResponse(id_marks=_places(done.marks))

    def _wake(self) -> None:
        if self._database.wake is not None:
            self._database.wake(CHANNEL)


def _age(given: Duration | None) -> timedelta:
    return AGE_MIN if given is None else given.ToTimedelta()


def _organization(record: OrganizationRecord) -> doctor_pb.OrganizationRecord:
    return doctor_pb.OrganizationRecord(
        organization_id=record.organization_id,
        region=record.region,
        slug=record.slug,
        primary_slug=record.primary_slug,
        fence_version=record.fence_version,
        version=record.version,
        display_name=record.name,
        state=record.state,
        change_set=record.change_set,
        in_flight=record.in_flight,
        purge_time=timestamp(record.purge_at),
    )


def _token(record: TokenRecord) -> doctor_pb.TokenRecord:
    return doctor_pb.TokenRecord(
        token_id=record.token_id, version=record.version, revoked=record.revoked, in_flight=record.in_flight
    )


def _places(places: Iterable[IdPlace]) -> list[doctor_pb.IdPlace]:
    return [doctor_pb.IdPlace(layout=each.layout, number=each.number, position=each.position) for each in places]
