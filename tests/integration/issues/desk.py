"""Issues of organization 100 by calls, and short ways to what stands in the rows of one."""

from typing import Any

from siloway.region.v1 import issue_service_pb2 as issue_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import repository_service_pb2 as repository_pb

from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

Spec = release_pb.CommitSpec
State = issue_pb.Issue
Type = issue_pb.Resolution
Told = issue_pb.IssueActivity


class Desk:
    """What a person does with issues."""

    def __init__(self, features: RegionFeatures, client: Client | None = None) -> None:
        self.features = features
        self.client = client or features.client

    def as_user(self, user_id: int) -> "Desk":
        return Desk(self.features, self.features.user(user_id))

    def create(self, title: str = "it broke", project: str = "web", **fields: Any) -> issue_pb.Issue:
        made: issue_pb.Issue = self.client.issue.CreateIssue(
            issue_pb.CreateIssueRequest(
                parent=f"organizations/acme/projects/{project}",
                issue=issue_pb.Issue(title=title, **fields),
                request_id=new_id(),
            )
        )
        return made

    def get(self, issue: issue_pb.Issue | str) -> issue_pb.Issue:
        name = issue if isinstance(issue, str) else issue.name
        found: issue_pb.Issue = self.client.issue.GetIssue(issue_pb.GetIssueRequest(name=name))
        return found

    def listed(self, **query: Any) -> list[str]:
        answer = self.client.issue.ListIssues(issue_pb.ListIssuesRequest(parent="organizations/acme", **query))
        return [issue.short_id for issue in answer.issues]

    def resolve(self, issue: issue_pb.Issue, type_: Any = 0, version: str = "", request_id: str = "") -> issue_pb.Issue:
        done: issue_pb.Issue = self.client.issue.ResolveIssue(
            issue_pb.ResolveIssueRequest(
                name=issue.name, type=type_, version=version, request_id=request_id or new_id()
            )
        )
        return done

    def reopen(self, issue: issue_pb.Issue) -> issue_pb.Issue:
        done: issue_pb.Issue = self.client.issue.ReopenIssue(
            issue_pb.ReopenIssueRequest(name=issue.name, request_id=new_id())
        )
        return done

    def leave_inbox(self, issue: issue_pb.Issue, action: Any = 0) -> issue_pb.Issue:
        done: issue_pb.Issue = self.client.issue.RemoveIssueFromInbox(
            issue_pb.RemoveIssueFromInboxRequest(name=issue.name, action=action, request_id=new_id())
        )
        return done

    def link_tracker(self, issue: issue_pb.Issue, key: str = "OPS-1", **fields: Any) -> issue_pb.Issue:
        done: issue_pb.Issue = self.client.issue.LinkTrackerIssue(
            issue_pb.LinkTrackerIssueRequest(
                name=issue.name, integration="jira", key=key, request_id=new_id(), **fields
            )
        )
        return done

    def activities(self, issue: issue_pb.Issue, **page: Any) -> list[Any]:
        answer = self.client.issue.ListIssueActivities(issue_pb.ListIssueActivitiesRequest(parent=issue.name, **page))
        return list(answer.activities)

    def told(self, issue: issue_pb.Issue) -> list[int]:
        """The types of the issue's activities, oldest first."""
        return [activity.type for activity in reversed(self.activities(issue))]

    def set_pull_request(self, repository: int, key: str, **fields: Any) -> repository_pb.PullRequest:
        made: repository_pb.PullRequest = self.client.repository.SetPullRequest(
            repository_pb.SetPullRequestRequest(
                parent=f"organizations/acme/repositories/{repository}",
                pull_request=repository_pb.PullRequest(key=key, **fields),
                request_id=new_id(),
            )
        )
        return made

    def add_repository(self, name: str, organization: int = 100) -> int:
        return int(
            self.features.value(
                """
                INSERT INTO repository (organization_id, name, status, date_added)
                VALUES (:organization, :name, 0, :now) RETURNING id
                """,
                organization=organization,
                name=name,
                now=self.features.clock.now(),
            )
        )

    def history(self, issue: issue_pb.Issue) -> list[tuple[Any, ...]]:
        """(status, user, release, status of what came before), oldest first."""
        return self.features.rows(
            """
            SELECT history.status, history.user_id, release.version, before.status
            FROM issue_history history LEFT JOIN release ON release.id = history.release_id
            LEFT JOIN issue_history before ON before.id = history.prev_history_id
            WHERE history.issue_id = :id ORDER BY history.id
            """,
            id=id_of(issue),
        )

    def syncs(self) -> list[tuple[str, bool, str]]:
        """(tracker key, resolved, version) of what waits in the outbox, in its order."""
        rows = self.features.rows(
            "SELECT payload FROM outbox_message WHERE category = 'status_sync' ORDER BY aggregate, sequence"
        )
        return [
            (sync["tracker_key"], sync["resolved"], sync["resolved_version"])
            for (payload,) in rows
            for sync in payload["syncs"]
        ]

    def everything(self) -> dict[str, list[Any]]:
        """All rows about issues, with what tells that one was written."""
        tables = ("issue", "issue_link", "issue_resolution", "issue_inbox", "issue_history", "activity")
        return {table: self.features.rows(f"SELECT xmin::text, * FROM {table}") for table in tables}

    def member(self, user: int, *addresses: str) -> None:
        """A member of the organization whom control knows by these addresses."""
        self.features.rows(
            """
            INSERT INTO organization_member (organization_id, user_id, role, flags, has_global_access, invite_status,
                type, user_is_active, date_added)
            VALUES (100, :user, 'owner', 0, true, 0, 50, true, :now)
            """,
            user=user,
            now=self.features.clock.now(),
        )
        self.features.rows(
            "UPDATE known_user SET addresses = :addresses WHERE id = :user", user=user, addresses=list(addresses)
        )


def id_of(issue: issue_pb.Issue) -> int:
    return int(issue.name.rpartition("/")[2])
