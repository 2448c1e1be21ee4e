"""Control believes a region in nothing that it knows itself, and writes each row once."""

import json
from typing import Any

import pytest

from shared import errors
from shared.importing.decisions import Counts
from shared.importing.handover import HandedBatch, KnownRow
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms
from tests.integration.imports import rows_of_files as rows
from tests.integration.imports.stack import ImportStack
from tests.unit.importing.rows_of import handed_row


def _batch(stack: ImportStack, objects: list[dict[str, Any]], *, first: int = 1, **changes: Any) -> HandedBatch:
    given: dict[str, Any] = {
        "import_id": stack.ids["us"].take(1)[0],
        "principal": "tokens/7",
        "terms": Terms(ImportScope.ORGANIZATION),
        "model": "sentry.user",
        "rows": [handed_row(first + place, json.dumps(each).encode()) for place, each in enumerate(objects)],
        **changes,
    }
    return HandedBatch(**given)


def _usernames(stack: ImportStack) -> list[str]:
    return [row["username"] for row in stack.all_in("control", "SELECT username FROM user_account ORDER BY id")]


@pytest.mark.parametrize(
    ("region", "changes", "refusal"),
    [
        ("de", {}, errors.PeerRefused),
        ("fr", {}, errors.PeerRefused),
        ("us", {"import_id": 5}, errors.PeerRefused),
        ("us", {"principal": "tokens/404"}, errors.ScopeMissing),
        ("us", {"terms": Terms(ImportScope.USER)}, errors.ScopeMissing),
        ("us", {"terms": Terms(ImportScope.GLOBAL)}, errors.ScopeMissing),
        ("us", {"terms": Terms(ImportScope.ORGANIZATION, merge_users=True)}, errors.ScopeMissing),
        ("us", {"model": "sentry.organization"}, errors.InvalidArgument),
        ("us", {"model": "sentry.apitoken"}, errors.InvalidArgument),
        ("us", {"known": [KnownRow("sentry.user", 1, 2)]}, errors.InvalidArgument),
        ("us", {"known": [KnownRow("sentry.organization", 1, 2)]}, errors.PeerRefused),
    ],
)
def test_what_is_not_allowed_is_refused_and_writes_nothing(
    stack: ImportStack, region: str, changes: dict[str, Any], refusal: type[errors.ServiceError]
) -> None:
    with pytest.raises(refusal):
        stack.model_imports.import_batch(region, _batch(stack, [rows.user(1)], **changes))
    assert _usernames(stack) == []
    assert stack.all_in("control", "SELECT model FROM import_chunk") == []


def test_an_operator_may_import_users_alone(stack: ImportStack) -> None:
    batch = _batch(stack, [rows.user(1)], principal="tokens/8", terms=Terms(ImportScope.USER))
    assert len(stack.model_imports.import_batch("us", batch).rows) == 1


def test_rows_with_a_gap_are_refused(stack: ImportStack) -> None:
    with pytest.raises(errors.InvalidArgument):
        stack.model_imports.import_batch("us", _batch(stack, [rows.user(1)], first=2))
    gap = [handed_row(1, json.dumps(rows.user(1)).encode()), handed_row(3, json.dumps(rows.user(2)).encode())]
    with pytest.raises(errors.InvalidArgument):
        stack.model_imports.import_batch("us", _batch(stack, [], rows=gap))
    assert _usernames(stack) == []


def test_rows_that_a_filter_leaves_out_may_be_missing_but_the_order_stays(stack: ImportStack) -> None:
    users = {pk: handed_row(pk, json.dumps(rows.user(pk)).encode()) for pk in (3, 7, 9)}
    first = _batch(stack, [], rows=[users[3], users[7]], filtered=True)
    for _ in range(2):
        answer = stack.model_imports.import_batch("us", first)
        assert [(row.ordinal, row.old_pk) for row in answer.rows] == [(3, 3), (7, 7)]
    later = _batch(stack, [], rows=[users[7], users[9]], filtered=True, import_id=first.import_id)
    assert [row.ordinal for row in stack.model_imports.import_batch("us", later).rows] == [7, 9]
    assert len(_usernames(stack)) == 3
    for wrong in ([users[7], users[3]], [users[3], users[3]]):
        with pytest.raises(errors.InvalidArgument):
            stack.model_imports.import_batch("us", _batch(stack, [], rows=wrong, filtered=True))


def test_rows_that_stand_are_answered_from_store_in_any_size_of_batch(stack: ImportStack) -> None:
    users = [rows.user(pk) for pk in range(1, 7)]
    users[2] = {**users[2], "pk": "bad"}
    first = _batch(stack, users[:4])
    answer = stack.model_imports.import_batch("us", first)
    assert [(row.ordinal, row.old_pk) for row in answer.rows] == [(1, 1), (2, 2), (4, 4)]
    assert [(each.kind, each.ordinal) for each in answer.findings] == [("INVALID_PK", 3)]

    wider = stack.model_imports.import_batch("us", _batch(stack, users, import_id=first.import_id))
    assert list(wider.rows)[:3] == list(answer.rows)
    assert [row.old_pk for row in wider.rows] == [1, 2, 4, 5, 6]
    assert list(wider.findings) == list(answer.findings)
    narrower = stack.model_imports.import_batch("us", _batch(stack, users[1:3], first=2, import_id=first.import_id))
    assert [row.old_pk for row in narrower.rows] == [2]
    assert [each.ordinal for each in narrower.findings] == [3]
    assert len(_usernames(stack)) == 5


def test_without_rows_the_batchs_own_rows_are_counted_in_any_size_of_batch(stack: ImportStack) -> None:
    users = {pk: handed_row(pk, json.dumps(rows.user(pk)).encode()) for pk in range(1, 7)}
    users[3] = handed_row(3, json.dumps({**rows.user(3), "pk": "bad"}).encode())
    how: dict[str, Any] = {"import_id": stack.ids["us"].take(1)[0], "without_rows": True}

    def counted(*ordinals: int, **more: Any) -> Counts:
        batch = _batch(stack, [], rows=[users[each] for each in ordinals], **how, **more)
        answer = stack.model_imports.import_batch("us", batch)
        assert (list(answer.rows), [each.ordinal for each in answer.findings]) == ([], [3] if 3 in ordinals else [])
        assert answer.counted == answer.counts(len(ordinals))
        return answer.counts(len(ordinals))

    assert counted(1, 2, 3, 4) == Counts(inserted=3, skipped=1)
    assert counted(1, 2, 3, 4, 5) == Counts(inserted=4, skipped=1), "some stand, some are new"
    assert counted(2, 3) == Counts(inserted=1, skipped=1)
    assert counted(1, 4, filtered=True) == Counts(inserted=2), "those between are not meant"
    assert counted(1, 3, 4, again=True) == Counts(inserted=2, skipped=1)
    assert len(_usernames(stack)) == 4


def test_a_batch_without_a_good_row_has_a_chunk_and_findings(stack: ImportStack) -> None:
    batch = _batch(stack, [{**rows.user(1), "pk": 0}])
    for _ in range(2):
        answer = stack.model_imports.import_batch("us", batch)
        assert (list(answer.rows), [each.kind for each in answer.findings]) == ([], ["INVALID_PK"])
    assert len(stack.all_in("control", "SELECT model FROM import_chunk")) == 1
