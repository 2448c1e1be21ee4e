"""A batch in which nothing is amiss is written by one statement: what stands then is what the whole way would write."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from control_silo.model_imports.targets import target_of as control_target_of
from region_silo.imports.domain import Scope, State
from region_silo.imports.options import ImportOptions
from region_silo.imports.targets import target_of
from region_silo.imports.writer import FileWriter
from shared.errors import Aborted
from shared.importing import batch
from shared.importing.at_once import AtOnce, at_once_of
from shared.importing.batch import RACES_MAX, AmissError, Suspects, retried
from shared.importing.references import Known
from shared.importing.registry import ImportScope, Silo, models
from shared.importing.targets import Target, UniqueSet
from shared.importing.terms import Terms
from siloway_client.export_file import write_export
from tests.genuine_exports import genuine_exports
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import OPERATOR, ImportStack


def _addresses(*addresses: str, user: int = 0) -> bytes:
    """A file of two users with these addresses, of each in turn or all of one."""
    users = [rows.user(number, f"user{number}@example.com") for number in (1, 2)]
    emails = [rows.email(number, address) for number, address in enumerate(addresses[:2], 1)]
    of_users = [rows.user_email(place, user or min(place, 2), address) for place, address in enumerate(addresses, 1)]
    return json.dumps([*users, *emails, *of_users]).encode()


_FILES = {path.stem: path.read_bytes() for path in genuine_exports()[-2:]} | {
    "one of each": json.dumps(rows.one_of_each()).encode(),
    "addresses": _addresses("user1@example.com", "USER2@example.com", "user2@example.com"),
    "other addresses": _addresses("user1@example.com", "other@example.com"),
    "addresses twice": _addresses("user1@example.com", "User1@example.com", user=1),
}
_NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_TERMS = [
    *map(Terms, ImportScope),
    Terms(ImportScope.GLOBAL, overwrite_configs=True),
    Terms(ImportScope.GLOBAL, merge_users=True),
]
_LEDGER = """
    SELECT model, old_pk, decision, ordinal, suffixed, digest IS NULL AS bare FROM import_row
    WHERE import_id = :id AND ordinal > 0 ORDER BY model, ordinal
"""

_COUNTS = "SELECT model, first_ordinal, last_ordinal, counts FROM import_chunk WHERE import_id = :id ORDER BY 1, 2"


def _targets() -> list[Target]:
    return [
        (control_target_of if model.silo is Silo.CONTROL else target_of)(name, terms)
        for terms in _TERMS
        for name, model in models().items()
    ]


@pytest.mark.parametrize("name", _FILES)
def test_both_ways_write_the_same(
    make_stack: Callable[[], ImportStack], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen = []
    for at_once in (True, False):
        if not at_once:
            monkeypatch.setattr(batch, "at_once_of", lambda _target, _known: None)
        stack = make_stack()
        stack.clock.advance((_NOW - stack.clock.now()).total_seconds())
        done = stack.run(stack.upload(_FILES[name]).id)
        assert done.state is State.SUCCEEDED
        told = stack.findings(done.id)
        ledgers = {
            (silo, query): stack.all_in(silo, query, id=done.id)
            for silo in ("control", "region")
            for query in (_LEDGER, _COUNTS)
        }
        seen.append((stack.natural_rows(done.id), ledgers, told, stack.report(done.id).counts))
    assert seen[0] == seen[1]
    assert any(seen[0][1].values())


def test_batches_without_anything_amiss_are_written_by_one_statement(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[str] = []

    def noting(target: Target, known: Known) -> AtOnce | None:
        found = at_once_of(target, known)
        if found is not None:
            tried.append(target.model)
        return found

    monkeypatch.setattr(batch, "at_once_of", noting)
    path = tmp_path / "export.json"
    write_export(path, objects=400, seed=3, organization_slug="plain")
    import_id = stack.upload(path.read_bytes()).id
    assert stack.run(import_id, stack.runner(rows_max=20)).state is State.SUCCEEDED
    for silo, models_of in (
        ("control", ("user", "email", "useremail")),
        ("region", ("organizationmember", "organizationmemberteam")),
    ):
        for model in (f"sentry.{name}" for name in models_of):
            query = "SELECT count(*) FROM import_chunk WHERE model = :model"
            assert tried.count(model) == stack.all_in(silo, query, model=model)[0]["count"] > 1, model


_MEMBERS = "SELECT count(*) AS chunks FROM import_chunk WHERE model = 'sentry.organizationmember'"


def _await_members(stack: ImportStack) -> None:
    ends_at = time.monotonic() + 20
    while stack.all_in("region", _MEMBERS)[0]["chunks"] == 0:
        assert time.monotonic() < ends_at, "no member is written while users are"
        time.sleep(0.01)


def _people(count: int) -> bytes:
    """Members in the order of their users, but for the last one of these, who invited the first member."""
    users = [rows.user(number) for number in range(1, count + 1)]
    members = [rows.member(number, 1, number) for number in range(1, count + 1)]
    members[-2]["fields"]["inviter_id"] = count
    return json.dumps([rows.organization(1), *users, *members]).encode()


def test_members_are_written_while_users_are_that_they_do_not_refer_to(stack: ImportStack) -> None:
    import_id = stack.upload(_people(40)).id

    def before() -> None:
        # The last users are handed over when members of the first ones stand.
        batches = [batch for batch in stack.peer.batches if batch.model == "sentry.user"]
        if len(batches) == 3:
            _await_members(stack)

    stack.peer.before = before
    assert stack.run(import_id, stack.runner(rows_max=10)).state is State.SUCCEEDED
    members = stack.all_in("region", "SELECT user_id, inviter_id FROM organization_member ORDER BY id")
    assert len(members) == 40
    assert all(member["user_id"] for member in members)
    assert [member["inviter_id"] is None for member in members] == [True] * 38 + [False, True]
    assert stack.findings(import_id) == []


def test_a_member_whose_user_is_missing_is_told_of_as_if_all_users_had_been_there_first(stack: ImportStack) -> None:
    file = json.loads(_people(40))
    file = [row for row in file if (row["model"], row["pk"]) != ("sentry.user", 5)]
    import_id = stack.upload(json.dumps(file).encode(), continue_on_error=True).id
    assert stack.run(import_id, stack.runner(rows_max=10)).state is State.SUCCEEDED
    (found,) = stack.findings(import_id)
    assert (found.kind, found.model, found.ordinal, found.field) == (
        "MISSING_REFERENCE",
        "sentry.organizationmember",
        5,
        "user_id",
    )
    assert stack.all_in("region", "SELECT count(*) FROM organization_member")[0]["count"] == 39


def test_a_batch_that_cannot_be_tried_at_once_waits_for_all_that_it_may_refer_to(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = json.loads(_people(40))
    # The users' order lets the first ones reach as far as any member refers.
    import_id = stack.upload(json.dumps([file[0], *reversed(file[1:41]), *file[41:]]).encode()).id
    tried, returned = threading.Event(), threading.Event()
    write_early = FileWriter._write_early

    def noted(writer: FileWriter, model: str, needs: frozenset[str]) -> bool:
        has_written = write_early(writer, model, needs)
        if tried.is_set():
            returned.set()
        return has_written

    def none_for_members(target: Target, known: Known) -> AtOnce | None:
        if target.model == "sentry.organizationmember":
            tried.set()
            return None
        return at_once_of(target, known)

    def before() -> None:
        if len([batch for batch in stack.peer.batches if batch.model == "sentry.user"]) == 3:
            assert returned.wait(20), "no member was tried early"

    stack.peer.before = before
    monkeypatch.setattr(FileWriter, "_write_early", noted)
    monkeypatch.setattr(batch, "at_once_of", none_for_members)
    assert stack.run(import_id, stack.runner(rows_max=10)).state is State.SUCCEEDED
    assert stack.findings(import_id) == []
    assert stack.all_in("region", "SELECT count(*) FROM organization_member")[0]["count"] == 40


@pytest.mark.parametrize("email", ["user1@example.com", ""])
def test_merged_users_get_nothing_that_new_ones_get(stack: ImportStack, email: str) -> None:
    file = [rows.user(1, "user1@example.com", email=email)]
    how: Any = {"scope": Scope.USER, "caller": OPERATOR, "options": ImportOptions(merge_users=True)}
    assert [stack.do_import(file, **how).state for _ in range(2)] == [State.SUCCEEDED] * 2
    counts = stack.all_in("control", "SELECT counts FROM import_chunk ORDER BY import_id")
    assert [(each["counts"]["inserted"], each["counts"]["merged"]) for each in counts] == [(1, 0), (0, 1)]
    assert stack.all_in("control", "SELECT count(*) FROM user_email")[0]["count"] == bool(email)


def test_addresses_that_are_there_are_tried_at_once_in_vain_once_and_then_merged(
    stack: ImportStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def noting(target: Target, known: Known) -> AtOnce | None:
        tried.append(target.model)
        return at_once_of(target, known)

    monkeypatch.setattr(batch, "at_once_of", noting)
    file = json.dumps([rows.email(pk, f"user{pk}@example.com") for pk in range(1, 9)]).encode()
    for decision, tries in ((1, 4), (2, 1)):
        tried.clear()
        how: Any = {"scope": Scope.USER, "caller": OPERATOR}
        done = stack.run(stack.upload(file, **how).id, stack.runner(rows_max=2))
        ledger = "SELECT decision, digest IS NULL AS bare FROM import_row WHERE import_id = :id AND ordinal > 0"
        assert stack.all_in("control", ledger, id=done.id) == [{"decision": decision, "bare": decision == 2}] * 8
        assert tried.count("sentry.email") == tries
    assert stack.all_in("control", "SELECT count(*) FROM email_address")[0]["count"] == 8


def test_what_had_something_amiss_once_goes_the_whole_way_from_then_on() -> None:
    suspects = Suspects()
    tried: list[bool] = []

    def write(at_once: bool) -> str:
        tried.append(at_once)
        if at_once:
            raise AmissError
        return "written"

    assert [retried(write, suspects, (1, "sentry.team")) for _ in range(2)] == ["written"] * 2
    assert tried == [True, False, False]
    assert retried(write, suspects, (2, "sentry.team")) == "written"
    assert tried[3:] == [True, False]


def test_values_that_are_taken_at_once_do_not_count_as_lost_races() -> None:
    tried: list[bool] = []

    def write(at_once: bool) -> str:
        tried.append(at_once)
        raise psycopg.errors.UniqueViolation

    with pytest.raises(Aborted):
        retried(write, Suspects(), "sentry.team")
    assert tried == [True, *[False] * RACES_MAX]


def test_as_many_suspects_are_remembered_as_there_is_room_for() -> None:
    suspects = Suspects()
    for number in range(3000):
        suspects.add(number)
    assert [number in suspects for number in (0, 1999, 2000, 2999)] == [False, False, True, True]


def test_the_database_itself_refuses_what_is_held_wherever_a_batch_is_tried_at_once(stack: ImportStack) -> None:
    query = """
        SELECT pg_get_indexdef(i.indexrelid) AS text, coalesce(pg_get_expr(i.indpred, i.indrelid), '') AS predicate
        FROM pg_index i WHERE i.indisunique AND i.indrelid = to_regclass(:table)
    """
    seen = 0
    for target in (each for each in _targets() if at_once_of(each, Known()) is not None):
        silo = "control" if models()[target.model].silo is Silo.CONTROL else "region"
        indexes = stack.all_in(silo, query, table=target.table)
        for unique in target.unique:
            wanted = f"({_columns(unique)})"
            fitting = [each for each in indexes if f" btree {wanted}" in each["text"]]
            predicates = [_plain(each["predicate"]) for each in fitting]
            only = unique.only.format("") if unique.only else ""
            not_null = f"{unique.subject} IS NOT NULL"
            assert _plain(only.replace(".", "")) in [each.replace(not_null, "").strip() for each in predicates], (
                target.model,
                unique,
                indexes,
            )
            seen += 1
    assert seen > 50


def _columns(unique: UniqueSet) -> str:
    return ", ".join(
        f"lower({column})" if unique.folded and column == unique.subject else column for column in unique.columns
    )


def _plain(condition: str) -> str:
    return " ".join(condition.replace("(", "").replace(")", "").split())
