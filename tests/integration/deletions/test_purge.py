"""A region's purge: every table, batch by batch, whatever is added to the schema later; caches and metrics follow."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from region_silo.deletions import purging, store
from region_silo.deletions.domain import KEPT
from region_silo.deletions.purging import Purger
from shared.cleaner import Cleaner, Task
from shared.database import Database, Transaction
from shared.outbox import cleaner as inbox_cleaner
from shared.outbox import tombstones
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos, execute, rows
from tests.integration.deletions.deleting import (
    ask_delete,
    carry_on,
    fill,
    left_in_region,
    purged,
    purged_tables,
)
from tests.integration.provisioning.asking import id_of, made
from tests.invariants import check_quiet

pytestmark = pytest.mark.integration

# Tables of the silo itself. A new table either has an organization_id and is purged, or is named here.
SILO_WIDE = {
    "alembic_version",
    "data_import",
    "import_before_image",
    "import_choice",
    "import_chunk",
    "import_filter",
    "import_finding",
    "import_row",
    "inbox_origin",
    "inbox_shard",
    "inbox_subject",
    "known_user",
    "member_retelling",
    "model_cache_gate",
    "organization",
    "outbox_lease",
    "outbox_message",
    "outbox_parked",
    "outbox_shard",
    "outbox_tombstone",
    "region_directory",
    "request_record",
    "silo_identity",
    "snowflake_mark",
    "token_confirmation",
}


def deleting(silos: Silos, organization: int) -> Database:
    """The region that is told to purge the organization, and has not begun."""
    ask_delete(silos, organization, grace=timedelta())
    silos.drain()
    execute(silos.regions["us"], "UPDATE organization SET deletion = 2 WHERE id = :id", id=organization)
    return silos.regions["us"]


def test_every_table_of_a_region_is_purged_or_says_why_not(silos: Silos) -> None:
    found = rows(silos.regions["us"], "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    tables = {str(row[0]) for row in found}
    assert tables == SILO_WIDE | KEPT.keys() | set(purged_tables(silos.regions["us"]))


def test_a_table_that_is_added_later_is_purged_too(silos: Silos) -> None:
    organization, other = id_of(made(silos)), id_of(made(silos, slug="other"))
    region = silos.regions["us"]
    execute(
        region,
        "CREATE TABLE later (organization_id bigint NOT NULL, project_id bigint NOT NULL REFERENCES project (id))",
    )
    for each in (organization, other):
        fill(region, each)
    purged(silos, organization)
    assert left_in_region(region, organization) == {}
    assert rows(region, "SELECT organization_id FROM later") == [(other,)]
    assert set(left_in_region(region, other)) == {*purged_tables(region), "organization"}, "another one is not touched"
    check_quiet(silos.control, silos.regions)


def test_every_purged_table_is_found_by_organization_with_an_index(silos: Silos) -> None:
    indexed = rows(
        silos.regions["us"],
        """
        SELECT DISTINCT class.relname FROM pg_index AS index
        JOIN pg_class AS class ON class.oid = index.indrelid
        JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid AND attribute.attnum = index.indkey[0]
        WHERE attribute.attname = 'organization_id' AND index.indpred IS NULL
        """,
    )
    assert set(purged_tables(silos.regions["us"])) <= {row[0] for row in indexed}


def test_a_purge_deletes_a_thousand_rows_a_transaction_at_most(silos: Silos, monkeypatch: pytest.MonkeyPatch) -> None:
    organization = id_of(made(silos))
    region = silos.regions["us"]
    fill(region, organization, commits=2500)
    deleting(silos, organization)
    batches: list[int] = []
    delete_rows = store.delete_rows

    def watched(transaction: Transaction, table: str, organization_id: int, rows_max: int) -> int:
        deleted = delete_rows(transaction, table, organization_id, rows_max)
        if table == "commit":
            batches.append(deleted)
        return deleted

    monkeypatch.setattr(store, "delete_rows", watched)
    assert Purger(region).run_once() == 1
    assert batches == [1000, 1000, 501]
    assert left_in_region(region, organization) == {}


def test_an_import_that_still_writes_is_waited_for(silos: Silos) -> None:
    organization = id_of(made(silos))
    region = silos.regions["us"]
    execute(
        region,
        """
        INSERT INTO data_import (id, principal, request_id, scope, state, size_bytes, sha256, object_count, done_count,
            finding_count, models, attempts, peer_failures, available_at, created_at, updated_at)
        VALUES (5, 'tokens/1', gen_random_uuid(), 2, 3, 0, '', 0, 0, 0, '[]', 0, 0, :now, :now, :now)
        """,
        now=silos.clock.now(),
    )
    execute(region, "UPDATE organization SET import_id = 5 WHERE id = :id", id=organization)
    deleting(silos, organization)
    for state in (2, 3):
        execute(region, "UPDATE data_import SET state = :state", state=state)
        assert Purger(region).run_once() == 0
        assert "organization" in left_in_region(region, organization)
    execute(region, "UPDATE data_import SET state = 4")
    assert Purger(region).run_once() == 1


def test_tombstones_are_kept_until_they_are_acknowledged_and_then_forgotten(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    ask_delete(silos, organization, grace=timedelta())
    silos.drain()
    region = silos.regions["us"]
    execute(region, "UPDATE organization SET deletion = 2")
    assert Purger(region).run_once() == 1
    cleaner = Cleaner(region, [Task("tombstones", timedelta(days=1), tombstones.clean, tombstones.oldest)])
    clock.advance(40 * 86_400)
    assert cleaner.clean_once() == {"tombstones": 0}, "control has not heard of it"
    silos.drain()
    assert cleaner.clean_once() == {"tombstones": 1}

    carry_on(silos)
    clock.advance(40 * 86_400)
    for database in (silos.control, region):
        tasks = [
            Task("tombstones", timedelta(days=1), tombstones.clean, tombstones.oldest),
            Task("inbox_subjects", timedelta(days=30), inbox_cleaner.clean, inbox_cleaner.oldest),
        ]
        Cleaner(database, tasks).clean_once()
        named = "SELECT subject FROM inbox_subject WHERE category LIKE 'organization%' AND subject = :id"
        assert rows(database, named, id=str(organization)) == [], "no trace for ever"
        assert rows(database, "SELECT subject FROM outbox_tombstone") == []


def test_metrics_tell_how_many_wait_and_since_when(silos: Silos, clock: FakeClock) -> None:
    organization = id_of(made(silos))
    region = deleting(silos, organization)
    clock.advance(77)
    with region.engine.connect() as connection:
        connection.execute(text("BEGIN READ WRITE"))
        connection.execute(text("SELECT 1 FROM organization WHERE id = :id FOR UPDATE"), {"id": organization})
        assert Purger(region).run_once() == 0, "somebody else works on it"
        connection.execute(text("ROLLBACK"))
    assert purging.ORGANIZATIONS.labels("deleting")._value.get() == 1
    assert purging.OLDEST_S.labels("deleting")._value.get() == 77
    assert Purger(region).run_once() == 1
    assert purging.ORGANIZATIONS.labels("deleting")._value.get() == 0


def test_what_imports_kept_for_an_organization_goes_with_it_and_what_is_its_users_stays(silos: Silos) -> None:
    organization, other = id_of(made(silos)), id_of(made(silos, slug="other"))
    for each in (organization, other):
        execute(
            silos.control,
            """
            INSERT INTO kept_row (organization_id, model, refs, fields)
            SELECT CAST(:id AS bigint), 'sentry.orgauthtoken', '{}', '{}' FROM generate_series(1, 1001)
            """,
            id=each,
        )
    execute(
        silos.control, "INSERT INTO kept_row (model, refs, fields) VALUES ('sentry.apitoken', '{\"user\": 1}', '{}')"
    )
    for database in silos.regions.values():
        execute(database, "INSERT INTO kept_row (model, refs, fields) VALUES ('sentry.option', '{}', '{}')")
    purged(silos, organization)
    left = rows(silos.control, "SELECT organization_id, count(*) FROM kept_row GROUP BY 1 ORDER BY 1 NULLS LAST")
    assert left == [(other, 1001), (None, 1)]
    assert rows(silos.regions["us"], "SELECT model FROM kept_row") == [("sentry.option",)]
