"""SQL of plans: their organizations, what they decided, and who applies them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import msgspec
from sqlalchemy import insert as sql_insert
from sqlalchemy import select as sql_select
from sqlalchemy import text

from region_silo.imports.domain import DataImport, State, import_name
from region_silo.imports.tables import DATA_IMPORT
from shared import errors
from shared.database import Transaction
from shared.importing.registry import ORGANIZATION
from shared.requests import Mutation

_PLANNED = text("SELECT id, base_slug FROM organization_planned WHERE id > :after_id ORDER BY id LIMIT :rows_max")
_SET_SLUGS = text(
    """
    UPDATE import_row SET suffixed = given.slug
    FROM unnest(CAST(:ids AS int8[]), CAST(:slugs AS text[])) AS given (id, slug)
    WHERE import_id = :plan_id AND model = :model AND new_pk = given.id
    """
)
_SLUGS = text(
    """
    SELECT ordinal, old_pk, suffixed FROM import_row
    WHERE import_id = :plan_id AND model = :model AND suffixed IS NOT NULL AND old_pk > :after_pk
    ORDER BY old_pk LIMIT :rows_max
    """
)
_DECISIONS = text(
    """
    SELECT model, old_pk, ordinal, decision, suffixed, CASE WHEN existing THEN new_pk END AS existing
    FROM import_row
    WHERE import_id = :plan_id AND (model, old_pk) > (:model, :old_pk)
        AND (CAST(:only_model AS text) = '' OR model = :only_model)
        AND (CAST(:only_decision AS int2) = 0 OR decision = :only_decision)
    ORDER BY model, old_pk LIMIT :rows_max
    """
)
_SKIPPED = text(
    """
    SELECT id, model, pk, ordinal, kind, reason FROM import_finding
    WHERE import_id = :plan_id AND id > :after_id AND skipped AND ordinal > 0
        AND (CAST(:only_model AS text) = '' OR model = :only_model)
    ORDER BY id LIMIT :rows_max
    """
)
_APPLIED = text(
    """
    SELECT id FROM data_import WHERE plan_id = :plan_id AND state NOT IN (6, 9) AND id <> :besides ORDER BY id LIMIT 1
    """
)


@dataclass(frozen=True)
class Decided:
    """What a plan says of a row. `decision` 0: it is skipped, `kind` and `reason` say why. `name` is what it gets;
    `existing` the id of the silo's row that stands for it; `key` where it stands in its list.
    """

    model: str
    pk: str
    ordinal: int
    decision: int
    name: str
    existing: int | None
    kind: str
    reason: str
    key: int


@dataclass(frozen=True)
class PlannedSlug:
    """The slug that an organization of the file gets."""

    ordinal: int
    old_pk: int
    slug: str


def planned_organizations(transaction: Transaction, after_id: int, rows_max: int) -> list[tuple[int, str]]:
    """Ids and wished slugs of organizations of the plan whose schema the transaction has entered, by id."""
    rows = transaction.execute(_PLANNED, {"after_id": after_id, "rows_max": rows_max})
    return [(row.id, row.base_slug) for row in rows]


def set_slugs(transaction: Transaction, plan_id: int, slugs: Sequence[tuple[int, str]]) -> None:
    """Note in the plan's ledger which slugs its organizations get."""
    parameters = {
        "plan_id": plan_id,
        "model": ORGANIZATION,
        "ids": [organization_id for organization_id, _ in slugs],
        "slugs": [slug for _, slug in slugs],
    }
    transaction.execute(_SET_SLUGS, parameters)


def slugs_page(transaction: Transaction, plan_id: int, after_pk: int, rows_max: int) -> list[PlannedSlug]:
    """The slugs of a plan's organizations, by pk in the file."""
    parameters = {"plan_id": plan_id, "model": ORGANIZATION, "after_pk": after_pk, "rows_max": rows_max}
    return [PlannedSlug(*tuple(row)) for row in transaction.execute(_SLUGS, parameters)]


def decisions_page(
    transaction: Transaction, plan_id: int, after: tuple[str, int], only: tuple[str, int], rows_max: int
) -> list[Decided]:
    """Rows that would be written or found, by model and pk; of `only` this model and decision ("" and 0 for all)."""
    parameters = {
        "plan_id": plan_id,
        "model": after[0],
        "old_pk": after[1],
        "only_model": only[0],
        "only_decision": only[1],
        "rows_max": rows_max,
    }
    return [
        Decided(
            row.model, str(row.old_pk), row.ordinal, row.decision, row.suffixed or "", row.existing, "", "", row.old_pk
        )
        for row in transaction.execute(_DECISIONS, parameters)
    ]


def skipped_page(transaction: Transaction, plan_id: int, after_id: int, model: str, rows_max: int) -> list[Decided]:
    """Rows that would not be written, in the order in which that was found; one has as many as it has reasons."""
    parameters = {"plan_id": plan_id, "after_id": after_id, "only_model": model, "rows_max": rows_max}
    return [
        Decided(row.model, row.pk, row.ordinal, 0, "", None, row.kind, row.reason, row.id)
        for row in transaction.execute(_SKIPPED, parameters)
    ]


def refuse_applied(transaction: Transaction, plan_id: int, *, besides: int = 0) -> None:
    """Raise PlanApplied when an import, `besides` this one, applies the plan and has not failed or been cancelled."""
    found = transaction.execute(_APPLIED, {"plan_id": plan_id, "besides": besides}).scalar()
    if found is not None:
        raise errors.PlanApplied(metadata={"import": import_name(found)})


def insert_application(
    transaction: Transaction, import_id: int, mutation: Mutation, plan: DataImport, *, edited: bool
) -> None:
    """Queue an import of the plan's file that does what the plan says; `edited`: without some of the rows."""
    values = {
        "id": import_id,
        "principal": mutation.principal,
        "request_id": mutation.request_id,
        "scope": plan.scope,
        "state": State.QUEUED,
        "size_bytes": plan.size_bytes,
        "sha256": plan.sha256,
        "object_count": plan.object_count,
        "done_count": 0,
        "finding_count": 0,
        "models": [asdict(each) for each in plan.models],
        "options": msgspec.to_builtins(plan.options),
        "continue_on_error": plan.options.continue_on_error,
        "plan_id": plan.id,
        "edited": edited,
        "attempts": 0,
        "peer_failures": 0,
        "available_at": transaction.now,
        "created_at": transaction.now,
        "updated_at": transaction.now,
    }
    transaction.execute(sql_insert(DATA_IMPORT), values)


def set_expiry(transaction: Transaction, plan_id: int, expires_at: datetime) -> None:
    """Until when the plan can be applied."""
    transaction.execute(DATA_IMPORT.update().where(DATA_IMPORT.c.id == plan_id).values(expires_at=expires_at))


def running_plans(transaction: Transaction, import_ids: Sequence[int]) -> set[int]:
    """Those of the imports that are plans and go on, or will."""
    states = (State.QUEUED, State.PLANNING, State.PAUSED)
    query = sql_select(DATA_IMPORT.c.id).where(DATA_IMPORT.c.id.in_(import_ids), DATA_IMPORT.c.state.in_(states))
    return set(transaction.execute(query).scalars())
