"""What control keeps of plans while they are made: the schema with their rows. Ledger and answers stay as an import's.

A plan whose region never says that it ended is forgotten by the cleaner.
"""

from datetime import datetime, timedelta

from sqlalchemy import text

from control_silo.regions.own_ids import check_own
from control_silo.regions.usecases import number_of
from shared.cleaner import Task
from shared.database import Transaction
from shared.errors import PlanExpired
from shared.importing import planning

TABLES = ("user_account", "email_address", "user_email", "kept_row")
"""What imports write in control."""

ABANDONED = timedelta(hours=6)
"""A plan that has handed over nothing for so long goes on no more."""

_HAS_BEGUN = text("SELECT EXISTS (SELECT FROM import_chunk WHERE import_id = :import_id)")
_IS_ACTIVE = text("SELECT EXISTS (SELECT FROM import_chunk WHERE import_id = :import_id AND created_at > :older_than)")


def enter_plan(transaction: Transaction, import_id: int) -> None:
    """Let the transaction see control as the plan leaves it. Raises PlanExpired when its first rows are gone."""
    if transaction.execute(_HAS_BEGUN, {"import_id": import_id}).scalar_one():
        if not planning.look(transaction, import_id):
            raise PlanExpired
    else:
        planning.enter(transaction, import_id, TABLES)


def forget_plan(transaction: Transaction, region: str, import_id: int) -> None:
    """Drop the rows of a plan; a repeat does nothing. Raises PeerRefused when the plan is not the region's."""
    check_own("the import", import_id, region, number_of(transaction, region))
    planning.drop(transaction, import_id)


def plan_tasks() -> tuple[Task, ...]:
    """The cleaner's task for plans that nobody ended."""
    return (Task("plan", ABANDONED, _clean, lambda _transaction: None),)


def _clean(transaction: Transaction, older_than: datetime, rows_max: int) -> int:
    dropped = 0
    for import_id in planning.plans_with_schema(transaction)[: min(rows_max, 10)]:
        if not transaction.execute(_IS_ACTIVE, {"import_id": import_id, "older_than": older_than}).scalar_one():
            dropped += planning.drop(transaction, import_id)
    return dropped
