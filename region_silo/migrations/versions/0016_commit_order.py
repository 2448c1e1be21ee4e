"""The order of a release's commits is stored with them, so that a commit can be added in its place by time."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# layer: which replacement wrote it, higher is newer. sort_time_us: its place by time within the layer, microseconds since
# 1970, the smallest bigint for none. position tells equal ones apart. Lists that are there keep their order: a time that
# stands out of it counts as the highest time below it.
STATEMENTS = (
    """
    ALTER TABLE release_commit
        ADD COLUMN repository_id bigint,
        ADD COLUMN layer bigint NOT NULL DEFAULT 0,
        ADD COLUMN sort_time_us bigint
    """,
    """
    UPDATE release_commit AS listed SET repository_id = placed.repository_id, sort_time_us = placed.sort_time_us
    FROM (
        SELECT listed.release_id, listed.commit_id, commit.repository_id, max(
            coalesce((extract(epoch FROM commit.commit_time) * 1000000)::bigint, -9223372036854775808)
        ) OVER (PARTITION BY listed.release_id ORDER BY listed.position) AS sort_time_us
        FROM release_commit listed JOIN commit ON commit.id = listed.commit_id
    ) placed
    WHERE listed.release_id = placed.release_id AND listed.commit_id = placed.commit_id
    """,
    """
    ALTER TABLE release_commit
        ALTER COLUMN repository_id SET NOT NULL, ALTER COLUMN sort_time_us SET NOT NULL, ALTER COLUMN layer DROP DEFAULT
    """,
    """
    CREATE UNIQUE INDEX release_commit_order_key ON release_commit (release_id, layer, sort_time_us, position)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE release_commit DROP COLUMN repository_id, DROP COLUMN layer, DROP COLUMN sort_time_us")
