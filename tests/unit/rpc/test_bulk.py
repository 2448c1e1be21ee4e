"""Long lists are checked by columns, and the verdict is the validation's own."""

from typing import Any

import protovalidate
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from shared.errors import InvalidArgument
from shared.rpc import bulk, validation

Spec = release_pb.CommitSpec
Change = release_pb.FileChange
ADDED = Change.TYPE_ADDED


def request(*odd: Spec, count: int = 500) -> release_pb.SetCommitsRequest:
    specs = [Spec(id=f"c{n}", message="text", commit_time=Timestamp(seconds=n)) for n in range(count)]
    return release_pb.SetCommitsRequest(
        release="organizations/1/releases/1.0",
        mode=1,  # type: ignore[arg-type]
        commits=release_pb.CommitSet(commits=[*specs, *odd]),
        request_id="6f1b0f0e-93c5-4d5c-8d2e-0a4f6f2f7a11",
    )


GOOD = (
    Spec(id="a" * 64, repository="ä" * 200, author_name="n" * 128, author_email="e" * 200),
    Spec(id="b", message="m" * 65_536),
    Spec(id="b", message="ä" * 32_768),
    Spec(id="c", patch_set=[Change(path="p" * 510, type=ADDED)] * 1000),
    Spec(id="d", patch_set=[Change(path="ä", type=Change.TYPE_MODIFIED), Change(path="p", type=Change.TYPE_DELETED)]),
)
BAD = (
    (Spec(), "id"),
    (Spec(id="a" * 65), "id"),
    (Spec(id="a", repository="r" * 201), "repository"),
    (Spec(id="a", message="m" * 65_537), "message"),
    (Spec(id="a", message="ä" * 32_769), "message"),
    (Spec(id="a", author_name="n" * 129), "author_name"),
    (Spec(id="a", author_email="n" * 201), "author_email"),
    (Spec(id="a", patch_set=[Change(path="p", type=ADDED)] * 1001), "patch_set"),
    (Spec(id="a", patch_set=[Change(path="p", type=ADDED), Change(type=ADDED)]), "patch_set[1].path"),
    (Spec(id="a", patch_set=[Change(path="p" * 511, type=ADDED)]), "patch_set[0].path"),
    (Spec(id="a", patch_set=[Change(path="p")]), "patch_set[0].type"),
    (Spec(id="a", patch_set=[Change(path="p", type=9)]), "patch_set[0].type"),  # type: ignore[arg-type]
    (Spec(id="a\0"), "id"),
)


@pytest.mark.parametrize("odd", GOOD)
def test_a_long_list_that_keeps_all_rules_is_cut(odd: Spec) -> None:
    message = request(odd)
    before = message.SerializeToString()
    cut: Any = bulk.shortened(message)
    assert len(cut.commits.commits) == 1
    assert (cut.release, cut.mode, cut.request_id) == (message.release, message.mode, message.request_id)
    assert message.SerializeToString() == before
    validation.check(message)


@pytest.mark.parametrize(("odd", "field"), BAD)
def test_one_wrong_element_is_found_and_told_as_ever(odd: Spec, field: str) -> None:
    message = request(odd, Spec())
    with pytest.raises(InvalidArgument) as caught:
        validation.check(message)
    told = [one.field for one in caught.value.violations]
    assert f"commits.commits[500].{field}" in told
    assert "commits.commits[501].id" in told


def test_what_is_wrong_beside_the_list_is_told_as_ever() -> None:
    message = request()
    message.mode = 0  # type: ignore[assignment]
    message.release = "nothing"
    expected = {one.proto.message for one in protovalidate.Validator().collect_violations(message)}
    with pytest.raises(InvalidArgument) as caught:
        validation.check(message)
    assert {one.description for one in caught.value.violations} == expected
    assert [one.field for one in caught.value.violations] == ["release", "mode"]


def test_a_list_that_is_too_long_is_not_cut() -> None:
    message = request(count=10_001)
    assert bulk.shortened(message) is message
    with pytest.raises(InvalidArgument) as caught:
        validation.check(message)
    assert [one.field for one in caught.value.violations] == ["commits.commits"]


def test_a_short_list_is_left_alone() -> None:
    message = request(count=bulk.BULK_MIN - 1)
    assert bulk.shortened(message) is message
