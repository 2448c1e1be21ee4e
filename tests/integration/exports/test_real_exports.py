"""What an import of a genuine file wrote is exported again, row by row and field by field."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from region_silo.exports.domain import Scope
from tests.genuine_exports import genuine_exports
from tests.integration.exports.stack import ExportStack

_FILES = genuine_exports()
_BY_RULE = {
    "sentry.user": {
        *("username", "password", "is_staff", "is_superuser", "is_managed", "is_unclaimed", "is_password_expired"),
        *("last_password_change", "is_suspended"),
    },
    "sentry.email": {"email", "date_added"},
    "sentry.useremail": {"is_verified", "validation_hash", "date_hash_added"},
    "sentry.organization": {"slug"},
    "sentry.monitor": {"guid"},
    "sentry.incident": {"detection_uuid"},
    "sentry.incidentactivity": {"notification_uuid"},
    "sentry.querysubscription": {"subscription_id"},
}
"""Fields that an import in organization scope changes."""


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_imported_row_of_a_genuine_file_is_exported_as_the_file_has_it(stack: ExportStack, path: Path) -> None:
    rows = json.loads(path.read_text())
    ledger = stack.imports.ledger(stack.import_all(rows).id)
    new = {(row["model"], row["old_pk"]): row["new_pk"] for row in ledger}
    inserted = {(row["model"], row["old_pk"]) for row in ledger if row["decision"] == 1}
    data = stack.build(Scope.ORGANIZATION)
    assert data == stack.build(Scope.ORGANIZATION), "the same rows were other bytes"
    exported = {(row["model"], row["pk"]): row["fields"] for row in json.loads(data)}
    old = {(row["model"].lower(), row["pk"]): row["fields"] for row in rows}
    missing = {key for key in inserted if (key[0], new[key]) not in exported}
    assert {model for model, _ in missing} <= {"sentry.email"}, "only addresses that no user has do not go"
    different = [
        (key, field, old[key][field], value)
        for key in sorted(inserted - missing)
        for field, value in exported[key[0], new[key]].items()
        if field in old[key] and field not in _BY_RULE.get(key[0], ())
        if not _is_same(old[key][field], value, new)
    ]
    assert not different


def _is_same(old: Any, new: Any, ledger: dict[tuple[str, int], int]) -> bool:
    """Whether it is the file's value, a row's new pk, or the same in the modern encoding."""
    if old == new:
        return True
    if isinstance(old, int) and isinstance(new, int):
        return any(pk == new for (_, old_pk), pk in ledger.items() if old_pk == old)
    if not isinstance(old, str):
        return False
    for read in (json.loads, ast.literal_eval):
        try:
            if read(old) == new:
                return True
        except (ValueError, SyntaxError):
            continue
    return isinstance(new, str) and new == old.removesuffix("Z") + ".000Z"
