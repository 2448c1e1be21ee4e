"""SQL of the policies that were chosen for single rows of a plan that an import applies, by place in the file."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from shared.database import Transaction
from shared.importing.choices import Choice
from shared.importing.decisions import WriteKind

# A row that the plan leaves out for another reason is left out whatever its policy.
_PLACES = text(
    """
    SELECT old_pk, ordinal FROM import_row
    WHERE import_id = :plan_id AND model = :model AND old_pk = ANY (CAST(:old_pks AS int8[]))
    UNION ALL
    SELECT CAST(pk AS int8), ordinal FROM import_finding
    WHERE import_id = :plan_id AND model = :model AND skipped AND kind = :kind AND ordinal > 0
        AND pk = ANY (CAST(CAST(:old_pks AS int8[]) AS text[]))
    """
)
_INSERT = text(
    """
    INSERT INTO import_choice (import_id, model, ordinal, policy)
    SELECT :import_id, :model, chosen.ordinal, chosen.policy
    FROM unnest(CAST(:ordinals AS int8[]), CAST(:policies AS int2[])) AS chosen (ordinal, policy)
    """
)
_WITHIN = text(
    """
    SELECT ordinal, policy FROM import_choice
    WHERE import_id = :import_id AND model = :model AND ordinal BETWEEN :first_ordinal AND :last_ordinal
    ORDER BY ordinal
    """
)


def places(transaction: Transaction, plan_id: int, model: str, pks: Sequence[int]) -> dict[int, int]:
    """Ordinals by pk of rows that the plan would write or find, or leaves out because their values are taken."""
    parameters = {"plan_id": plan_id, "model": model, "old_pks": list(pks), "kind": WriteKind.NOT_UNIQUE.value}
    rows = transaction.execute(_PLACES, parameters).all()
    # What stands first has the pk, where two rows have it.
    return {row.old_pk: row.ordinal for row in sorted(rows, key=lambda row: -row.ordinal)}


def insert(transaction: Transaction, import_id: int, model: str, policies: Mapping[int, int]) -> None:
    """Keep the policies of rows of a model, by ordinal."""
    parameters = {
        "import_id": import_id,
        "model": model,
        "ordinals": list(policies),
        "policies": list(policies.values()),
    }
    transaction.execute(_INSERT, parameters)


def within(transaction: Transaction, import_id: int, model: str, first_ordinal: int, last_ordinal: int) -> list[Choice]:
    """What was chosen for rows of the model from one ordinal to another."""
    span = {"first_ordinal": first_ordinal, "last_ordinal": last_ordinal}
    return [
        Choice(row.ordinal, row.policy)
        for row in transaction.execute(_WITHIN, {"import_id": import_id, "model": model, **span})
    ]
