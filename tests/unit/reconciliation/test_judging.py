"""When two silos differ about a subject: only what stood still, with nothing on its way, counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from control_silo.reconciliation.domain import (
    Difference,
    Nature,
    Repair,
    RepairMode,
    State,
    Verdict,
    judge,
    repair_of,
    repairs_itself,
)
from shared.comparing.domain import Kind, Look, Row

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ONE = Row(1, b"1", "{}", counted=True)
TWO = Row(2, b"2", "{}", counted=True)
NOTHING = Look()


def look(row: Row | None, *, waits: bool = False) -> Look:
    return Look({} if row is None else {"7": row}, frozenset({"7"} if waits else ()))


def test_equal_rows_are_equal_even_while_something_is_on_its_way() -> None:
    assert judge(Kind.TOKEN, "7", look(TWO), look(ONE, waits=True), look(ONE)).verdict is Verdict.EQUAL
    assert judge(Kind.TOKEN, "7", NOTHING, NOTHING, NOTHING).verdict is Verdict.EQUAL


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_on_its_way_in_any_look_is_pending(place: int) -> None:
    looks = [look(TWO, waits=place == 0), look(ONE, waits=place == 1), look(TWO, waits=place == 2)]
    assert judge(Kind.TOKEN, "7", *looks).verdict is Verdict.PENDING


def test_what_control_changed_between_its_looks_is_pending() -> None:
    assert judge(Kind.TOKEN, "7", look(ONE), look(None), look(TWO)).verdict is Verdict.PENDING
    assert judge(Kind.TOKEN, "7", look(None), look(None), look(TWO)).verdict is Verdict.PENDING
    assert judge(Kind.TOKEN, "7", look(TWO), look(None), look(TWO)).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("kind", "control", "region", "nature"),
    [
        (Kind.TOKEN, TWO, None, Nature.MISSING),
        (Kind.TOKEN, TWO, ONE, Nature.OLDER),
        (Kind.TOKEN, ONE, TWO, Nature.NEWER),
        (Kind.TOKEN, None, ONE, Nature.GONE),
        (Kind.TOKEN, ONE, ONE._replace(digest=b"x"), Nature.CONTENT),
        (Kind.TOKEN, ONE._replace(counted=False, elsewhere=True), ONE, Nature.ELSEWHERE),
        (Kind.ORGANIZATION, None, ONE, Nature.MISSING),
        (Kind.ORGANIZATION, ONE, TWO, Nature.OLDER),
        (Kind.ORGANIZATION, TWO, None, Nature.GONE),
        (Kind.ORGANIZATION, ONE._replace(counted=False, elsewhere=True), ONE, Nature.ELSEWHERE),
        (Kind.SLUG, ONE, TWO, Nature.CONTENT),
        (Kind.SLUG, TWO, ONE._replace(counted=False), Nature.CONTENT),
        (Kind.SLUG, ONE._replace(counted=False), ONE, Nature.GONE),
        (Kind.SLUG, ONE, None, Nature.MISSING),
    ],
)
def test_the_copy_is_where_the_truth_is_not(
    kind: Kind, control: Row | None, region: Row | None, nature: Nature
) -> None:
    judged = judge(kind, "7", look(control), look(region), look(control))
    assert (judged.verdict, judged.nature) == (Verdict.DIFFERENT, nature)


def test_nothing_is_repaired_where_nobody_has_the_truth_for_sure() -> None:
    for kind in Kind:
        assert repair_of(kind, Nature.NEWER) is Repair.NONE
        assert repair_of(kind, Nature.ELSEWHERE) is Repair.NONE
    assert repair_of(Kind.SLUG, Nature.MISSING) is repair_of(Kind.SLUG, Nature.GONE) is Repair.NONE
    assert repair_of(Kind.REGION, Nature.GONE) is Repair.NONE


def test_repairs_by_themselves_follow_the_mode_and_wait_longer_each_time() -> None:
    older = Difference(
        1,
        "us",
        Kind.TOKEN,
        "7",
        Nature.OLDER,
        State.DIFFERENT,
        Repair.RESEND,
        "{}",
        "{}",
        NOW,
        NOW,
        None,
        None,
        None,
        0,
    )
    content = replace(older, nature=Nature.CONTENT)
    modes = [RepairMode.NONE, RepairMode.LATEST, RepairMode.ALL]
    assert [repairs_itself(older, mode, NOW) for mode in modes] == [False, True, True]
    assert [repairs_itself(content, mode, NOW) for mode in modes] == [False, False, True]
    assert not repairs_itself(replace(older, state=State.PENDING), RepairMode.ALL, NOW)
    assert not repairs_itself(replace(older, repair=Repair.NONE), RepairMode.ALL, NOW)
    third = replace(older, repaired_at=NOW, repair_count=3)
    assert not repairs_itself(third, RepairMode.LATEST, NOW + timedelta(minutes=39))
    assert repairs_itself(third, RepairMode.LATEST, NOW + timedelta(minutes=40))
