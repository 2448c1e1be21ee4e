"""UndoImport through the region's door, with control behind its own; and what may refer to rows, by the catalogue."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports import undo_store
from region_silo.imports.targets import TABLES, target_of
from shared import errors
from shared.importing.registry import ORGANIZATION, ImportScope, Silo, models, referred_models
from shared.importing.terms import Terms
from shared.importing.undo_handover import UndoWanted
from shared.importing.undo_order import Phase
from tests.integration.imports.doors import USER, Doors, parts
from tests.integration.imports.stack import CALLER, ImportStack
from tests.integration.imports.test_undo import FILE
from tests.integration.imports.undone import contents, settle

State = import_pb.DataImport.State
_OF_NO_IMPORTED_ROW = {
    "activity.deploy_id",
    "activity.group_id",
    "commit.author_id",
    "commit_fetch.previous_release_id",
    "commit_file_change.commit_id",
    "data_import.plan_id",
    "import_before_image.import_id",
    "import_choice.import_id",
    "import_chunk.import_id",
    "import_filter.import_id",
    "import_finding.import_id",
    "import_row.import_id",
    "issue.short_id",
    "issue_history.prev_history_id",
    "issue_history.release_id",
    "issue_link.linked_id",
    "kept_row.import_id",
    "latest_repository_deploy.commit_id",
    "member_retelling.after_id",
    "member_retelling.import_id",
    "member_retelling.through_id",
    "organization.import_id",
    "pull_request.author_id",
    "pull_request_commit.commit_id",
    "release.last_commit_id",
    "release.last_deploy_id",
    "release_commit.commit_id",
    "release_commit.release_id",
    "release_project_environment.last_deploy_id",
}
_BESIDE_ANOTHER = {
    "issue_history.project_id": "the issue's",
    "issue_inbox.project_id": "the issue's",
    "issue_link.project_id": "the issue's",
    "issue_release.project_id": "the issue's",
    "release_commit.repository_id": "the commit's",
    "token.user_id": "control has the token",
}
"""Columns of rows whose parents' columns are looked at."""


def _request(name: str) -> import_pb.UndoImportRequest:
    return import_pb.UndoImportRequest(name=name, request_id=str(uuid.uuid4()))


def _imported(doors: Doors, token: str = "importer") -> str:
    name: str = doors.call("UploadImport", parts(json.dumps(FILE).encode()), token).name
    doors.stack.run(_id(name), doors.runner())
    settle(doors.stack)
    return name


@contextmanager
def _refused_as(reason: str) -> Iterator[None]:
    with pytest.raises(errors.Internal) as caught:
        yield
    assert caught.value.metadata == {"peer_reason": reason}


def _id(name: str) -> int:
    return int(name.removeprefix("imports/"))


@pytest.mark.parametrize("token", ["importer", "user"])
def test_an_import_is_undone_by_its_name_with_control_behind_its_door(doors: Doors, token: str) -> None:
    doors.stack.scopes[USER.principal] = USER.scopes
    settle(doors.stack)
    before = contents(doors.stack)
    name = _imported(doors, token)
    assert doors.refused("UndoImport", _request(name), "stranger").reason == "IMPORT_NOT_FOUND"
    assert doors.refused("UndoImport", _request(name), "reader").reason == "SCOPE_MISSING"
    assert doors.call("UndoImport", _request(name), token).state == State.STATE_UNDOING
    doors.stack.run(_id(name), doors.runner())
    settle(doors.stack)
    found = doors.call("GetImport", import_pb.GetImportRequest(name=name), token)
    told = (found.state, found.undone_count, found.kept_count, found.finding_count)
    assert told == (State.STATE_UNDONE, len(FILE), 0, 0)
    assert contents(doors.stack) == before
    pause = import_pb.PauseImportRequest(name=name, request_id=str(uuid.uuid4()))
    assert doors.refused("PauseImport", pause, token).reason == "IMPORT_STATE"


def test_what_stays_because_of_the_other_silo_is_told_over_the_doors(doors: Doors) -> None:
    name = _imported(doors)
    doors.stack.change_in(
        "control",
        """
        INSERT INTO token (id, secret_hash, name, audience, scopes, organization_id, created_at, version)
        SELECT 9, 'x', 'ci', '{}', '{}', organization_id, now(), 1 FROM organization_mapping
        """,
    )
    doors.stack.change_in("region", "UPDATE organization_member SET role = 'owner' WHERE inviter_id IS NULL")
    doors.call("UndoImport", _request(name))
    doors.stack.run(_id(name), doors.runner())
    findings = doors.call("ListImportFindings", import_pb.ListImportFindingsRequest(parent=name)).findings
    assert {(each.kind, each.model) for each in findings} == {
        ("KEPT_CHANGED", "sentry.organizationmember"),
        ("KEPT_MEMBER", "sentry.user"),
        ("KEPT_WITH_USER", "sentry.useremail"),
        ("KEPT_WITH_USER", "sentry.useroption"),
        ("KEPT_REFERRED", "sentry.organization"),
        ("KEPT_REFERRED", "sentry.email"),
    }
    assert {each.severity for each in findings} == {import_pb.ImportFinding.SEVERITY_WARNING}
    assert all(each.pk and not each.skipped for each in findings)


def test_control_undoes_only_the_asking_regions_imports(doors: Doors) -> None:
    wanted: dict[str, Any] = {"principal": CALLER.principal, "terms": Terms(ImportScope.ORGANIZATION)}
    import_id = _id(_imported(doors))
    for peer, import_of in ((doors.peer("de"), import_id), (doors.peer(), 1)):
        with _refused_as("PEER_REFUSED"):
            peer.undo_rows(UndoWanted(import_of, phase=Phase.BEGIN, **wanted))
        with _refused_as("PEER_REFUSED"):
            peer.find_references(import_of, ORGANIZATION, [1])
    for model in ("sentry.controloption", ORGANIZATION, "nothing"):
        with _refused_as("INVALID_FIELD"):
            doors.peer().undo_rows(UndoWanted(import_id, phase=Phase.UNDO, model=model, through=9, **wanted))
    with _refused_as("INVALID_FIELD"):
        doors.peer().find_references(import_id, "sentry.user", [1])
    doors.stack.change_in("control", "DELETE FROM import_chunk")
    with pytest.raises(errors.UndoTooLate):
        doors.peer().undo_rows(UndoWanted(import_id, phase=Phase.BEGIN, expects_rows=True, **wanted))


def test_the_wire_has_the_numbers_of_phases() -> None:
    for phase in Phase:
        assert model_import_pb.UndoRowsRequest.Phase.Value(f"PHASE_{phase.name}") == phase.value


def test_every_column_that_may_name_an_imported_row_is_looked_at(stack: ImportStack) -> None:
    """A table that is added later must not be forgotten: its columns are foreign keys, or are named in undo_store."""
    statement = """
        SELECT c.table_name || '.' || c.column_name AS name FROM information_schema.columns c
        WHERE c.table_schema = 'public' AND c.data_type = 'bigint' AND c.column_name ~ '_id$'
            AND c.table_name !~ '^(snowflake|outbox|inbox)' AND c.column_name <> 'organization_id'
            AND NOT EXISTS (
                SELECT FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
                WHERE k.contype = 'f' AND k.conrelid = to_regclass(c.table_name) AND a.attname = c.column_name)
    """
    unguarded = {row["name"] for row in stack.all_in("region", statement)}
    assert unguarded == undo_store.LOOKED_AT | _OF_NO_IMPORTED_ROW | _BESIDE_ANOTHER.keys()


def test_what_keeps_rows_of_control_is_about_models_that_the_regions_ledger_has() -> None:
    of_control = {name for name, model in models().items() if model.silo is Silo.CONTROL}
    assert {name for name in of_control if undo_store.references_to_control(name)} <= referred_models()


def test_an_index_begins_with_each_column_by_which_references_are_found(stack: ImportStack) -> None:
    statement = """
        SELECT c.relname || '.' || a.attname AS name FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
        WHERE k.contype = 'f' AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indkey[0] = k.conkey[1])
    """
    for silo in ("region", "control"):
        assert stack.all_in(silo, statement) == []


def test_each_real_table_of_the_region_is_one_of_a_model() -> None:
    real = {
        target_of(name, Terms(ImportScope.GLOBAL)).table
        for name, model in models().items()
        if model.silo is Silo.REGION
    }
    assert real == set(TABLES)
