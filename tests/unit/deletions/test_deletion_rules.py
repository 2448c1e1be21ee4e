"""When a deletion may be taken back, and in which order tables are emptied."""

from datetime import UTC, datetime, timedelta

import pytest

from control_silo.deletions.domain import Refusal, undelete
from region_silo.deletions.domain import KEPT, in_order
from shared.deletion import DeletionStage

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stage", "purge_at", "wanted"),
    [
        (DeletionStage.NONE, None, Refusal.NOT_DELETED),
        (DeletionStage.PENDING, LATER, DeletionStage.NONE),
        (DeletionStage.PENDING, NOW, Refusal.TOO_LATE),
        (DeletionStage.PENDING, EARLIER, Refusal.TOO_LATE),
        (DeletionStage.DELETING, LATER, Refusal.TOO_LATE),
        (DeletionStage.GONE, LATER, Refusal.TOO_LATE),
    ],
)
def test_only_a_pending_deletion_goes_back_and_only_before_its_purge_time(
    stage: DeletionStage, purge_at: datetime | None, wanted: DeletionStage | Refusal
) -> None:
    assert undelete(stage, purge_at, NOW) is wanted


def test_children_are_emptied_before_what_they_refer_to() -> None:
    references = [("b", "a"), ("c", "b"), ("c", "a"), ("a", "organization"), ("d", "d")]
    order = in_order({"a", "b", "c", "d", *KEPT}, references)
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")


def test_tables_that_refer_to_each_other_in_a_ring_are_a_mistake_told_by_name() -> None:
    with pytest.raises(ValueError, match="a, b"):
        in_order({"a", "b", "c"}, [("a", "b"), ("b", "a"), ("a", "c")])
