"""Two requests have one fingerprint exactly when they ask for the same."""

from shared.requests import fingerprint


def test_equal_parts_have_equal_fingerprints_whatever_the_order_of_keys() -> None:
    assert fingerprint("a", {"x": 1, "y": [2]}) == fingerprint("a", {"y": [2], "x": 1})


def test_other_parts_or_other_types_have_other_fingerprints() -> None:
    parts: list[tuple[object, ...]] = [
        ("1",),
        (1,),
        (b"1",),
        ("1", ""),
        ("", "1"),
        (None,),
        ([1],),
        ("a", "b"),
        ("ab",),
    ]
    assert len({fingerprint(*each) for each in parts}) == len(parts)
