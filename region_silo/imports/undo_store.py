"""SQL of undoing imports in the region: what refers to rows, the closing of organizations, and the region's ledger."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import text

from region_silo.deletions import store as deletion_store
from region_silo.imports.domain import DataImport
from region_silo.imports.organization_store import without_nested_loops
from shared.database import Transaction
from shared.importing.decisions import Decision, WriteKind
from shared.importing.digests import digest_of
from shared.importing.kept import TABLE as KEPT
from shared.importing.registry import ORGANIZATION, USER, Silo, models
from shared.importing.undoing import Reference, Span, foreign_keys, kept_references, lookup, other_imports, scan

PK_MAX = 2**63 - 1

_MERGED = frozenset({"sentry.option", "sentry.relay", "sentry.relayusage"})
"""Models of the region whose rows may stand for those of other imports."""


# Without foreign keys.
_UNGUARDED = {
    "sentry.team": (scan("issue_history", "team_id"),),
    "sentry.projecttemplate": (scan("project", "template_id"),),
    "sentry.repository": (lookup("commit", "repository_id"),),
}
_TO_CONTROL = {
    USER: (
        lookup("organization_member", "user_id", kind=WriteKind.KEPT_MEMBER),
        scan("organization_member", "inviter_id"),
        scan("release", "owner_id"),
        scan("activity", "user_id"),
        scan("issue_history", "user_id"),
        scan("issue_resolution", "actor_id"),
        scan("commit_fetch", "user_id"),
    ),
    "sentry.integration": (scan("repository", "integration_id"),),
}
LOOKED_AT = frozenset(
    each.at for found in (_UNGUARDED, _TO_CONTROL) for references in found.values() for each in references
)
"""Columns without foreign keys that may name a row of an import, "table.column"."""

_WRITTEN = """
    CAST(counts->>'inserted' AS int8) + CAST(counts->>'overwritten' AS int8) + CAST(counts->>'suffixed' AS int8)
"""
_STANDS = text(
    f"""
    SELECT EXISTS (SELECT FROM import_row WHERE import_id = :import_id AND model = ANY (CAST(:models AS text[])))
        OR EXISTS (
            SELECT FROM import_chunk WHERE import_id = :import_id AND model = ANY (CAST(:models AS text[]))
            GROUP BY model HAVING count(undone) > 0 AND sum({_WRITTEN}) > sum(undone))
    """
)
# The first of the model's chunks without rows in the ledger has the number.
_COUNT_UNDONE = text(
    f"""
    WITH counted AS (
        SELECT min(first_ordinal) FILTER (WHERE undone IS NOT NULL) AS first_ordinal, sum(undone) AS before,
            greatest(sum(undone), least(:in_all, sum({_WRITTEN}))) AS now
        FROM import_chunk WHERE import_id = :import_id AND model = :model HAVING count(undone) > 0
    )
    UPDATE import_chunk c SET undone = counted.now FROM counted
    WHERE c.import_id = :import_id AND c.model = :model AND c.first_ordinal = counted.first_ordinal
    RETURNING counted.now - counted.before
    """
)
_PAGE = text(
    """
    SELECT old_pk, new_pk, decision FROM import_row
    WHERE import_id = :import_id AND model = :model AND old_pk > :after ORDER BY old_pk LIMIT :rows_max
    """
)
_FORGET = text(
    f"""
    WITH gone AS (
        DELETE FROM import_row WHERE import_id = :import_id AND model = :model AND old_pk > :after
            AND old_pk <= :through AND old_pk <> ALL (CAST(:staying AS int8[])) RETURNING decision
    )
    SELECT count(*) FILTER (WHERE decision <> {Decision.MERGE:d}) FROM gone
    """
)
_FORGET_TOLD = text(
    "WITH gone AS (DELETE FROM import_finding WHERE import_id = :import_id AND kind = ANY (CAST(:kinds AS text[]))"
    " RETURNING id) SELECT count(*) FROM gone"
)
_NONE_KEPT = text("UPDATE data_import SET kept_count = 0 WHERE id = :import_id")
_VERSIONS = text("SELECT id, version, name, slug FROM organization WHERE id = ANY (CAST(:ids AS int8[])) ORDER BY id")
_MEMBERS = text("SELECT id, organization_id FROM organization_member WHERE id = ANY (CAST(:ids AS int8[])) ORDER BY id")
_SET_STATE = text(
    f"""
    WITH held AS (
        SELECT o.id, {digest_of("organization", "o")} AS digest FROM organization o
        WHERE o.id = ANY (CAST(:ids AS int8[])) AND o.state = :former ORDER BY o.id FOR UPDATE
    ), changed AS (
        UPDATE organization o SET state = :state, version = version + 1 FROM held WHERE o.id = held.id
        RETURNING o.id, held.digest AS before, {digest_of("organization", "o")} AS digest
    ), noted AS (
        UPDATE import_row r SET digest = changed.digest FROM changed
        WHERE r.import_id = :import_id AND r.model = '{ORGANIZATION}' AND r.new_pk = changed.id
            AND r.digest = changed.before
    )
    SELECT id FROM changed ORDER BY id
    """
)
# Nobody but the import and those who give it slugs has come to them.
_NOTE_CLOSED = text(
    f"""
    UPDATE import_row r SET digest = {digest_of("organization", "o")} FROM organization o
    WHERE r.import_id = :import_id AND r.model = '{ORGANIZATION}' AND r.new_pk = o.id
        AND o.id = ANY (CAST(:ids AS int8[])) AND o.state = 0 AND o.deletion = 0
    """
)


class LedgerPage(NamedTuple):
    """Rows of the ledger: how many, pks here of those that the import made, up to which pk in the file, and whether
    that is all.
    """

    rows: int
    pks: list[int]
    through: int
    is_last: bool


def stands_in_control(transaction: Transaction, import_id: int, names: Collection[str]) -> bool:
    """Whether rows of one of these models of control's are not undone yet, by the ledger, or by the chunks of those
    that the ledger has not.
    """
    return bool(transaction.execute(_STANDS, {"import_id": import_id, "models": list(names)}).scalar_one())


def ledger_page(transaction: Transaction, import_id: int, model: str, after: int, rows_max: int) -> LedgerPage:
    """The next rows of a model."""
    parameters = {"import_id": import_id, "model": model, "after": after, "rows_max": rows_max}
    rows = transaction.execute(_PAGE, parameters).all()
    is_last = len(rows) < rows_max
    own = [row.new_pk for row in rows if row.decision in (Decision.INSERT, Decision.SUFFIX)]
    return LedgerPage(len(rows), own, PK_MAX if is_last else rows[-1].old_pk, is_last)


def forget_span(transaction: Transaction, span: Span, staying: Sequence[int]) -> int:
    """Forget rows that control has undone, but for those that stay, by pk in the file; how many it had written."""
    parameters = {**span.place, "after": span.after, "through": span.through, "staying": list(staying)}
    return int(transaction.execute(_FORGET, parameters).scalar_one())


def count_undone(transaction: Transaction, span: Span, forgotten: int, in_all: int | None) -> int:
    """How many rows of the span's model are to be counted as undone, and noted with that as counted.

    Where the ledger has all rows of the model these are the `forgotten`; otherwise what control has undone `in_all`,
    but for what was counted before. Of a batch that control wrote and the region never recorded nothing is counted:
    it is in no count of what was written either. An older control says nothing of it: then what was forgotten counts.
    """
    if in_all is None:
        return forgotten
    counted: int | None = transaction.execute(_COUNT_UNDONE, {**span.place, "in_all": in_all}).scalar_one_or_none()
    return forgotten if counted is None else int(counted)


def forget_told(transaction: Transaction, import_id: int) -> int:
    """Remove what an earlier undoing told; how many findings that were."""
    kinds = [kind.value for kind in WriteKind if kind.name.startswith("KEPT_")]
    transaction.execute(_NONE_KEPT, {"import_id": import_id})
    return int(transaction.execute(_FORGET_TOLD, {"import_id": import_id, "kinds": kinds}).scalar_one())


def references_of(transaction: Transaction, model: str, table: str) -> list[Reference]:
    """What refers to rows of one of the region's models from within the region."""
    found = [*kept_references(model, Silo.REGION), *_UNGUARDED.get(model, ())]
    if model == ORGANIZATION:
        tables = [*deletion_store.read_tables(transaction), "token"]
        return [*(lookup(each, "organization_id") for each in tables), *found]
    if table != KEPT:
        found += foreign_keys(transaction, table)
    return [*found, other_imports(model)] if model in _MERGED else found


def references_to_control(model: str) -> list[Reference]:
    """What refers from within the region to rows of one of control's models."""
    if model not in models():  # rows that came with users
        return []
    return [*_TO_CONTROL.get(model, ()), *kept_references(model, Silo.REGION)]


def close_organizations(transaction: Transaction, data_import: DataImport, ids: Sequence[int]) -> list[int]:
    """Let nobody work in these organizations any more; those that were open. Who waits for them comes too late.

    Of organizations that never were open it is noted how they were left.
    """
    if data_import.undo.opens:
        return _set_state(transaction, data_import.id, ids, former=1, state=0)
    with without_nested_loops(transaction):
        transaction.execute(_NOTE_CLOSED, {"ids": list(ids), "import_id": data_import.id})
    return []


def open_organizations(transaction: Transaction, import_id: int, ids: Sequence[int]) -> list[int]:
    """Open those of these organizations that are there; which they are."""
    return _set_state(transaction, import_id, ids, former=0, state=1)


def _set_state(transaction: Transaction, import_id: int, ids: Sequence[int], *, former: int, state: int) -> list[int]:
    """Those that were in the former state; their digests follow where nobody else had changed them."""
    parameters = {"ids": list(ids), "import_id": import_id, "former": former, "state": state}
    with without_nested_loops(transaction):
        return list(transaction.execute(_SET_STATE, parameters).scalars())


class GoingOrganization(NamedTuple):
    """An organization that is about to be deleted."""

    id: int
    version: int
    name: str
    slug: str | None


def read_going(transaction: Transaction, ids: Sequence[int]) -> list[GoingOrganization]:
    """Those of these organizations that are there."""
    return [
        GoingOrganization(row.id, row.version, row.name, row.slug)
        for row in transaction.execute(_VERSIONS, {"ids": list(ids)})
    ]


def members_by_organization(transaction: Transaction, ids: Sequence[int]) -> dict[int, list[int]]:
    """Those of these members who are there."""
    found: dict[int, list[int]] = {}
    for row in transaction.execute(_MEMBERS, {"ids": list(ids)}):
        found.setdefault(row.organization_id, []).append(row.id)
    return found
