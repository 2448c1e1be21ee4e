"""Every genuine export, compared with itself."""

from pathlib import Path

import pytest

from shared.exports.comparing import compare_files
from tests.genuine_exports import genuine_exports


@pytest.mark.parametrize("path", genuine_exports(), ids=lambda path: path.stem)
def test_a_real_export_differs_from_itself_only_where_it_must(path: Path) -> None:
    assert {finding.kind for finding in compare_files(path, path)} <= {"UUID4Comparator", "SubscriptionIDComparator"}
