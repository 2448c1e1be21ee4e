"""What stands is the file of its import, but for what the import's rules and findings explain."""

import json

import grpc
import pytest
from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.domain import Scope
from region_silo.imports.options import ImportOptions
from region_silo.verification.domain import Verification
from region_silo.verification.usecases import VerificationUseCases
from shared.errors import ResourceExhausted
from shared.rpc.call import acting
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.doors import Doors
from tests.integration.imports.stack import METHOD, OPERATOR
from tests.integration.verification.verifying import verify
from tests.refusals import refusal_of

_FILE = rows.one_of_each()


@pytest.mark.parametrize(
    ("silo", "statement", "difference"),
    [
        ("region", "UPDATE organization SET name = 'Other'", ("UnequalJSON", "sentry.organization", "1")),
        ("region", "UPDATE project SET name = 'Other'", ("UnequalJSON", "sentry.project", "1")),
        ("region", "UPDATE project SET date_added = now()", ("UnequalJSON", "sentry.project", "1")),
        ("region", "DELETE FROM project_key", ("ROW_GONE", "sentry.projectkey", "1")),
        (
            "region",
            "UPDATE organization_member SET email = 'o@x.org'",
            ("UnequalJSON", "sentry.organizationmember", "1"),
        ),
        ("control", "UPDATE user_account SET name = 'Other'", ("UnequalJSON", "sentry.user", "1")),
        ("control", "DELETE FROM email_address", ("ROW_GONE", "sentry.email", "1")),
        ("control", "DELETE FROM user_email", ("ROW_GONE", "sentry.useremail", "1")),
    ],
)
def test_a_row_that_was_tampered_with_is_told(
    doors: Doors, silo: str, statement: str, difference: tuple[str, str, str]
) -> None:
    done = doors.stack.do_import(_FILE)
    assert verify(doors, done)[0] == []
    doors.stack.change_in(silo, statement)
    assert [each[1:] for each in verify(doors, done)[0]] == [difference[1:]]


def test_a_reference_that_was_moved_is_told(doors: Doors) -> None:
    file = [*_FILE, rows.project(2, 1, "other")]
    done = doors.stack.do_import(file)
    statement = "UPDATE project_key SET project_id = (SELECT id FROM project WHERE slug = 'other')"
    doors.stack.change_in("region", statement)
    assert verify(doors, done)[0] == [("ForeignKeyComparator", "sentry.projectkey", "1")]


def test_a_kept_row_that_was_tampered_with_is_told(doors: Doors) -> None:
    option = {"model": "sentry.option", "pk": 1, "fields": {"key": "a", "value": 1, "last_updated": rows.TIME}}
    done = doors.stack.do_import([option], scope=Scope.CONFIG, caller=OPERATOR)
    assert verify(doors, done)[0] == []
    doors.stack.change_in("region", "UPDATE kept_row SET fields = fields || '{\"value\": true}'")
    assert verify(doors, done)[0] == [("UnequalJSON", "sentry.option", "1")]


def test_what_findings_and_rules_explain_is_counted_and_no_difference(doors: Doors) -> None:
    doors.stack.do_import(_FILE)
    done = doors.stack.do_import(_FILE)
    differences, result = verify(doors, done, "importer")
    assert differences == []
    told = {(each.model, each.field, each.kind, each.rows) for each in result.explanations}
    assert told >= {
        ("sentry.user", "username", "SUFFIXED", 1),
        ("sentry.user", "password", "BY_RULE", 1),
        ("sentry.projectkey", "public_key", "KEY_REPLACED", 1),
        ("sentry.projectkey", "secret_key", "KEY_REPLACED", 1),
        ("sentry.organization", "slug", "BY_RULE", 1),
    }
    assert (result.compared_count, result.merged_count, result.left_out_count) == (len(_FILE) - 1, 1, 0)


def test_a_merged_row_tells_its_importer_nothing_but_that_it_is_there(doors: Doors) -> None:
    doors.stack.do_import(_FILE)
    done = doors.stack.do_import(_FILE)
    seen = list(doors.imported_rows(done.id, "tokens/7", "sentry.email"))
    assert [(row.decision, row.stands, row.fields) for row in seen] == [(2, True, b"")]
    (user,) = doors.imported_rows(done.id, "tokens/7", "sentry.user")
    assert json.loads(user.fields)["password"] == ""


def test_rows_that_were_left_out_are_counted(doors: Doors) -> None:
    bad = {"model": "sentry.team", "pk": 2, "fields": {"organization": 99, "slug": "x", "name": "x"}}
    done = doors.stack.do_import([*_FILE, bad], options=ImportOptions(continue_on_error=True))
    differences, result = verify(doors, done)
    assert differences == []
    assert (result.compared_count, result.merged_count, result.left_out_count) == (len(_FILE), 0, 1)


def test_only_an_import_that_succeeded_and_whose_file_is_there_can_be_verified(doors: Doors) -> None:
    queued = doors.stack.upload(json.dumps(_FILE).encode())
    request = import_pb.VerifyImportRequest(name=queued.name)
    assert _reason(doors, request) == "IMPORT_STATE"
    doors.stack.run(queued.id)
    doors.stack.spool.remove(str(queued.id))
    assert _reason(doors, request) == "SPOOL_MISSING"
    assert _reason(doors, request, "stranger") == "IMPORT_NOT_FOUND"
    assert _reason(doors, request, "reader") == "SCOPE_MISSING"


def _reason(doors: Doors, request: import_pb.VerifyImportRequest, token: str = "operator") -> str:
    with pytest.raises(grpc.RpcError) as caught:
        list(doors.call("VerifyImport", request, token))
    return refusal_of(caught.value).reason


def test_rows_longer_than_a_message_are_compared_whole(doors: Doors) -> None:
    value = "x" * 900_000
    fields = {"key": "long", "value": value, "last_updated": rows.TIME}
    option = {"model": "sentry.controloption", "pk": 1, "fields": fields}
    done = doors.stack.do_import([option], scope=Scope.CONFIG, caller=OPERATOR)
    assert verify(doors, done)[0] == []
    statement = f"UPDATE kept_row SET fields = jsonb_set(fields, '{{value}}', to_jsonb('{value[:-1]}y'::text))"
    doors.stack.change_in("control", statement)
    assert verify(doors, done)[0] == [("UnequalJSON", "sentry.controloption", "1")]


def test_a_control_that_is_away_is_told_and_nothing_is_called_equal(doors: Doors) -> None:
    done = doors.stack.do_import(_FILE)
    doors.control.stop(0)
    assert _reason(doors, import_pb.VerifyImportRequest(name=done.name)) == "PEER_UNREACHABLE"


def test_few_verify_at_one_time_and_places_come_back(doors: Doors) -> None:
    stack = doors.stack
    done = stack.do_import([*_FILE, *(rows.team(pk, 1, f"team-{pk}") for pk in range(2, 1200))])
    verification = VerificationUseCases(stack.region, stack.spool, doors, heartbeat_s=0)
    with acting(OPERATOR, method=METHOD):
        begun = [verification.verify(done.id) for _ in range(2)]
        for each in begun:
            first = next(each)
            assert isinstance(first, Verification)
            assert not first.done
        with pytest.raises(ResourceExhausted):
            next(verification.verify(done.id))
        begun[0].close()
        *_, last = verification.verify(done.id)
        assert isinstance(last, Verification)
        assert (last.done, last.compared + last.merged) == (True, len(_FILE) + 1198)
        begun[1].close()
