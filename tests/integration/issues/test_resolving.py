"""What releases do to issues, through the public door. Numbers: the acceptance cases of spec/releases.md section 5."""

import pytest

from region_silo.issues.mentions import to_digits
from tests.integration.issues.desk import Desk, Spec, State, Told, Type, id_of
from tests.region_client import Client
from tests.region_features import RegionFeatures
from tests.statements import counted

pytestmark = pytest.mark.integration

NEXT, IN = Type.TYPE_IN_NEXT_RELEASE, Type.TYPE_IN_RELEASE


def test_release_case_40_a_commit_that_fixes_an_issue_resolves_it_in_the_release(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    issue = desk.create()
    assert (issue.short_id, issue.in_inbox) == ("WEB-1", True)
    desk.link_tracker(issue, "OPS-1")
    desk.link_tracker(issue, "OPS-2")
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="b"), Spec(id="a", message="Fixes WEB-1", repository="shop")])

    found = desk.get(issue)
    assert found.state == State.STATE_RESOLVED
    assert found.HasField("resolve_time")
    assert not found.in_inbox
    assert found.resolution.release == "organizations/100/releases/1.0"
    assert (found.resolution.type, found.resolution.pending, found.resolution.actor) == (IN, False, "")
    links = [(link.key, link.source, link.resolves) for link in found.links]
    assert links == [("a", "shop", True), ("OPS-2", "jira", False), ("OPS-1", "jira", False)]
    assert desk.history(issue) == [(0, None, None, None), (1, None, "1.0", 0)]
    assert desk.told(issue) == [Told.TYPE_REFERENCED_IN_COMMIT, Told.TYPE_SET_RESOLVED_IN_RELEASE]
    data = [dict(activity.data) for activity in desk.activities(issue)]
    assert sorted(data, key=str) == [{"commit": "a"}, {"version": "1.0"}]
    assert desk.syncs() == [("OPS-1", True, "1.0"), ("OPS-2", True, "1.0")]
    assert desk.listed(resolved_in_release="organizations/acme/releases/1.0") == ["WEB-1"]
    stored = "SELECT current_release_version, future_release_version, type, status FROM issue_resolution"
    assert features.rows(stored) == [(None, None, 0, 1)]


def test_release_case_40_the_same_commits_again_touch_nothing(client: Client, desk: Desk) -> None:
    issue = desk.create()
    client.create("1.0")
    specs = [Spec(id="a", message="fixes WEB-1")]
    client.update("1.0", commits=specs)
    before = desk.everything()
    client.update("1.0", commits=specs)
    assert desk.everything() == before
    desk.reopen(issue)
    before = desk.everything()
    client.update("1.0", commits=specs)
    assert desk.everything() == before, "who opened it again is not overruled by the same commits"
    client.update("1.0", commits=[Spec(id="b", message="fixes WEB-1 for good"), *specs])
    assert desk.get(issue).state == State.STATE_RESOLVED


def test_release_case_40_issues_of_projects_that_the_release_does_not_have_are_linked_only(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    features.add_project("api")
    issue = desk.create(project="api")
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="a", message="fixes API-1")])
    found = desk.get(issue)
    assert (found.state, found.in_inbox, len(found.links)) == (State.STATE_UNRESOLVED, True, 1)
    assert desk.told(issue) == [Told.TYPE_REFERENCED_IN_COMMIT]
    client.create("1.0", ("api",))
    assert desk.get(issue).resolution.release == "organizations/100/releases/1.0", "the project caught up"
    assert desk.told(issue)[-1] == Told.TYPE_SET_RESOLVED_IN_RELEASE


def test_release_case_40_what_cannot_be_meant_is_left_out(features: RegionFeatures, client: Client, desk: Desk) -> None:
    gone = desk.create()
    features.rows("UPDATE issue SET status = 3")
    features.add_organization(200, "other")
    features.add_project("else", "organizations/200")
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="a", message=f"fixes {gone.short_id}, WEB-99, ELSE-1, NONE-1")])
    assert features.value("SELECT count(*) FROM issue_link") == 0


def test_release_case_40_an_issue_that_is_not_mentioned_any_more_loses_its_link_and_keeps_its_state(
    client: Client, desk: Desk
) -> None:
    first, second = desk.create(), desk.create()
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="a", message="fixes WEB-1")])
    client.update("1.0", commits=[Spec(id="a")])
    assert len(desk.get(first).links) == 1, "a commit without a message tells nothing"
    client.update("1.0", commits=[Spec(id="a", message="fixes WEB-2")])
    found = desk.get(first)
    assert (found.state, len(found.links)) == (State.STATE_RESOLVED, 0)
    assert desk.get(second).state == State.STATE_RESOLVED


def test_release_case_40_an_issue_that_was_resolved_already_gets_no_second_activity(client: Client, desk: Desk) -> None:
    issue = desk.create()
    resolved = desk.resolve(issue)
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="a", message="fixes WEB-1"), Spec(id="b", message="closes web-1")])
    found = desk.get(issue)
    assert found.resolution.release.endswith("/1.0")
    assert found.resolve_time == resolved.resolve_time
    types = desk.told(issue)
    assert types.count(Told.TYPE_SET_RESOLVED_IN_RELEASE) == 0
    assert types.count(Told.TYPE_REFERENCED_IN_COMMIT) == 2
    assert [row[0] for row in desk.history(issue)] == [0, 1, 1], "reached twice, resolved once"


def test_release_case_41_the_author_is_the_actor_when_a_member(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    desk.member(8, "ann@x.org")
    desk.member(7, "other@x.org", "ann@x.org")
    features.rows("UPDATE known_user SET addresses = '{bob@x.org}' WHERE id = 9")
    ann, bob = desk.create(), desk.create()
    client.create("1.0")
    specs = [
        Spec(id="a", message="fixes WEB-1", author_email="Ann@x.org"),
        Spec(id="b", message="fixes WEB-2", author_email="bob@x.org"),
    ]
    client.update("1.0", commits=specs)
    assert desk.get(ann).resolution.actor == "users/7"
    assert [activity.user for activity in desk.activities(ann)] == ["users/7", "users/7"]
    assert desk.history(ann)[-1] == (1, 7, "1.0", 0)
    assert desk.get(bob).resolution.actor == "", "not a member"


def test_release_case_42_what_waits_for_the_next_release_gets_it(client: Client, desk: Desk) -> None:
    issue = desk.create()
    client.create("1.0")
    waiting = desk.resolve(issue, NEXT)
    assert waiting.state == State.STATE_RESOLVED
    assert (waiting.resolution.type, waiting.resolution.pending) == (NEXT, True)
    assert waiting.resolution.release.endswith("/1.0")
    assert desk.listed(resolved_in_release="organizations/acme/releases/1.0") == []
    client.create("2.0")
    found = desk.get(issue)
    assert found.resolution.release.endswith("/2.0")
    assert (found.resolution.type, found.resolution.pending) == (IN, False)
    assert dict(desk.activities(issue)[0].data) == {"version": "2.0"}
    client.create("3.0")
    assert desk.get(issue).resolution.release.endswith("/2.0")


def test_release_case_42_a_commit_ships_before_the_next_release(client: Client, desk: Desk) -> None:
    issue = desk.create()
    client.create("1.0")
    client.create("2.0")
    desk.resolve(issue, NEXT)
    client.update("1.0", commits=[Spec(id="a", message="fixes WEB-1")])
    found = desk.get(issue)
    assert found.resolution.release.endswith("/1.0")
    assert (found.resolution.type, found.resolution.pending) == (IN, False)
    (told,) = [each for each in desk.activities(issue) if each.type == Told.TYPE_SET_RESOLVED_IN_RELEASE]
    assert dict(told.data) == {"version": "1.0"}


def test_release_case_42_only_a_newer_release_of_the_project_counts(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    features.add_project("api")
    issue = desk.create()
    client.create("0.9", ("api",))
    client.create("1.0")
    desk.resolve(issue, NEXT)
    client.create("2.0", ("api",))
    client.create("0.9")
    assert desk.get(issue).resolution.pending, "another project's, and an older one"
    client.create("2.0")
    assert desk.get(issue).resolution.release.endswith("/2.0")


def test_release_case_43_a_merged_pull_request_resolves_its_issue_when_it_ships(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    desk.member(7, "ann@x.org")
    issue = desk.create()
    repository, other = desk.add_repository("shop"), desk.add_repository("other")
    desk.set_pull_request(repository, "17", title="Better", message="Fixes WEB-1", author_email="ann@x.org")
    desk.set_pull_request(repository, "17", merge_commit_id="abc")
    found = desk.get(issue)
    assert found.state == State.STATE_UNRESOLVED
    assert [(link.key, link.source, link.resolves) for link in found.links] == [("17", "shop", True)]
    (told,) = desk.activities(issue)
    assert (told.type, dict(told.data)) == (Told.TYPE_SET_RESOLVED_IN_PULL_REQUEST, {"pull_request": "17"})
    client.create("1.0")
    client.update("1.0", commits=[Spec(id="abc", repository="other"), Spec(id="abd", repository="shop")])
    assert desk.get(issue).state == State.STATE_UNRESOLVED, "another repository's commit, and another commit"
    client.update("1.0", commits=[Spec(id="abc", repository="shop")])
    found = desk.get(issue)
    assert found.state == State.STATE_RESOLVED
    assert found.resolution.actor == "users/7"
    assert other != repository


def test_a_merge_that_a_release_carries_already_resolves_with_the_pull_request(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    features.add_project("api")
    issue, api, other = desk.create(), desk.create(project="api"), desk.create()
    repository = desk.add_repository("shop")
    for version, projects in (("0.9", ("web",)), ("1.0", ("web",)), ("1.1", ("web", "api"))):
        client.create(version, projects)
        shipped = [Spec(id="abd", repository="shop")] + [Spec(id="abc", repository="shop")] * (version != "0.9")
        client.update(version, commits=shipped)
    desk.set_pull_request(repository, "17", message="Fixes WEB-1, fixes API-1", merge_commit_id="abc")
    desk.set_pull_request(repository, "18", message="Fixes WEB-2", merge_commit_id="elsewhere")
    assert [desk.get(each).resolution.release.rpartition("/")[2] for each in (issue, api, other)] == ["1.0", "1.1", ""]
    before = desk.everything()
    desk.set_pull_request(repository, "17", message="Fixes WEB-1, fixes API-1")
    assert desk.everything() == before
    desk.reopen(issue)
    desk.set_pull_request(repository, "17", title="once more")
    assert desk.get(issue).state == State.STATE_UNRESOLVED, "a link counts once for a release"
    desk.set_pull_request(repository, "18", merge_commit_id="abd")
    assert desk.get(other).resolution.release.endswith("/0.9"), "the merge may be told later"


def test_a_thousand_linked_commits_take_as_many_statements_as_ten(
    features: RegionFeatures, client: Client, desk: Desk
) -> None:
    project = features.value("SELECT id FROM project")
    features.rows(
        """
        INSERT INTO issue (id, organization_id, project_id, short_id, title, first_seen, last_seen)
        SELECT n, 100, :project, n, 'broken', :now, :now FROM generate_series(1, 1010) AS n
        """,
        project=project,
        now=features.clock.now(),
    )

    def specs(first: int, last: int) -> list[Spec]:
        return [Spec(id=f"c{n}", message=f"fixes WEB-{to_digits(n)}") for n in range(first, last)]

    client.create("warm")
    client.update("warm", commits=[Spec(id="c0")])
    counts = []
    for version, first, last in (("small", 1, 11), ("large", 11, 1011)):
        client.create(version)
        with counted(features.database.engine) as statements:
            client.update(version, commits=specs(first, last))
        # The lookup of the organization may ask again when its cache says so.
        counts.append(sum("issue" in statement or "commit" in statement for statement in statements))
        resolved = "SELECT count(*) FROM issue WHERE status = 1 AND id >= :first AND id < :last"
        assert features.value(resolved, first=first, last=last) == last - first
    assert counts[0] == counts[1]
    assert id_of(desk.get("organizations/acme/issues/WEB-Z")) == 31
