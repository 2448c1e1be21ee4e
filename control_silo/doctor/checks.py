"""Control's checks: reservations, mappings, changes and what belongs together of them."""

from control_silo.doctor import repairs
from shared.doctor.domain import When
from shared.doctor.part import Check
from shared.doctor.sql_check import SqlCheck

# Messages of a change set are in shards that are named after it.
_NOT_ON_ITS_WAY = """
    NOT EXISTS (
        SELECT FROM outbox_message AS waiting
        WHERE waiting.aggregate = holder OR starts_with(waiting.aggregate, holder || '/')
    )
"""

CHECKS: tuple[Check, ...] = (
    SqlCheck(
        "slug_unique",
        "A slug, whatever its case, has one reservation (I1).",
        When.ALWAYS,
        table="slug_reservation",
        key=("slug",),
        wrong="""
            SELECT k1, 'also held in another case' AS says FROM looked
            WHERE k1 <> lower(k1) OR EXISTS (
                SELECT FROM slug_reservation WHERE slug = lower(k1) AND slug <> k1
            )
        """,
    ),
    SqlCheck(
        "one_slug_of_a_type",
        "An organization has one slug of a type at most, redirects aside (I2).",
        When.ALWAYS,
        table="slug_reservation",
        key=("slug",),
        columns="organization_id, type",
        wrong="""
            SELECT k1, format('organizations/%s has another of type %s', organization_id, type) AS says FROM looked
            WHERE type <> 3 AND EXISTS (
                SELECT FROM slug_reservation AS other
                WHERE other.organization_id = looked.organization_id AND other.type = looked.type
                    AND other.type <> 3 AND other.slug <> k1
            )
        """,
    ),
    SqlCheck(
        "held_pending",
        "What is held is on its way: a change of it runs and a message waits (I4, I5).",
        When.QUIET,
        table="slug_reservation",
        key=("slug",),
        columns="organization_id, holder, region, state, updated_at",
        wrong=f"""
            SELECT k1, format('held by %s for %s, and nothing waits', holder, region) AS says FROM looked
            WHERE state = 0 AND updated_at <= :older_than AND {_NOT_ON_ITS_WAY}
        """,
        mend=repairs.ask_again,
    ),
    SqlCheck(
        "change_holds",
        "A change that runs holds a slug (I4).",
        When.ALWAYS,
        table="organization_change",
        key=("principal", "request_id"),
        uuids=("request_id",),
        key_types=(str, str),
        columns="kind, state, updated_at",
        wrong="""
            SELECT k1, k2, format('runs since %s and holds nothing', updated_at) AS says FROM looked
            WHERE state = 'RUNNING' AND NOT EXISTS (
                SELECT FROM slug_reservation AS held
                WHERE held.state = 0 AND held.holder = 'requests/' || k1 || '/' || k2
            )
        """,
    ),
    SqlCheck(
        "request_running",
        "A request record that runs has a change that runs (I5).",
        When.ALWAYS,
        table="request_record",
        key=("principal", "request_id"),
        uuids=("request_id",),
        key_types=(str, str),
        columns="method, state, updated_at",
        wrong="""
            SELECT k1, k2, format('%s runs since %s without a change', method, updated_at) AS says FROM looked
            WHERE state = 'RUNNING' AND NOT EXISTS (
                SELECT FROM organization_change AS change
                WHERE change.principal = k1 AND change.request_id = CAST(k2 AS uuid) AND change.state = 'RUNNING'
            )
        """,
        mend=repairs.close_record,
    ),
    SqlCheck(
        "mapping_slug",
        "A mapping has the slug and region of its PRIMARY reservation, and an active one has both (I3).",
        When.QUIET,
        table="organization_mapping",
        key=("organization_id",),
        key_types=(int,),
        columns="slug, region, state, deletion, updated_at",
        wrong="""
            SELECT k1, format('mapped to %s in %s, PRIMARY is %s in %s', coalesce(looked.slug, 'none'), looked.region,
                coalesce(held.slug, 'none'), coalesce(held.region, 'none')) AS says
            FROM looked LEFT JOIN slug_reservation AS held ON held.organization_id = k1 AND held.type = 0
            WHERE looked.updated_at <= :older_than AND (
                held.slug IS DISTINCT FROM looked.slug
                OR held.region <> looked.region
                OR (held.slug IS NULL AND looked.state = 'active' AND looked.deletion < 2)
            )
        """,
        mend=repairs.set_mapping_slug,
    ),
    SqlCheck(
        "reservation_mapped",
        "A slug's organization has a mapping (I11).",
        When.ALWAYS,
        table="slug_reservation",
        key=("slug",),
        columns="organization_id, state",
        wrong="""
            SELECT k1, format('of organizations/%s, which has no mapping', organization_id) AS says FROM looked
            WHERE organization_id IS NOT NULL AND state <> 2 AND NOT EXISTS (
                SELECT FROM organization_mapping AS mapping WHERE mapping.organization_id = looked.organization_id
            )
        """,
    ),
    SqlCheck(
        "provision_once",
        "An organization was made for one request (I9).",
        When.ALWAYS,
        table="organization_change",
        key=("principal", "request_id"),
        uuids=("request_id",),
        key_types=(str, str),
        columns="organization_id, kind, state",
        wrong="""
            SELECT k1, k2, format('organizations/%s was made for another request too', organization_id) AS says
            FROM looked WHERE kind = 1 AND state = 'SUCCEEDED' AND EXISTS (
                SELECT FROM organization_change AS other
                WHERE other.organization_id = looked.organization_id AND other.kind = 1 AND other.state = 'SUCCEEDED'
                    AND (other.principal, other.request_id) <> (k1, CAST(k2 AS uuid))
            )
        """,
    ),
    SqlCheck(
        "token_organization",
        "A token's organization has a mapping (I11).",
        When.QUIET,
        table="token",
        key=("id",),
        key_types=(int,),
        columns="organization_id, revoked_at, created_at",
        wrong="""
            SELECT k1, format('good for organizations/%s, which has no mapping', organization_id) AS says FROM looked
            WHERE organization_id IS NOT NULL AND revoked_at IS NULL AND created_at <= :older_than AND NOT EXISTS (
                SELECT FROM organization_mapping AS mapping WHERE mapping.organization_id = looked.organization_id
            )
        """,
    ),
    SqlCheck(
        "expired_slugs",
        "Redirects and quarantines go soon after their time.",
        When.QUIET,
        table="slug_reservation",
        key=("slug",),
        columns="type, state, expires_at",
        wrong="""
            SELECT k1, format('over since %s', expires_at) AS says FROM looked
            WHERE (type = 3 OR state = 2) AND expires_at <= :older_than
        """,
        mend=repairs.end_expired,
    ),
    SqlCheck(
        "membership_mapped",
        "A member's organization has a mapping (I11).",
        When.QUIET,
        table="organization_membership",
        key=("organization_id", "member_id"),
        key_types=(int, int),
        columns="region, updated_at",
        wrong="""
            SELECT k1, k2, format('a member in %s, and there is no such organization', region) AS says FROM looked
            WHERE updated_at <= :older_than AND NOT EXISTS (
                SELECT FROM organization_mapping AS mapping WHERE mapping.organization_id = k1
            )
        """,
        mend=repairs.forget_member,
    ),
    SqlCheck(
        "announcements_counted",
        "The next number of an organization's announcements is above all that it has.",
        When.ALWAYS,
        table="announcement_counter",
        key=("organization_id",),
        key_types=(int,),
        columns="value",
        wrong="""
            SELECT k1, format('counted to %s, has number %s', value, highest) AS says
            FROM looked CROSS JOIN LATERAL (
                SELECT max(number) AS highest FROM announcement WHERE announcement.organization_id = k1
            ) AS kept
            WHERE highest > value
        """,
        mend=repairs.count_announcements,
    ),
    SqlCheck(
        "lost_region_holds",
        "Nothing is held for a region that was declared lost.",
        When.ALWAYS,
        table="slug_reservation",
        key=("slug",),
        columns="region, state",
        wrong="""
            SELECT k1, format('held for %s', looked.region) AS says
            FROM looked JOIN region_directory AS directory ON directory.name = looked.region
            WHERE looked.state = 0 AND directory.lost_at IS NOT NULL
        """,
    ),
)
