"""StreamCommits through the public door: whole or not at all, within limits, told by the right index."""

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_service_pb2 as release_pb

from region_silo.releases import commit_stream
from region_silo.releases.commit_stream import CommitPart, StreamMemory, collect
from region_silo.releases.commits import CommitSpec
from shared.errors import LimitExceeded, ResourceExhausted
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Spec = release_pb.CommitSpec
Part = release_pb.StreamCommitsRequest
FINISH = Part(finish=True)


@pytest.fixture(autouse=True)
def release(client: Client) -> release_pb.Release:
    return client.create("1.0").release


def header(mode: int = 1, request_id: str = "") -> Part:
    return Part(
        header=Part.Header(
            release="organizations/acme/releases/1.0",
            mode=mode,  # type: ignore[arg-type]
            request_id=request_id or new_id(),
        )
    )


def part(*specs: release_pb.CommitSpec) -> Part:
    return Part(commits=release_pb.CommitSet(commits=specs))


def numbered(first: int, count: int) -> list[release_pb.CommitSpec]:
    return [
        Spec(id=f"c{n}", repository=f"r{n % 3}", commit_time=Timestamp(seconds=1_700_000_000 + n))
        for n in range(first, first + count)
    ]


def test_parts_are_one_set_in_one_order(client: Client) -> None:
    messages = [header(), part(*numbered(0, 4000)), part(*numbered(8000, 4000)), part(*numbered(4000, 4000)), FINISH]
    answer = client.stream_commits(messages, timeout=60)
    assert (answer.added_count, answer.release.commit_count) == (12_000, 12_000)
    assert client.commit_ids("1.0") == [f"c{n}" for n in reversed(range(12_000))]


def test_a_repeat_cut_into_other_parts_is_the_same_request(client: Client) -> None:
    request_id = new_id()
    specs = numbered(0, 30)
    first = client.stream_commits([header(1, request_id), part(*specs[:10]), part(*specs[10:]), FINISH])
    client.clear_commits("1.0")
    again = client.stream_commits([header(1, request_id), part(*specs[:25]), part(*specs[25:]), FINISH])
    assert again == first
    assert client.commit_ids("1.0") == []
    with refused() as found:
        client.stream_commits([header(1, request_id), part(*specs[:25]), FINISH])
    assert found[0].reason == "REQUEST_ID_REUSED"


def test_release_row_10_violations_count_commits_over_the_whole_stream(
    features: RegionFeatures, client: Client
) -> None:
    bad = (
        (Spec(), "commits.commits[152].id"),
        (Spec(id=" "), "commits.commits[152].id"),
        (Spec(id="a", commit_time=Timestamp(seconds=2**60)), "commits.commits[152].commit_time"),
        (Spec(id="a", patch_set=[release_pb.FileChange(path="p")]), "commits.commits[152].patch_set[0].type"),
    )
    for spec, field in bad:
        with refused() as found:
            client.stream_commits([header(), part(*numbered(0, 150)), part(*numbered(150, 2), spec), FINISH])
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert found[0].fields == [field]
        assert found[0].message.startswith(f"{field}: ")
    assert features.value("SELECT count(*) FROM commit") == 0


def test_a_stream_without_its_last_part_changes_nothing(features: RegionFeatures, client: Client) -> None:
    for end in ([], [Part(finish=False)]):
        with refused() as found:
            client.stream_commits([header(), part(*numbered(0, 5)), *end])
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.ABORTED, "COMMITS_INCOMPLETE")
    assert features.value("SELECT count(*) FROM commit") == 0


def test_the_header_is_first_and_only_first(client: Client) -> None:
    for messages in ([part(*numbered(0, 1)), FINISH], [FINISH], [header(), header(), FINISH], []):
        with refused() as found:
            client.stream_commits(messages)
        assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["header"])


def test_a_client_that_leaves_changes_nothing(features: RegionFeatures, client: Client) -> None:
    sent, gone = threading.Event(), threading.Event()

    def messages() -> Iterator[Part]:
        yield header()
        yield part(*numbered(0, 5))
        sent.set()
        assert gone.wait(20)

    call = client.release.StreamCommits.future(
        messages(), timeout=20, metadata=(("authorization", f"Bearer {client.token}"),)
    )
    assert sent.wait(20)
    call.cancel()
    gone.set()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert client.stream_commits([header(), part(*numbered(9, 1)), FINISH]).release.commit_count == 1
    assert features.rows("SELECT key FROM commit") == [("c9",)]


def test_a_stream_of_nothing_replaces_all_by_nothing(client: Client) -> None:
    client.set_commits("1.0", numbered(0, 3))
    assert client.stream_commits([header(), FINISH]).removed_count == 3


def test_a_stream_has_limits_each_with_its_own_name(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(commit_stream, "STREAM_COMMITS_MAX", 10)
    monkeypatch.setattr(commit_stream, "STREAM_FILE_CHANGES_MAX", 3)
    monkeypatch.setattr(commit_stream, "STREAM_BYTES_MAX", 2000)
    change = release_pb.FileChange(path="p", type=release_pb.FileChange.TYPE_ADDED)
    cases = (
        (part(*numbered(6, 5)), "commits", "10"),
        (part(Spec(id="a", patch_set=[change] * 4)), "file_changes", "3"),
        (part(Spec(id="a", message="m" * 2000)), "bytes", "2000"),
    )
    for message, limit, maximum in cases:
        with refused() as found:
            client.stream_commits([header(), part(*numbered(0, 6)), message, FINISH])
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
        assert found[0].metadata == {"limit": limit, "maximum": maximum}
    assert client.stream_commits([header(), part(*numbered(0, 10)), FINISH]).added_count == 10


def test_the_limits_of_a_stream_are_those_of_the_contract() -> None:
    parts = (CommitPart([CommitSpec("k")] * 10_000, b"x") for _ in range(11))
    with StreamMemory().held() as held, pytest.raises(LimitExceeded):
        collect(parts, held, "commits")
    assert (commit_stream.STREAM_FILE_CHANGES_MAX, commit_stream.STREAM_BYTES_MAX) == (300_000, 32 << 20)


def test_all_streams_together_hold_no_more_than_their_memory_and_give_it_back() -> None:
    memory = StreamMemory(10_000)
    small = [CommitPart([CommitSpec("k")] * 9, b"x" * 100)]
    with memory.held() as one:
        collect(iter(small), one, "commits")
        with memory.held() as two, pytest.raises(ResourceExhausted) as caught:
            collect(iter(small), two, "commits")
        assert caught.value.retry_after_s == 5
    with memory.held() as three:
        assert len(collect(iter(small), three, "commits").specs) == 9
