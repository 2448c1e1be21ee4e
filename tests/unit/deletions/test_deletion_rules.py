"""When a deletion may be asked for and taken back, and in which order tables are emptied."""

from datetime import UTC, datetime, timedelta

import pytest

from control_silo.deletions.domain import Refusal, Request, decide
from region_silo.deletions.domain import KEPT, in_order
from shared.deletion import DeletionStage

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("stage", "purge_at", "request_", "wanted"),
    [
        (DeletionStage.NONE, None, Request.DELETE, DeletionStage.PENDING),
        (DeletionStage.NONE, None, Request.UNDELETE, Refusal.NOT_DELETED),
        (DeletionStage.PENDING, LATER, Request.DELETE, Refusal.PENDING),
        (DeletionStage.PENDING, LATER, Request.UNDELETE, DeletionStage.NONE),
        (DeletionStage.PENDING, NOW, Request.UNDELETE, Refusal.TOO_LATE),
        (DeletionStage.PENDING, EARLIER, Request.UNDELETE, Refusal.TOO_LATE),
        (DeletionStage.DELETING, LATER, Request.DELETE, Refusal.TOO_LATE),
        (DeletionStage.DELETING, LATER, Request.UNDELETE, Refusal.TOO_LATE),
        (DeletionStage.GONE, LATER, Request.DELETE, Refusal.TOO_LATE),
        (DeletionStage.GONE, LATER, Request.UNDELETE, Refusal.TOO_LATE),
    ],
)
def test_only_a_pending_deletion_goes_back_and_only_before_its_purge_time(
    stage: DeletionStage, purge_at: datetime | None, request_: Request, wanted: DeletionStage | Refusal
) -> None:
    assert decide(stage, purge_at, request_, NOW) is wanted


def test_children_are_emptied_before_what_they_refer_to() -> None:
    references = [("b", "a"), ("c", "b"), ("c", "a"), ("a", "organization"), ("d", "d")]
    order = in_order({"a", "b", "c", "d", *KEPT}, references)
    assert sorted(order) == ["a", "b", "c", "d"]
    assert order.index("c") < order.index("b") < order.index("a")


def test_tables_that_refer_to_each_other_in_a_ring_are_a_mistake_told_by_name() -> None:
    with pytest.raises(ValueError, match="a, b"):
        in_order({"a", "b", "c"}, [("a", "b"), ("b", "a"), ("a", "c")])
