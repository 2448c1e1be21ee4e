"""Who can tell the owner of an organization from its key alone, and which numbers a region refuses to run with."""

import pytest

from region_silo.routing.domain import Ask, RegionEntry, check_number, whom_to_ask
from shared.errors import RegionNumberTaken
from shared.names import Key
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2

DIRECTORY = (RegionEntry("de", 2, "d:1", 1), RegionEntry("us", 1, "u:1", 1))


@pytest.mark.parametrize(
    ("key", "whom", "number"),
    [
        (LAYOUT_2.encode(100, 7, 3), Ask.DIRECTORY, 7),
        (LAYOUT_2.encode(100, 0, 3), Ask.DIRECTORY, 0),
        (LAYOUT_1.encode(100, 7, 3), Ask.CONTROL, 0),
        (17, Ask.NOBODY, 0),
        (2**63 - 1, Ask.NOBODY, 0),
        ("acme", Ask.CONTROL, 0),
        ("My-Org_2", Ask.CONTROL, 0),
        ("a" * 50, Ask.CONTROL, 0),
        ("a" * 51, Ask.NOBODY, 0),
        ("-acme", Ask.NOBODY, 0),
        ("a b", Ask.NOBODY, 0),
        ("9" * 40, Ask.NOBODY, 0),
    ],
)
def test_only_what_can_be_an_organizations_key_is_asked_for(key: Key, whom: Ask, number: int) -> None:
    assert whom_to_ask(key) == (whom, number)


def test_fault_F4_a_region_runs_only_with_the_number_that_the_directory_gives_it() -> None:
    check_number(DIRECTORY, name="us", number=1)
    check_number(DIRECTORY, name="fr", number=3)
    check_number((), name="fr", number=1)
    for name, number in (("fr", 1), ("us", 3), ("us", 2)):
        with pytest.raises(RegionNumberTaken):
            check_number(DIRECTORY, name=name, number=number)
