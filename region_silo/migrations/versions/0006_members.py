"""Ways to a user's memberships, to the owners of an organization, and from a member or team to what it is linked with."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX organization_member_user_id_idx ON organization_member (user_id) WHERE user_id IS NOT NULL",
    "CREATE INDEX organization_member_owner_idx ON organization_member (organization_id) WHERE role = 'owner'",
    "CREATE INDEX organization_member_organization_id_id_idx ON organization_member (organization_id, id)",
    "CREATE INDEX organization_member_team_member_idx ON organization_member_team (organization_member_id, team_id)",
    "CREATE INDEX project_team_team_id_idx ON project_team (team_id, project_id)",
    "CREATE INDEX team_organization_id_id_idx ON team (organization_id, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(
        "DROP INDEX team_organization_id_id_idx, project_team_team_id_idx, organization_member_team_member_idx,"
        " organization_member_organization_id_id_idx, organization_member_owner_idx, organization_member_user_id_idx"
    )
