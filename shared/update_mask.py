"""What an update sets: how its field mask and the values of its fields choose among those that may change."""

from collections.abc import Mapping, Sequence

from shared.errors import InvalidUpdateMask, Violation

ALL = "*"


def chosen_paths(values: Mapping[str, object], mask: Sequence[str] | None) -> frozenset[str]:
    """The paths that an update sets: those of the mask, all for `*`, those with a value when there is no mask.

    `values` has the field of each path that may change; an empty text, an empty map and None are no value. Raises
    InvalidUpdateMask with a violation for each other path, like `update_mask.paths[1]`.
    """
    wrong = [
        Violation(f"update_mask.paths[{index}]", f"{path!r} is not one of {', '.join(values)}, or {ALL}")
        for index, path in enumerate(mask or ())
        if path != ALL and path not in values
    ]
    if wrong:
        raise InvalidUpdateMask(f"update_mask: {wrong[0].description}", violations=wrong)
    if not mask:
        return frozenset(path for path, value in values.items() if value not in ("", None, {}))
    return frozenset(values if ALL in mask else mask)
