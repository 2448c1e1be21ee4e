"""Issues one by one through the public door: made, read, listed, resolved, opened again, out of the inbox."""

import grpc
import pytest
from siloway.region.v1 import issue_service_pb2 as issue_pb
from siloway.region.v1 import repository_service_pb2 as repository_pb

from tests.integration.issues.desk import Desk, State, Told, Type
from tests.integration.releases.acme import MEMBER, STRANGER, Acme, wire
from tests.refusals import refused
from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

pytestmark = pytest.mark.integration

Inbox = issue_pb.RemoveIssueFromInboxRequest
NEXT, IN = Type.TYPE_IN_NEXT_RELEASE, Type.TYPE_IN_RELEASE


def test_issues_of_a_project_are_counted_and_found_by_id_and_short_id(features: RegionFeatures, desk: Desk) -> None:
    features.add_project("my-app")
    issues = [desk.create(f"issue {n}") for n in range(33)]
    assert [issue.short_id for issue in issues][:3] == ["WEB-1", "WEB-2", "WEB-3"]
    assert issues[-1].short_id == "WEB-11"
    other = desk.create(project="my-app")
    assert other.short_id == "MY-APP-1"
    for name in (other.name, "organizations/acme/issues/MY-APP-1", "organizations/100/issues/my-app-1"):
        assert desk.get(name) == other
    assert other.state == State.STATE_UNRESOLVED
    assert desk.history(other) == [(0, None, None, None)]


def test_every_field_of_an_issue_comes_back(client: Client, desk: Desk) -> None:
    client.create("1.0")
    made = desk.create("x" * 1000, first_release="organizations/acme/releases/1.0")
    given = issue_pb.Issue(title="later")
    given.first_seen_time.FromSeconds(1_700_000_000)
    given.last_seen_time.FromSeconds(1_700_000_100)
    later = desk.create(given.title, first_seen_time=given.first_seen_time, last_seen_time=given.last_seen_time)
    assert made.first_release == "organizations/100/releases/1.0"
    assert (later.first_seen_time, later.last_seen_time) == (given.first_seen_time, given.last_seen_time)
    assert desk.listed() == ["WEB-1", "WEB-2"], "by when they were first seen"


def test_what_cannot_be_an_issue_is_refused_by_field(desk: Desk) -> None:
    with refused() as found:
        desk.create(" ")
    assert found[0].fields == ["issue.title"]
    with refused() as found:
        desk.create("a\0b")
    assert found[0].fields == ["issue.title"]
    with refused() as found:
        desk.create(first_release="organizations/acme/releases/9.9")
    assert found[0].reason == "RELEASE_NOT_FOUND"
    for name in ("WEB-9", "nonsense", "12345"):
        with refused() as found:
            desk.get(f"organizations/acme/issues/{name}")
        assert (found[0].reason, found[0].code) == ("ISSUE_NOT_FOUND", grpc.StatusCode.NOT_FOUND)
        assert found[0].resource == ("siloway/Issue", f"organizations/100/issues/{name}")


def test_lists_are_filtered_and_paged(features: RegionFeatures, client: Client, desk: Desk) -> None:
    features.add_project("api")
    issues = [desk.create() for _ in range(5)] + [desk.create(project="api")]
    client.create("1.0")
    desk.resolve(issues[0], IN, "1.0")
    desk.leave_inbox(issues[1])
    assert desk.listed() == ["API-1", "WEB-5", "WEB-4", "WEB-3", "WEB-2", "WEB-1"]
    assert desk.listed(project="api") == ["API-1"]
    assert desk.listed(state=State.STATE_RESOLVED) == ["WEB-1"]
    assert desk.listed(inbox_only=True, project="web") == ["WEB-5", "WEB-4", "WEB-3"]
    assert desk.listed(resolved_in_release="organizations/acme/releases/1.0") == ["WEB-1"]
    assert desk.listed(resolved_in_release="organizations/100/releases/1.0") == ["WEB-1"]
    desk.features.add_organization(200, "globex")
    with refused() as of_another:
        desk.listed(resolved_in_release="organizations/globex/releases/1.0")
    assert of_another[0].fields == ["resolved_in_release"]
    found: list[str] = []
    token = ""
    while True:
        request = issue_pb.ListIssuesRequest(parent="organizations/acme", page_size=2, page_token=token)
        page = client.issue.ListIssues(request)
        found += [issue.short_id for issue in page.issues]
        token = page.next_page_token
        if not token:
            break
    assert found == desk.listed()


def test_resolving_now_and_opening_again(desk: Desk) -> None:
    issue = desk.create()
    desk.link_tracker(issue, title="there", url="https://tracker/OPS-1")
    done = desk.resolve(issue)
    assert (done.state, done.in_inbox, done.HasField("resolution")) == (State.STATE_RESOLVED, False, False)
    assert desk.resolve(issue) == done, "it stays as it is"
    opened = desk.reopen(issue)
    assert (opened.state, opened.HasField("resolve_time")) == (State.STATE_UNRESOLVED, False)
    desk.reopen(issue)
    assert desk.told(issue) == [Told.TYPE_SET_RESOLVED, Told.TYPE_SET_UNRESOLVED]
    assert [(row[0], row[3]) for row in desk.history(issue)] == [(0, None), (1, 0), (0, 1)]
    assert desk.syncs() == [("OPS-1", True, ""), ("OPS-1", False, "")]


def test_resolving_in_a_release_takes_one_of_the_project(features: RegionFeatures, client: Client, desk: Desk) -> None:
    features.add_project("api")
    issue = desk.create()
    with refused() as found:
        desk.resolve(issue, NEXT)
    assert found[0].reason == "PROJECT_WITHOUT_RELEASE"
    client.create("1.0", ("api",))
    with refused() as found:
        desk.resolve(issue, IN, "1.0")
    assert found[0].reason == "RELEASE_NOT_FOUND"
    with refused() as found:
        desk.resolve(issue, IN)
    assert found[0].fields == ["version"]
    with refused() as found:
        desk.resolve(issue, NEXT, "1.0")
    assert found[0].fields == ["version"]
    client.create("1.0")
    done = desk.resolve(issue, IN, "1.0")
    assert done.resolution.release == "organizations/100/releases/1.0"
    assert desk.history(issue)[-1] == (11, None, "1.0", 0)
    assert desk.get(desk.reopen(issue)).HasField("resolution") is False


def test_a_repeated_request_resolves_once(desk: Desk) -> None:
    issue = desk.create()
    request_id = new_id()
    first = desk.resolve(issue, request_id=request_id)
    desk.reopen(issue)
    assert desk.resolve(issue, request_id=request_id) == first
    assert desk.get(issue).state == State.STATE_UNRESOLVED


def test_release_case_48_a_review_by_a_user_is_told_and_nothing_else_is(desk: Desk) -> None:
    desk.member(7)
    ann = desk.as_user(7)
    issue = desk.create()
    assert not ann.leave_inbox(issue, Inbox.ACTION_MARK_REVIEWED).in_inbox
    (told,) = desk.activities(issue)
    assert (told.type, told.user) == (Told.TYPE_MARK_REVIEWED, "users/7")
    assert desk.history(issue)[-1] == (10, 7, None, None)
    before = desk.everything()
    ann.leave_inbox(issue, Inbox.ACTION_MARK_REVIEWED)
    assert desk.everything() == before, "it was not there any more"
    for number, (who, action) in enumerate(
        [(ann, Inbox.ACTION_RESOLVED), (ann, Inbox.ACTION_UNSPECIFIED), (desk, Inbox.ACTION_MARK_REVIEWED)]
    ):
        other = desk.create(f"issue {number}")
        assert not who.leave_inbox(other, action).in_inbox
        assert desk.told(other) == []
        assert desk.history(other) == [(0, None, None, None)]


def test_what_a_user_may_not_see_is_not_there(acme: Acme) -> None:
    desk = Desk(acme.features)
    seen, unseen = desk.create(), desk.create(project="api")
    member = desk.as_user(MEMBER)
    assert member.get(seen) == seen
    assert member.listed() == ["WEB-1"]
    missing = issue_pb.Issue(name=unseen.name)
    acme.features.rows("UPDATE organization SET flags = 0 WHERE id = 100")
    there = [
        wire(call)
        for call in (
            lambda: member.get(missing),
            lambda: member.resolve(missing),
            lambda: member.reopen(missing),
            lambda: member.leave_inbox(missing),
            lambda: member.link_tracker(missing),
            lambda: member.activities(missing),
        )
    ]
    acme.features.rows("UPDATE issue SET status = 4 WHERE id = :id", id=int(unseen.name.rpartition("/")[2]))
    gone = [wire(lambda: member.get(missing)), wire(lambda: member.resolve(missing))]
    assert there[:2] == gone
    assert {refusal[0] for refusal in there} == {grpc.StatusCode.NOT_FOUND}
    with refused() as found:
        desk.as_user(STRANGER).get(seen)
    assert found[0].reason == "ORGANIZATION_NOT_FOUND"


def test_pull_requests_are_brought_up_to_date_and_listed(features: RegionFeatures, client: Client, desk: Desk) -> None:
    repository = desk.add_repository("shop")
    first = desk.set_pull_request(
        repository,
        "17",
        title="A title",
        message="A text",
        author_name="Ann",
        author_email="Ann@x.org",
        commit_ids=["b", "a", "a"],
    )
    assert (first.title, first.author_name, first.author_email) == ("A title", "Ann", "ann@x.org")
    assert sorted(first.commit_ids) == ["a", "b"]
    second = desk.set_pull_request(repository, "17", merge_commit_id="m", author_email="ann@x.org")
    assert (second.title, second.message, second.author_name) == ("A title", "A text", "Ann")
    assert (second.merge_commit_id, sorted(second.commit_ids)) == ("m", ["a", "b"])
    assert list(desk.set_pull_request(repository, "17", commit_ids=["c"]).commit_ids) == ["c"]
    for key in ("18", "19"):
        desk.set_pull_request(repository, key)
    found: list[str] = []
    token = ""
    while True:
        page = client.repository.ListPullRequests(
            repository_pb.ListPullRequestsRequest(
                parent=f"organizations/acme/repositories/{repository}", page_size=2, page_token=token
            )
        )
        found += [each.key for each in page.pull_requests]
        token = page.next_page_token
        if not token:
            break
    assert found == ["19", "18", "17"]
    features.add_organization(200, "other")
    for name in (repository + 1000, desk.add_repository("theirs", 200)):
        with refused() as refusals:
            desk.set_pull_request(name, "1")
        assert refusals[0].reason == "REPOSITORY_NOT_FOUND"


def test_a_pull_request_that_fixes_another_issue_moves_its_link(desk: Desk) -> None:
    first, second = desk.create(), desk.create()
    repository = desk.add_repository("shop")
    desk.set_pull_request(repository, "1", title="fixes WEB-1")
    desk.set_pull_request(repository, "1", title="fixes WEB-2")
    assert (len(desk.get(first).links), len(desk.get(second).links)) == (0, 1)
    with refused() as found:
        desk.set_pull_request(repository, " ")
    assert found[0].fields == ["pull_request.key"]
