"""Refs of releases through the public door. Numbers: the acceptance cases and the error table's rows."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from sqlalchemy import text

from shared.database import Transaction
from tests.integration.database.sessions import wait_for_a_blocked_session
from tests.integration.releases.acme import MEMBER, STRANGER, Acme, wire
from tests.integration.releases.refs import (
    Ref,
    add_repository,
    commit_ids,
    counts,
    fetches,
    get_fetch,
    heads,
    ref_set,
    release_at,
    release_name,
    set_refs,
    update,
)
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("repositories")]


Spec = release_pb.CommitSpec


Fetch = commits_pb.CommitFetch


def test_release_case_25_row_15_unknown_repositories_are_all_told_and_nothing_is_written(
    features: RegionFeatures, client: Client
) -> None:
    features.rows("UPDATE repository SET status = 1 WHERE name = 'lib'")
    before = counts(features)
    refs = [Ref(repository=name, commit="a") for name in ("zebra", "app", "lib", "ape")]
    for call in (
        lambda: set_refs(client, "1.0", *refs),
        lambda: update(client, "1.0", refs=ref_set(*refs)),
    ):
        with refused() as found:
            call()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
        assert found[0].fields == [f"refs.refs[{index}].repository" for index in (3, 2, 0)]
        assert "ape, lib, zebra" in found[0].message
    assert counts(features) == before


@pytest.mark.parametrize("commit", ["..b", "a..", "..", "a" * 65 + "..b", "a..".ljust(68, "b"), "a" * 65, " ", "a.. "])
def test_release_row_13_a_side_that_is_empty_or_too_long_is_told_by_index(
    features: RegionFeatures, client: Client, commit: str
) -> None:
    with refused() as found:
        set_refs(client, "1.0", Ref(repository="app", commit="fine"), Ref(repository="app", commit=commit))
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["refs.refs[1].commit"])
    assert counts(features) == [0, 0, 0, 0]


@pytest.mark.parametrize("commit", ["a..b..c", "a...b", "a....b", "..."])
def test_release_row_14_a_range_of_three_parts_or_dots_is_refused(client: Client, commit: str) -> None:
    with refused() as found:
        set_refs(client, "1.0", Ref(repository="app", commit=commit))
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["refs.refs[0].commit"])


def test_release_row_12_no_refs_differ_from_an_empty_set(client: Client) -> None:
    client.update("1.0", commits=[Spec(id="a", repository="app")])
    update(client, "1.0")
    assert commit_ids(client, "1.0") == ["a"]
    with refused() as found:
        set_refs(client, "1.0")
    assert found[0].fields == ["refs.refs"]
    with refused() as found:
        client.release.SetRefs(release_pb.SetRefsRequest(release=release_name("1.0"), request_id=new_id()))
    assert found[0].fields == ["refs"]


def test_release_row_16_an_anonymous_caller_is_unauthenticated(features: RegionFeatures) -> None:
    for call in (
        lambda: set_refs(features.client_of("nobody"), "1.0", Ref(repository="app", commit="a")),
        lambda: update(features.client_of("nobody"), "1.0", refs=ref_set(Ref(repository="app", commit="a"))),
    ):
        with refused() as found:
            call()
        assert (found[0].code, found[0].reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert counts(features) == [0, 0, 0, 0]


def test_release_case_44_ranges_make_all_commits_and_the_last_is_the_head(
    features: RegionFeatures, client: Client
) -> None:
    answer = set_refs(
        client,
        "1.0",
        Ref(repository="app", commit="a..b", previous_commit="ignored"),
        Ref(repository="app", commit="b..c"),
        Ref(repository="app", commit="c..d"),
    )
    assert features.rows("SELECT key FROM commit ORDER BY key") == [("b",), ("c",), ("d",)]
    assert heads(answer.release) == {"app": "d"}
    assert [(ref.commit, ref.previous_commit) for ref in answer.fetch.refs] == [("b", "a"), ("c", "b"), ("d", "c")]


def test_release_case_28_head_commits_do_what_the_matching_refs_do(features: RegionFeatures, client: Client) -> None:
    release_at(features, client, "0.9", 2, Ref(repository="lib", commit="l0"))
    shown = []
    for version, parts in (
        (
            "2.0",
            {
                "refs": ref_set(
                    Ref(repository="app", commit="b", previous_commit="a"), Ref(repository="lib", commit="l1")
                )
            },
        ),
        (
            "3.0",
            {
                "head_commits": commits_pb.HeadCommitSet(
                    head_commits=[
                        commits_pb.HeadCommit(repository="app", current_id="b", previous_id="a"),
                        commits_pb.HeadCommit(repository="lib", current_id="l1"),
                    ]
                )
            },
        ),
    ):
        client.create(version)
        # Only what was there before 2.0 may come before both.
        features.rows("DELETE FROM release_head_commit USING release WHERE release.id = release_id AND version = '2.0'")
        release = update(client, version, **parts)
        (fetch,) = fetches(client, version)
        shown.append((heads(release), [(r.repository, r.commit, r.previous_commit) for r in fetch.refs]))
        assert fetch.previous_release == "organizations/100/releases/0.9"
    assert shown[0] == shown[1] == ({"app": "b", "lib": "l1"}, [("app", "b", "a"), ("lib", "l1", "l0")])


def test_refs_and_head_commits_do_not_go_together(client: Client) -> None:
    with refused() as found:
        update(
            client,
            "1.0",
            refs=ref_set(Ref(repository="app", commit="a")),
            head_commits=commits_pb.HeadCommitSet(),
        )
    assert (found[0].code, found[0].fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["head_commits"])


def test_a_wrong_head_is_told_by_the_name_of_its_own_field(client: Client) -> None:
    with refused() as found:
        update(
            client,
            "1.0",
            head_commits=commits_pb.HeadCommitSet(
                head_commits=[commits_pb.HeadCommit(repository="app", current_id="a..")]
            ),
        )
    assert found[0].fields == ["head_commits.head_commits[0].current_id"]


def test_release_case_29_refs_without_commits_make_one_fetch_from_the_release_before(
    features: RegionFeatures, client: Client
) -> None:
    release_at(features, client, "0.9", 2, Ref(repository="app", commit="old"))
    request_id = new_id()
    answer = [set_refs(client, "1.0", Ref(repository="app", commit="x..new"), request_id=request_id) for _ in range(2)]
    assert answer[0] == answer[1]
    fetch = answer[0].fetch
    assert [each.name for each in fetches(client, "1.0")] == [fetch.name]
    assert get_fetch(client, fetch.name) == fetch
    assert (fetch.state, fetch.release) == (Fetch.STATE_QUEUED, "organizations/100/releases/1.0")
    assert [(ref.commit, ref.previous_commit) for ref in fetch.refs] == [("new", "x")]
    assert fetch.previous_release == "organizations/100/releases/0.9"
    assert fetch.previous_release_reason == "0.9 is the newest earlier release of its projects with a head of app"
    again = update(client, "1.0", refs=ref_set(Ref(repository="app", commit="newer")))
    assert heads(again) == {"app": "newer"}
    assert [ref.previous_commit for ref in fetches(client, "1.0")[0].refs] == ["old"]
    assert len(fetches(client, "1.0")) == 2


def test_release_case_30_refs_with_commits_make_no_fetch_and_win_over_their_heads(client: Client) -> None:
    commits = release_pb.CommitSet(commits=[Spec(id="a", repository="app"), Spec(id="l", repository="lib")])
    release = update(client, "1.0", commits=commits, refs=ref_set(Ref(repository="app", commit="told")))
    assert heads(release) == {"app": "told", "lib": "l"}
    assert commit_ids(client, "1.0") == ["a", "l"]
    assert fetches(client, "1.0") == []
    made = client.release.CreateRelease(
        release_pb.CreateReleaseRequest(
            parent="organizations/acme",
            release=release_pb.Release(version="2.0"),
            projects=["web"],
            request_id=new_id(),
            commits=commits,
            refs=ref_set(Ref(repository="lib", commit="told")),
        )
    )
    assert (heads(made.release), made.release.commit_count) == ({"app": "a", "lib": "told"}, 2)
    assert fetches(client, "2.0") == []


def test_refs_of_a_new_release_are_fetched_and_an_empty_set_of_them_does_nothing(client: Client) -> None:
    def create(version: str, *refs: commits_pb.Ref) -> release_pb.Release:
        answer = client.release.CreateRelease(
            release_pb.CreateReleaseRequest(
                parent="organizations/acme",
                release=release_pb.Release(version=version),
                projects=["web"],
                request_id=new_id(),
                refs=ref_set(*refs),
            )
        )
        return answer.release  # type: ignore[no-any-return]

    assert heads(create("2.0", Ref(repository="app", commit="a"))) == {"app": "a"}
    assert len(fetches(client, "2.0")) == 1
    assert heads(create("2.0")) == {"app": "a"}
    assert len(fetches(client, "2.0")) == 1
    with refused() as found:
        create("3.0", Ref(repository="nothing", commit="a"))
    assert found[0].fields == ["refs.refs[0].repository"]
    assert client.list(query="3.0") == []


def test_an_explicitly_empty_set_clears_commits_and_heads_unless_commits_are_given(client: Client) -> None:
    commits = release_pb.CommitSet(commits=[Spec(id="a", repository="app")])
    set_refs(client, "1.0", Ref(repository="lib", commit="l"), without_fetch=True)
    kept = update(client, "1.0", commits=commits, refs=commits_pb.RefSet())
    assert (heads(kept), kept.commit_count) == ({"app": "a", "lib": "l"}, 1)
    cleared = update(client, "1.0", refs=commits_pb.RefSet())
    assert (heads(cleared), cleared.commit_count, cleared.HasField("last_commit"), list(cleared.authors)) == (
        {},
        0,
        False,
        [],
    )
    assert update(client, "1.0", refs=commits_pb.RefSet()) == cleared
    assert update(client, "1.0", head_commits=commits_pb.HeadCommitSet()) == cleared


def test_heads_alone_are_set_without_a_fetch(features: RegionFeatures, client: Client) -> None:
    before = client.get("1.0").etag
    answer = set_refs(client, "1.0", Ref(repository="app", commit="a"), without_fetch=True)
    assert not answer.HasField("fetch")
    assert (heads(answer.release), answer.release.commit_count) == ({"app": "a"}, 0)
    assert answer.release.etag != before
    assert features.value("SELECT count(*) FROM commit_fetch") == 0


def test_of_repositories_of_one_name_the_newest_active_one_is_meant(features: RegionFeatures, client: Client) -> None:
    newer = add_repository(client, "app", provider="local-git", external_id="1")
    add_repository(client, "app", provider="local-git", external_id="2")
    features.rows("UPDATE repository SET status = 1 WHERE external_id = '2'")
    set_refs(client, "1.0", Ref(repository="app", commit="a"))
    repository_id = features.value("SELECT repository_id FROM release_head_commit")
    assert newer.name == f"organizations/100/repositories/{repository_id}"


def test_release_case_24_who_may_not_change_the_release_sets_no_refs(acme: Acme, client: Client) -> None:
    fetch = set_refs(client, "1.0", Ref(repository="app", commit="a")).fetch
    client.create("hidden", ("api",))
    hidden = set_refs(client, "hidden", Ref(repository="app", commit="a")).fetch
    member = acme.user(MEMBER)
    assert get_fetch(member, fetch.name).name == fetch.name
    before = counts(acme.features)
    absent = [
        wire(lambda: set_refs(member, "absent", Ref(repository="app", commit="b"))),
        wire(lambda: fetches(member, "absent")),
    ]
    seen = [
        wire(lambda: set_refs(member, "hidden", Ref(repository="app", commit="b"))),
        wire(lambda: fetches(member, "hidden")),
    ]
    assert [(code, text.replace("hidden", "absent")) for code, text, _ in seen if text] == [
        (code, text) for code, text, _ in absent
    ]
    with refused() as found:
        get_fetch(member, hidden.name)
    assert (found[0].code, found[0].reason) == (grpc.StatusCode.NOT_FOUND, "COMMIT_FETCH_NOT_FOUND")
    with refused() as found:
        set_refs(acme.user(STRANGER), "1.0", Ref(repository="app", commit="b"))
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"
    assert counts(acme.features) == before


def test_release_row_06_setting_refs_needs_a_scope_that_may_write(features: RegionFeatures) -> None:
    with refused() as found:
        set_refs(features.client_of("reader"), "1.0", Ref(repository="app", commit="a"))
    assert found[0].reason == "SCOPE_MISSING"
    assert heads(set_refs(features.client_of("ci"), "1.0", Ref(repository="app", commit="a")).release) == {"app": "a"}
    assert len(fetches(features.client_of("reader"), "1.0")) == 1


def test_an_update_that_fails_at_its_refs_leaves_nothing(features: RegionFeatures, client: Client) -> None:
    before = client.get("1.0")
    with refused():
        client.release.UpdateRelease(
            release_pb.UpdateReleaseRequest(
                release=release_pb.Release(name=release_name("1.0"), ref="x", release_time=Timestamp(seconds=1)),
                request_id=new_id(),
                commits=release_pb.CommitSet(commits=[Spec(id="a", repository="app")]),
                refs=ref_set(Ref(repository="nothing", commit="a")),
            )
        )
    assert client.get("1.0") == before
    assert counts(features) == [0, 0, 0, 0]
    assert features.value("SELECT count(*) FROM activity") == 0


def test_setting_refs_waits_for_another_writer_and_writers_take_turns(features: RegionFeatures, client: Client) -> None:
    locked, done = threading.Event(), threading.Event()

    def hold(transaction: Transaction) -> None:
        transaction.execute(text("SELECT FROM release FOR UPDATE"))
        locked.set()
        assert done.wait(20)

    with ThreadPoolExecutor(6) as pool:
        holder = pool.submit(features.database.transact, hold)
        assert locked.wait(20)
        waiting = [
            pool.submit(
                set_refs,
                features.client_of("all"),
                "1.0",
                Ref(repository="lib", commit=f"l{n}"),
                Ref(repository="app", commit=f"a{n}"),
            )
            for n in range(4)
        ]
        wait_for_a_blocked_session(features.database)
        done.set()
        holder.result(20)
        answers = [each.result(20) for each in waiting]
    assert len({answer.release.etag for answer in answers}) == 4
    shown = heads(client.get("1.0"))
    assert shown["app"][1:] == shown["lib"][1:]
    assert len(fetches(client, "1.0")) == 4


def test_pages_of_fetches_go_on_where_the_one_before_ended(client: Client) -> None:
    made = [set_refs(client, "1.0", Ref(repository="app", commit=f"c{n}")).fetch.name for n in range(5)]
    shown, token = [], ""
    while True:
        answer = client.release.ListCommitFetches(
            release_pb.ListCommitFetchesRequest(parent=release_name("1.0"), page_size=2, page_token=token)
        )
        shown += [fetch.name for fetch in answer.commit_fetches]
        token = answer.next_page_token
        if not token:
            break
    assert shown == made[::-1]


def test_a_page_of_fetches_with_many_refs_ends_early(client: Client) -> None:
    refs = [Ref(repository="app", commit=f"{n:04}") for n in range(1000)]
    made = [set_refs(client, "1.0", *refs).fetch.name for _ in range(4)][::-1]
    page = client.release.ListCommitFetches(release_pb.ListCommitFetchesRequest(parent=release_name("1.0")))
    assert [fetch.name for fetch in page.commit_fetches] == made[:3]
    rest = client.release.ListCommitFetches(
        release_pb.ListCommitFetchesRequest(parent=release_name("1.0"), page_token=page.next_page_token)
    )
    assert ([fetch.name for fetch in rest.commit_fetches], rest.next_page_token) == (made[3:], "")
