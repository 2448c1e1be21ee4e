"""The audit: written with its change or not at all, shown to operators and to an organization's own administrators."""

import uuid
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.common.v1 import audit_service_pb2 as audit_pb

from control_silo.tokens import usecases as tokens
from control_silo.tokens.domain import NewToken
from shared import audit, errors
from shared.audit import store
from shared.cleaner import Cleaner, Task
from shared.database import Transaction
from shared.rpc.call import Caller, acting
from shared.tokens import hash_secret
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, rows
from tests.integration.operators.conftest import Client, Mint

pytestmark = pytest.mark.integration


def listed(client: Client, **given: Any) -> list[Any]:
    answer: Any = client.call(client.audit.ListAuditEntries, audit_pb.ListAuditEntriesRequest(**given))
    return list(answer.audit_entries)


def note(silos: Silos, action: str, organization_id: int | None = None, principal: str = "tokens/1") -> None:
    def work(transaction: Transaction) -> None:
        audit.record(transaction, action=action, target="things/1", organization_id=organization_id)

    with acting(Caller(principal), method="/test", request_id=str(uuid.uuid4())):
        silos.control.transact(work)


def time(moment: Any) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def test_an_entry_is_rolled_back_with_its_change_and_stands_with_it(silos: Silos) -> None:
    new = NewToken(name="ci", audience=("*",), scopes=("org:read",), organization_id=7)

    def broken(transaction: Transaction) -> None:
        tokens.mint(transaction, 41, new)
        raise errors.ProjectExists

    with pytest.raises(errors.ProjectExists):
        silos.control.transact(broken)
    assert rows(silos.control, "SELECT 1 FROM audit_entry") == []
    silos.control.transact(lambda transaction: tokens.mint(transaction, 42, new))
    for _ in range(2):
        silos.control.transact(lambda transaction: tokens.revoke_token(transaction, 42))
    found = rows(silos.control, "SELECT action, target, organization_id, principal FROM audit_entry ORDER BY id")
    assert found == [
        ("token.create", "tokens/42", 7, "machine"),
        ("token.revoke", "tokens/42", 7, "machine"),
    ], "revoking twice is one change"


def test_no_secret_stands_in_the_audit(silos: Silos, mint: Mint) -> None:
    secret = mint(name="ci")
    text = str(rows(silos.control, "SELECT * FROM audit_entry"))
    assert "ci" in text
    assert secret not in text
    assert hash_secret(secret).hex() not in text


def test_entries_are_found_by_organization_principal_action_and_time_newest_first(
    silos: Silos, clock: FakeClock, client: Client
) -> None:
    began = clock.now()
    for number in range(6):
        clock.advance(60)
        note(silos, f"a.{number % 2}", organization_id=number % 3 or None, principal=f"tokens/{number}")
    assert [entry.principal for entry in listed(client, action="a.1")] == ["tokens/5", "tokens/3", "tokens/1"]
    assert [entry.principal for entry in listed(client, organization="organizations/2")] == ["tokens/5", "tokens/2"]
    assert [entry.action for entry in listed(client, principal="tokens/4")] == ["a.0"]
    window = {"start_time": time(began + timedelta(minutes=2)), "end_time": time(began + timedelta(minutes=4))}
    assert [entry.principal for entry in listed(client, **window)] == ["tokens/2", "tokens/1"]
    seen: list[str] = []
    token = ""
    while True:
        request = audit_pb.ListAuditEntriesRequest(page_size=2, page_token=token)
        answer: Any = client.call(client.audit.ListAuditEntries, request)
        seen += [entry.principal for entry in answer.audit_entries]
        token = answer.next_page_token
        if not token:
            break
    assert seen == [*(f"tokens/{number}" for number in range(5, -1, -1)), "machine"]
    turned = audit_pb.ListAuditEntriesRequest(start_time=window["end_time"], end_time=window["start_time"])
    assert client.refused(client.audit.ListAuditEntries, turned).violations[0][0] == "end_time"


def test_an_administrator_sees_its_own_organization_only(silos: Silos, client: Client, mint: Mint) -> None:
    client.secret = mint(scopes=("org:admin",), organization_id=7)
    note(silos, "mine", organization_id=7)
    note(silos, "theirs", organization_id=8)
    note(silos, "the silo's")
    assert [entry.action for entry in listed(client)] == ["mine", "token.create"]
    assert [entry.organization for entry in listed(client)] == ["organizations/7"] * 2
    assert listed(client, organization="organizations/8") == []
    client.secret = mint(scopes=("silo:operate",), organization_id=7)
    assert {entry.organization for entry in listed(client)} == {"organizations/7"}


def test_who_is_neither_an_operator_nor_bound_is_refused(client: Client, mint: Mint) -> None:
    for scopes in (("org:admin",), ("org:read",)):
        client.secret = mint(scopes=scopes)
        told = client.refused(client.audit.ListAuditEntries, audit_pb.ListAuditEntriesRequest())
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_entries_are_kept_for_their_retention(silos: Silos, clock: FakeClock) -> None:
    note(silos, "old")
    clock.advance(timedelta(days=200).total_seconds())
    note(silos, "new")
    clock.advance(timedelta(days=166).total_seconds())
    task = Task("audit", timedelta(days=365), store.clean, store.oldest)
    assert Cleaner(silos.control, [task]).clean_once() == {"audit": 1}
    assert rows(silos.control, "SELECT action FROM audit_entry") == [("new",)]
