"""In which order the models of a file are written."""

from shared.importing.index import ModelRows
from shared.importing.registry import in_write_order


def in_order_of_writing(found: tuple[ModelRows, ...]) -> list[ModelRows]:
    """The file's models: those that are known in dependency order, then the others in the file's order."""
    rows = {each.model: each for each in found}
    known = in_write_order(rows)
    return [rows[name] for name in known] + [each for each in found if each.model not in set(known)]
