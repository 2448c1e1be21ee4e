"""How staged rows find what they refer to: the part of a batch's SQL that reads the pk map and the owners' tables.

Lookups are LATERAL .. LIMIT 1, which has one possible plan: plain joins on the growing ledger flip to plans that are
far slower. Where the pks that a batch refers to lie near each other, their span of the ledger is read once and hashed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.importing.decisions import WriteKind
from shared.importing.findings import FindingKind
from shared.importing.registry import ORGANIZATION, Reference
from shared.importing.targets import Target


@dataclass(frozen=True)
class Known:
    """What is known of a batch beforehand, and spares lookups.

    `apart`: the ledger has none of the model among its pks yet. `near`: references whose pks span few; the parameters
    least_<field> and greatest_<field> are the ends. `one_organization`: the file has one, so all owners are of that.
    """

    apart: bool = False
    near: frozenset[str] = frozenset()
    one_organization: bool = False


def referred(target: Target, known: Known) -> str:
    """A query of the staged rows: ordinal, old_pk, taken_pk, what is wrong with each, and the values to write."""
    joins = []
    problems = [] if known.apart else [("k.found", FindingKind.REPEATED_PK.name, "pk", "s.old_pk::text")]
    problems += [(condition, kind.name, field, "''") for kind, (field, condition) in target.refused.items()]
    told = ["0"]
    for number, reference in enumerate(target.references):
        name = reference.field
        joins.append(_near(reference) if name in known.near else _looked_up(reference))
        missing = f"(s.{name} IS NOT NULL AND r_{name}.new_pk IS NULL)"
        if name in target.nulled:
            told.append(f"CASE WHEN {missing} THEN {1 << number} ELSE 0 END")
        else:
            problems.append((missing, FindingKind.MISSING_REFERENCE.name, name, f"s.{name}::text"))
    joins += _owners(target, known)
    if not known.one_organization:
        for name in target.owners:
            differs = f"(o_{name}.organization_id <> {target.values['organization_id']})"
            problems.append((differs, WriteKind.FOREIGN_REFERENCE.value, name, f"s.{name}::text"))
    if not known.apart:
        joins.append(
            "LEFT JOIN LATERAL (SELECT true AS found FROM import_row m WHERE m.import_id = %(import_id)s"
            f" AND m.model = '{target.model}' AND m.old_pk = s.old_pk LIMIT 1) k ON true"
        )

    def first(part: int) -> str:
        if not problems:
            return "NULL::text"
        cases = " ".join(f"WHEN {each[0]} THEN {each[part] if part == 3 else repr(each[part])}" for each in problems)
        return f"CASE {cases} END"

    values = ", ".join(f"{expression} AS {column}" for column, expression in target.values.items())
    return (
        f"SELECT s.ordinal, s.old_pk, s.new_pk AS taken_pk, {first(1)} AS problem, {first(2)} AS problem_field,"
        f" {first(3)} AS problem_value, {' | '.join(told)} AS told, {target.carried} AS carried, {values}"
        f" FROM {target.stage} s {' '.join(joins)}"
    )


def _looked_up(reference: Reference) -> str:
    return (
        f"LEFT JOIN LATERAL (SELECT m.new_pk, m.decision FROM import_row m WHERE m.import_id = %(import_id)s"
        f" AND m.model = '{reference.model}' AND m.old_pk = s.{reference.field} LIMIT 1) r_{reference.field} ON true"
    )


def _near(reference: Reference) -> str:
    name = reference.field
    return (
        "LEFT JOIN (SELECT m.old_pk, m.new_pk, m.decision FROM import_row m WHERE m.import_id = %(import_id)s"
        f" AND m.model = '{reference.model}' AND m.old_pk BETWEEN %(least_{name})s AND %(greatest_{name})s OFFSET 0)"
        f" r_{name} ON r_{name}.old_pk = s.{name}"
    )


def _owners(target: Target, known: Known) -> Iterator[str]:
    for name, table in target.owners.items():
        if known.one_organization:
            yield (
                "CROSS JOIN (SELECT m.new_pk AS organization_id FROM import_row m WHERE m.import_id = %(import_id)s"
                f" AND m.model = '{ORGANIZATION}' LIMIT 1) o_{name}"
            )
        else:
            yield (
                f"LEFT JOIN LATERAL (SELECT t.organization_id FROM {table} t WHERE t.id = r_{name}.new_pk LIMIT 1)"
                f" o_{name} ON true"
            )
