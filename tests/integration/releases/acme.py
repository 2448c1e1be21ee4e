"""Organization 100 with projects, members and teams, for the tests of who may read and change a release.

Refusals are compared byte for byte, as they come by wire.
"""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.region_client import Client
from tests.region_features import RegionFeatures

MEMBER, OWNER, MANAGER, ADMIN, STRANGER = 1, 2, 3, 4, 5
ROLES = {MEMBER: "member", OWNER: "owner", MANAGER: "manager", ADMIN: "admin"}


class Acme:
    """Organization 100: the projects `web`, `api` and `cli`; the member and the admin are in the team of `web`."""

    def __init__(self, features: RegionFeatures) -> None:
        self.features = features
        self.projects = {"web": features.value("SELECT id FROM project WHERE slug = 'web'")}
        self.projects |= {slug: features.add_project(slug) for slug in ("api", "cli")}
        for user, role in ROLES.items():
            self.add_member(user, role)
        self.add_team(10, "web")
        self.join(10, MEMBER)
        self.join(10, ADMIN)

    def add_member(self, user: int, role: str, organization: int = 100) -> None:
        self.features.rows(
            """
            INSERT INTO organization_member (organization_id, user_id, role, flags, has_global_access, invite_status,
                type, user_is_active, date_added)
            VALUES (:organization, :user, :role, 0, true, 0, 50, true, :now)
            """,
            organization=organization,
            user=user,
            role=role,
            now=self.features.clock.now(),
        )

    def add_team(self, team: int, *projects: str) -> None:
        self.features.rows(
            """
            INSERT INTO team (id, organization_id, slug, name, status, idp_provisioned, date_added)
            VALUES (:team, 100, :slug, 'a team', 0, false, :now)
            """,
            team=team,
            slug=f"team-{team}",
            now=self.features.clock.now(),
        )
        for project in projects:
            self.features.rows(
                "INSERT INTO project_team (organization_id, project_id, team_id) VALUES (100, :project, :team)",
                project=self.projects[project],
                team=team,
            )

    def join(self, team: int, user: int) -> None:
        self.features.rows(
            """
            INSERT INTO organization_member_team (organization_id, organization_member_id, team_id, is_active)
            SELECT 100, id, :team, true FROM organization_member WHERE organization_id = 100 AND user_id = :user
            """,
            team=team,
            user=user,
        )

    def user(self, user: int) -> Client:
        return self.features.user(user)


def wire(call: Callable[[], object]) -> tuple[grpc.StatusCode, str | None, tuple[tuple[str, Any], ...]]:
    """A refusal as it came: code, text, and the trailer without the one value that names the call itself."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    trailer = tuple(sorted((key, value) for key, value in error.trailing_metadata() if key != "x-request-id"))
    assert any(key == "grpc-status-details-bin" for key, _ in trailer)
    return error.code(), error.details(), trailer


def reads_and_changes(client: Client, version: str) -> list[Callable[[], object]]:
    return [
        lambda: client.get(version),
        lambda: client.commits(version),
        lambda: client.update(version, ref="x"),
        lambda: client.update(version, state=release_pb.Release.STATE_ARCHIVED, organization="100"),
        lambda: client.update(version, commits=[release_pb.CommitSpec(id="a")]),
    ]


def changed(features: RegionFeatures) -> Any:
    return features.rows("SELECT version, ref, status, row_version FROM release ORDER BY version")
