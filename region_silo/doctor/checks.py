"""A region's checks: organizations, imports, fetches, deploys, the replica of tokens."""

from sqlalchemy import text

from shared.database import Transaction
from shared.doctor.domain import Key, When
from shared.doctor.part import Check
from shared.doctor.sql_check import SqlCheck

_DROP_TOKEN = text("DELETE FROM token WHERE id = :id AND version = 0")


def _drop_token(transaction: Transaction, key: Key) -> bool:
    return transaction.execute(_DROP_TOKEN, {"id": key[0]}).rowcount == 1


CHECKS: tuple[Check, ...] = (
    SqlCheck(
        "active_slug",
        "An active organization has a slug (I3).",
        When.QUIET,
        table="organization",
        key=("id",),
        key_types=(int,),
        columns="slug, state",
        wrong="SELECT k1, 'active without a slug' AS says FROM looked WHERE state = 1 AND slug IS NULL",
    ),
    SqlCheck(
        "importing_has_import",
        "An organization that is importing has an import that runs, or that can go on (I4).",
        When.QUIET,
        table="organization",
        key=("id",),
        key_types=(int,),
        columns="state, import_id",
        wrong="""
            SELECT k1, format('imports/%s does not run', coalesce(import_id, 0)) AS says FROM looked
            WHERE state = 0 AND NOT EXISTS (
                SELECT FROM data_import AS run WHERE run.id = looked.import_id AND run.state IN (2, 3, 4, 7, 8, 10, 13)
            )
        """,
    ),
    SqlCheck(
        "provision_once",
        "An organization was made for one request (I9).",
        When.ALWAYS,
        table="organization_provision",
        key=("change_set",),
        columns="organization_id",
        wrong="""
            SELECT k1, format('organizations/%s was made for another request too', organization_id) AS says FROM looked
            WHERE organization_id <> 0 AND EXISTS (
                SELECT FROM organization_provision AS other
                WHERE other.organization_id = looked.organization_id AND other.change_set <> k1
            )
        """,
    ),
    SqlCheck(
        "request_running",
        "A request record that runs has an import that runs (I5).",
        When.ALWAYS,
        table="request_record",
        key=("principal", "request_id"),
        uuids=("request_id",),
        key_types=(str, str),
        columns="method, state, updated_at",
        wrong="""
            SELECT k1, k2, format('%s runs since %s without an import', method, updated_at) AS says FROM looked
            WHERE state = 'RUNNING' AND NOT EXISTS (
                SELECT FROM data_import AS run
                WHERE run.principal = k1 AND run.request_id = CAST(k2 AS uuid) AND run.state IN (1, 2, 3, 4, 7, 8, 11)
            )
        """,
    ),
    SqlCheck(
        "import_moves",
        "An import that runs is worked on (I5).",
        When.QUIET,
        table="data_import",
        key=("id",),
        key_types=(int,),
        columns="state, lease_token, lease_until, available_at",
        wrong="""
            SELECT k1, format('waits for work since %s', greatest(available_at, lease_until)) AS says FROM looked
            WHERE state IN (2, 3, 4, 7, 11, 13) AND greatest(available_at, lease_until) <= :older_than
        """,
    ),
    SqlCheck(
        "fetch_moves",
        "A fetch of commits that is due is worked on.",
        When.QUIET,
        table="commit_fetch",
        key=("id",),
        key_types=(int,),
        columns="release_id, state, next_try_at, lease_until",
        wrong="""
            SELECT k1, format('waits for work since %s', greatest(next_try_at, lease_until)) AS says FROM looked
            WHERE state IN ('queued', 'running') AND greatest(next_try_at, lease_until) <= :older_than
                AND NOT EXISTS (
                    SELECT FROM commit_fetch AS before
                    WHERE before.release_id = looked.release_id AND before.id < k1
                        AND before.state IN ('queued', 'running')
                )
        """,
    ),
    SqlCheck(
        "deploy_announced",
        "A deploy that has finished, and whose release waits for no commits, is announced.",
        When.QUIET,
        table="deploy",
        key=("id",),
        key_types=(int,),
        columns="organization_id, release_id, announced_at, date_added, date_finished",
        wrong="""
            SELECT k1, format('finished %s and nobody was told', date_finished) AS says FROM looked
            WHERE announced_at IS NULL AND greatest(date_added, date_finished) <= :older_than AND NOT EXISTS (
                SELECT FROM commit_fetch WHERE commit_fetch.release_id = looked.release_id
                    AND (state IN ('queued', 'running') OR updated_at > :older_than)
            ) AND EXISTS (
                SELECT FROM organization
                WHERE organization.id = looked.organization_id AND deletion = 0 AND state = 1
            )
        """,
    ),
    SqlCheck(
        "token_confirmed",
        "Control has told of every token in the replica since epochs were agreed on.",
        When.QUIET,
        table="token",
        key=("id",),
        key_types=(int,),
        columns="version, name",
        wrong="SELECT k1, 'unknown to control' AS says FROM looked WHERE version = 0",
        mend=_drop_token,
    ),
)
