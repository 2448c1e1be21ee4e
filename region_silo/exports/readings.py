"""How the region's models are read, and which organizations' rows go: of those that are whole.

An organization that an import still writes, or that is being purged, does not go, nor does anything of it. One that is
only marked for deletion does: reading is what it is still there for.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from region_silo.imports.targets import target_of
from region_silo.organizations.domain import OrganizationState
from shared.database import Transaction
from shared.deletion import DeletionStage
from shared.exporting.readings import Reading, Selection, reading_of
from shared.importing.registry import ImportScope, Silo, models
from shared.importing.terms import Terms

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "sentry.organization": {"slug": "slug"},
    "sentry.organizationmemberteam": {"organizationmember": "organization_member_id"},
}

READINGS: Mapping[str, Reading] = {
    name: reading_of(target_of(name, Terms(ImportScope.ORGANIZATION)), _RENAMED.get(name))
    for name, model in models().items()
    if model.silo is Silo.REGION
}
"""The tables of the region's models, by model."""

_DANGLING = frozenset({"sentry.snubaquery", "sentry.timeseriessnapshot"})
"""Models that refer to nobody who must be there; their rows go with the organization of what refers to them."""

_IS_WHOLE = f"state = {OrganizationState.ACTIVE:d} AND deletion < {DeletionStage.DELETING:d}"
_OF_WHOLE = f"NOT EXISTS (SELECT FROM organization o WHERE o.id = t.organization_id AND NOT ({_IS_WHOLE}))"

_WANTED = text(
    f"""
    SELECT id FROM organization WHERE {_IS_WHOLE}
        AND (CAST(:organization_id AS bigint) IS NULL OR id = :organization_id)
        AND (CAST(:slugs AS text[]) IS NULL OR slug = ANY (CAST(:slugs AS text[])))
    ORDER BY id
    """
)


def organizations_of(
    transaction: Transaction, organization_id: int | None, slugs: Sequence[str] | None
) -> tuple[int, ...]:
    """The whole organizations with these slugs (None: any); with an id only that one, if it is among them."""
    parameters = {"organization_id": organization_id, "slugs": None if slugs is None else list(slugs)}
    return tuple(transaction.execute(_WANTED, parameters).scalars())


def selection(model: str, scope: ImportScope, *, limited: bool) -> Selection:
    """Which rows of a model go, besides the closure. `limited`: only of the organizations of the parameter
    `organizations`, whatever else a row without one refers to.
    """
    if model == "sentry.organization":
        whole = f"t.{_IS_WHOLE.replace('deletion', 't.deletion')}"
        return Selection(scope, [whole, "t.id = ANY(%(organizations)s::bigint[])"] if limited else [whole])
    if model in _DANGLING and scope is not ImportScope.GLOBAL and not limited:
        return Selection(scope, [_OF_WHOLE, "t.organization_id IS NOT NULL"])
    return Selection(scope, ["t.organization_id = ANY(%(organizations)s::bigint[])" if limited else _OF_WHOLE])
