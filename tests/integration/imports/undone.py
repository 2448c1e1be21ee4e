"""Undoing imports of an ImportStack, and everything that the silos hold, row by row."""

from typing import Any

from control_silo.deletions.domain import Deletions
from control_silo.deletions.purging import Purger
from region_silo.imports.domain import DataImport
from region_silo.imports.runner import ImportRunner, RunnerSettings
from region_silo.imports.undoer import UndoLimits
from shared.rpc.call import Caller
from tests.integration.imports.living import ask
from tests.integration.imports.stack import CALLER, ImportStack

_BOOKS = frozenset(
    {
        "audit_entry",
        "data_import",
        "import_before_image",
        "import_chunk",
        "import_filter",
        "import_finding",
        "import_row",
        "known_user",  # what the region was told of users who are no more
        "member_retelling",
        "request_record",
        "slug_reservation",  # in quarantine
    }
)
_PREFIXES = ("snowflake", "inbox_", "outbox_", "model_cache")

Contents = dict[tuple[str, str], list[str]]


def contents(stack: ImportStack) -> Contents:
    """The rows of every table of both silos, but for the books of imports, requests and messages."""
    found = {}
    for silo in ("control", "region"):
        tables = stack.all_in(silo, "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
        for name in (row["name"] for row in tables):
            if name not in _BOOKS and not name.startswith(_PREFIXES):
                rows = stack.all_in(silo, f"SELECT to_jsonb(t)::text AS row FROM {name} t ORDER BY 1")
                found[silo, name] = [row["row"] for row in rows]
    return found


def settle(stack: ImportStack) -> None:
    """Deliver what waits, and let control forget organizations that have gone."""
    stack.silos.drain("control", "us")
    Purger(stack.control, Deletions()).run_once()
    stack.silos.drain("control", "us")


def runner(stack: ImportStack, *, rows_max: int) -> ImportRunner:
    """Undoes in pages of so many rows."""
    settings = RunnerSettings(undoing=UndoLimits(rows_max=rows_max))
    return ImportRunner(stack.region, stack.spool, stack.peer, stack.ids["us"], settings)


def undo(
    stack: ImportStack, import_id: int, *, caller: Caller = CALLER, runner: ImportRunner | None = None
) -> DataImport:
    """Undo an import to its end."""
    ask(stack, "undo", import_id, caller=caller)
    done = stack.run(import_id, runner)
    settle(stack)
    return done


def kept(stack: ImportStack, import_id: int) -> list[tuple[str, str, str]]:
    """What stays: kind, model and pk in the file."""
    return [(each.kind, each.model, each.pk) for each in stack.findings(import_id) if each.kind.startswith("KEPT_")]


def ledger_rows(stack: ImportStack, import_id: int) -> dict[str, list[Any]]:
    """What the ledgers still hold, by silo: model and pk in the file."""
    statement = "SELECT model, old_pk FROM import_row WHERE import_id = :id ORDER BY 1, 2"
    return {
        silo: [(row["model"], row["old_pk"]) for row in stack.all_in(silo, statement, id=import_id)]
        for silo in ("control", "region")
    }
