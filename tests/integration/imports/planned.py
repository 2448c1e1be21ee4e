"""Plans and their applications against an ImportStack, and digests of everything that the silos hold."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from region_silo.imports.domain import DataImport
from region_silo.imports.edits import PlanEdits, RowPolicy, Skips
from region_silo.imports.plan_store import Decided
from region_silo.imports.plans import PlanUseCases
from shared.importing.policies import Policy
from shared.requests import Mutation, fingerprint
from shared.rpc.call import Caller, acting
from tests.integration.imports.stack import CALLER, METHOD, ImportStack

_BOOKS = {
    "audit_entry",
    "data_import",
    "import_choice",
    "import_chunk",
    "import_filter",
    "import_finding",
    "import_row",
    "request_record",
}
"""Where imports and calls are recorded: a plan is an import in this."""


def digests(stack: ImportStack, besides: frozenset[str] = frozenset()) -> dict[tuple[str, str], tuple[int, str]]:
    """Rows and digest of every table of both silos, but for the books, and `slug_reservation` (a plan's holds)."""
    found = {}
    for silo in ("control", "region"):
        tables = stack.all_in(
            silo, "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )
        for name in (row["name"] for row in tables):
            if name in _BOOKS or name in besides or name.startswith("snowflake"):
                continue
            row = stack.all_in(
                silo, f"SELECT count(*) AS n, md5(string_agg(t::text, ',' ORDER BY t::text)) AS d FROM {name} t"
            )[0]
            found[silo, name] = (row["n"], row["d"])
    return found


def plan(stack: ImportStack, data: bytes, **how: Any) -> DataImport:
    """Upload a file and find out what its import would do."""
    return stack.run(stack.upload(data, is_plan=True, **how).id)


def plans_of(stack: ImportStack) -> PlanUseCases:
    return PlanUseCases(stack.region, stack.spool, stack.ids["us"])


def apply(
    stack: ImportStack,
    plan_id: int,
    *,
    caller: Caller = CALLER,
    request_id: str | None = None,
    taken_out: Mapping[str, Collection[int]] | None = None,
    chosen: Mapping[tuple[str, Policy], Sequence[int]] | None = None,
) -> DataImport:
    """Queue the application of a plan, without the rows `taken_out`, pks by model, and with policies for others."""
    mutation = Mutation(caller.principal, request_id or str(uuid.uuid4()), "apply", fingerprint(plan_id))
    with acting(caller, method=METHOD):
        skips = [Skips(model, sorted(pks)) for model, pks in (taken_out or {}).items()]
        policies = [RowPolicy(model, policy, pks) for (model, policy), pks in (chosen or {}).items()]
        return plans_of(stack).apply(plan_id, mutation, PlanEdits(skips, policies))


def decisions(stack: ImportStack, plan_id: int, caller: Caller = CALLER) -> list[Decided]:
    """All rows that the plan would write or find."""
    with acting(caller, method=METHOD):
        return plans_of(stack).decisions(plan_id, ("", 0), ("", 0), 100_000)


def ledger(stack: ImportStack, import_id: int) -> dict[tuple[str, int], tuple[int, str | None]]:
    """Decision and name by model and pk in the file; slugs of organizations are left out."""
    return {
        (row["model"], row["old_pk"]): (row["decision"], row["suffixed"] if row["decision"] == 4 else None)
        for row in stack.ledger(import_id)
    }


def told(stack: ImportStack, import_id: int) -> set[tuple[str, str, int, str, bool]]:
    """What was found, without its words: names and new keys stand in them."""
    return {(each.kind, each.model, each.ordinal, each.field, each.skipped) for each in stack.findings(import_id)}


def schemas(stack: ImportStack) -> list[str]:
    """Schemas of plans, in both silos."""
    statement = "SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'plan%'"
    return [row["name"] for silo in ("control", "region") for row in stack.all_in(silo, statement)]
