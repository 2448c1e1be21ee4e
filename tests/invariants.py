"""The invariants of spec/hybrid.md 6 as checks on live databases: I1, I2, I4 at every commit, I3, I9 and I11 once all
is quiet; I5, I7 and I10 as far as rows tell of them (`check_end`).

`strangers` are organizations that a region has and control was never told of, as after a restore.
"""

from collections import Counter
from collections.abc import Collection, Mapping

from sqlalchemy import text

from shared.database import Database

PRIMARY, VANITY, TEMPORARY, REDIRECT = range(4)
HELD, ACTIVE, QUARANTINED = range(3)


def check_always(control: Database, regions: Mapping[str, Database]) -> None:
    """What must hold at every commit; call it while nothing is being delivered."""
    held = _rows(control, "SELECT slug, organization_id, type, state, holder, region FROM slug_reservation")
    slugs = Counter(str(row[0]).lower() for row in held)
    assert all(count == 1 for count in slugs.values()), f"I1: {slugs}"
    roles = Counter((row[1], row[2]) for row in held if row[2] != REDIRECT and row[1] is not None)
    assert all(count == 1 for count in roles.values()), f"I2: {roles}"
    assert all(row[2] == PRIMARY for row in held if row[1] is None and row[3] != QUARANTINED), "a hold has no role"
    for slug, _, _, state, holder, region in held:
        if state == HELD:
            _check_is_on_its_way(control, regions, str(slug), str(holder), str(region))


def check_quiet(control: Database, regions: Mapping[str, Database], *, strangers: Collection[int] = ()) -> None:
    """What must hold once all outboxes are empty, besides what holds always."""
    check_always(control, regions)
    for database in (control, *regions.values()):
        assert _rows(database, "SELECT target, aggregate, last_error FROM outbox_message") == [], "not quiet"
    assert _rows(control, "SELECT request_id FROM organization_change WHERE state = 'RUNNING'") == [], "a change runs"
    primaries = _rows(
        control, "SELECT organization_id, slug, region FROM slug_reservation WHERE type = 0 AND state = 1"
    )
    others = _rows(control, "SELECT slug FROM slug_reservation WHERE (type <> 3 AND state = 0) OR type = 2")
    assert others == [], f"I3: held when quiet: {others}"
    mapped = _rows(control, "SELECT organization_id, slug, region FROM organization_mapping")
    living = [
        (organization, slug, name)
        for name, database in regions.items()
        for organization, slug in _rows(database, "SELECT id, slug FROM organization")
        if organization not in strangers
    ]
    assert sorted(map(str, primaries)) == sorted(map(str, living)), "I3: reservations and regions differ"
    assert sorted(map(str, mapped)) == sorted(map(str, living)), "I3: mappings and regions differ"
    _check_one_organization_a_request(control, regions)
    _check_nothing_is_left(control, regions)


def check_while_running(control: Database, regions: Mapping[str, Database]) -> None:
    """I1, I2 and I4 while everything runs: each reading is of one instant, and what may have moved between two of them
    is read again.

    A hold whose message control has delivered has its answer in the region's outbox until control has taken it. So one
    that stands as before after an answer was found nowhere is held by nothing.
    """
    doubtful = _unsent_holds(control)
    answers = {str(row[0]) for database in regions.values() for row in _rows(database, _AGGREGATES)}
    lost = {held for held in doubtful if not any(_is_of(aggregate, held[1]) for aggregate in answers)}
    assert not lost & _unsent_holds(control), f"I4: nothing is on its way for {lost}"
    wrong = _rows(control, _TWICE)
    assert wrong == [], f"I1, I2: {wrong}"


def check_end(control: Database, regions: Mapping[str, Database]) -> None:
    """What rows tell once all is quiet and nothing was cleaned or restored: nothing parked, no sequence hole (I5), the
    regions' rows are what control took over last (I7), ids are no two silos' and fit in 53 bits (I10).
    """
    silos = {"control": control, **regions}
    for name, database in silos.items():
        assert _rows(database, "SELECT target, aggregate FROM outbox_lease") == [], f"{name} holds leases, or parked"
        assert _rows(database, "SELECT * FROM outbox_parked") == [], f"{name} has parked"
        for target, aggregate, sent in _rows(database, "SELECT target, aggregate, last_sequence FROM outbox_shard"):
            taken = _rows(
                silos[str(target)],
                "SELECT last_sequence FROM inbox_shard WHERE origin = :o AND aggregate = :a",
                o=name,
                a=aggregate,
            )
            assert taken == [(sent,)], f"I5: {name} has sent {sent} of {aggregate}, {target} has taken {taken}"
    mapped = "SELECT organization_id, name, region, version, fence_version FROM organization_mapping"
    made = "SELECT id, name, CAST(:name AS text), version, fence_version FROM organization"
    there = [row for name, database in regions.items() for row in _rows(database, made, name=name)]
    assert sorted(map(str, _rows(control, mapped))) == sorted(map(str, there)), "I7: control has older rows of a region"
    ids = [row[0] for table in _SNOWFLAKES for database in regions.values() for row in _rows(database, table)]
    assert len(ids) == len(set(ids)), "I10: an id was given twice"
    assert all(0 < int(str(each)) < 1 << 53 for each in ids), "I10: an id is out of its range"
    assert _rows(control, _RECORDS_THAT_DIFFER) == [], "a request's record and its change differ"
    assert _rows(control, _STRAY_REDIRECTS) == [], "a redirect leads nowhere"


_SNOWFLAKES = ("SELECT id FROM organization", "SELECT id FROM team")

_AGGREGATES = "SELECT aggregate FROM outbox_message"

_UNSENT_HOLDS = """
    SELECT slug, holder, fence_version, region FROM slug_reservation
    WHERE state = 0 AND NOT EXISTS (
        SELECT 1 FROM outbox_message WHERE aggregate = holder OR starts_with(aggregate, holder || '/')
    )
"""

_TWICE = f"""
    SELECT organization_id, type FROM slug_reservation
    WHERE type <> {REDIRECT} AND organization_id IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1
    UNION ALL
    SELECT count(*), min(type) FROM slug_reservation GROUP BY lower(slug) HAVING count(*) > 1
"""

_RECORDS_THAT_DIFFER = """
    SELECT change.request_id, change.state, record.state
    FROM organization_change change LEFT JOIN request_record record USING (principal, request_id)
    WHERE record.state IS DISTINCT FROM change.state
        OR record.error ->> 'reason' IS DISTINCT FROM change.error ->> 'reason'
"""

_STRAY_REDIRECTS = f"""
    SELECT redirect.slug FROM slug_reservation redirect
    LEFT JOIN organization_mapping mapping
        ON mapping.organization_id = redirect.organization_id AND mapping.region = redirect.region
    WHERE redirect.type = {REDIRECT} AND mapping.organization_id IS NULL
"""


def _unsent_holds(control: Database) -> set[tuple[str, ...]]:
    """(slug, holder, fence version, region) of each hold without a message in control's outbox."""
    return {tuple(map(str, row)) for row in _rows(control, _UNSENT_HOLDS)}


def _is_of(aggregate: str, holder: str) -> bool:
    return aggregate == holder or aggregate.startswith(f"{holder}/")


def _check_is_on_its_way(
    control: Database, regions: Mapping[str, Database], slug: str, holder: str, region: str
) -> None:
    """I4: what is held has a message in control's outbox, or its answer in a region's, parked or not, and its request
    runs or was given up with that message.
    """
    statement = "SELECT 1 FROM outbox_message WHERE aggregate = :holder OR starts_with(aggregate, :holder || '/')"
    everywhere = (control, *regions.values())
    assert any(_rows(database, statement, holder=holder) for database in everywhere), (
        f"I4: nothing is on its way for {slug}, held by {holder} for {region}"
    )
    if holder.startswith("requests/"):
        principal, _, request_id = holder.removeprefix("requests/").rpartition("/")
        running = """
            SELECT state = 'RUNNING' OR (state = 'FAILED' AND plan -> 'parked' = 'true') FROM organization_change
            WHERE principal = :p AND request_id = CAST(:r AS uuid)
        """
        assert _rows(control, running, p=principal, r=request_id) == [(True,)], f"I4: {holder} is over"


def _check_one_organization_a_request(control: Database, regions: Mapping[str, Database]) -> None:
    """I9: a request has made one organization at most, in the region that control says."""
    made = Counter(
        str(change_set)
        for database in regions.values()
        for (change_set,) in _rows(database, "SELECT change_set FROM organization_provision WHERE organization_id > 0")
    )
    assert all(count == 1 for count in made.values()), f"I9: {made}"
    known = _rows(
        control,
        """
        SELECT 'requests/' || principal || '/' || request_id, organization_id, state FROM organization_change
        WHERE kind = 1 AND state = 'SUCCEEDED'
        """,
    )
    assert {row[0] for row in known} == set(made), "I9: control and the regions know different requests"
    records = _rows(control, "SELECT state, count(*) FROM request_record WHERE state = 'RUNNING' GROUP BY state")
    assert records == [], "a request record runs for ever"


def _check_nothing_is_left(control: Database, regions: Mapping[str, Database]) -> None:
    """I11: after a deletion no mapping, reservation, token or row remains; what rests in quarantine has no holder."""
    gone = {
        row[0] for row in _rows(control, "SELECT organization_id FROM audit_entry WHERE action = 'organization.purge'")
    }
    left = "SELECT '{0}', organization_id FROM {0} WHERE organization_id = ANY (:gone)"
    for table in ("organization_mapping", "slug_reservation", "token"):
        assert _rows(control, left.format(table), gone=list(gone)) == [], "I11: control"
    resting = _rows(control, "SELECT slug, organization_id, holder, expires_at FROM slug_reservation WHERE state = 2")
    assert all(row[1] is None and row[2] == "" and row[3] is not None for row in resting), f"I11: {resting}"
    for name, database in regions.items():
        assert _rows(database, "SELECT id FROM organization WHERE id = ANY (:gone)", gone=list(gone)) == [], (
            f"I11: {name}"
        )
        assert _rows(database, left.format("token"), gone=list(gone)) == [], f"I11: {name}"
        for table in _tables_of_organizations(database):
            # Kept rows of the whole silo are no organization's.
            owners = f'SELECT organization_id FROM "{table}" WHERE organization_id IS NOT NULL'
            orphans = f"{owners} EXCEPT SELECT id FROM organization"
            assert _rows(database, orphans) == [], f"I11: {table} of {name} has rows of nobody's"


def _tables_of_organizations(database: Database) -> list[str]:
    """Tables of a region that hold an organization's rows; requests, replicas and the audit outlive it."""
    found = _rows(
        database,
        """
        SELECT table_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND column_name = 'organization_id'
        """,
    )
    return sorted({str(row[0]) for row in found} - {"organization_provision", "token", "audit_entry"})


def _rows(database: Database, statement: str, **parameters: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in database.read(lambda t: t.execute(text(statement), parameters).all())]
