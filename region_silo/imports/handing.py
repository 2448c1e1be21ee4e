"""What control must be told of the region's rows, to understand the rows of its own models that refer to them."""

from collections.abc import Sequence

from shared.importing.fields import field_reader
from shared.importing.registry import Silo, models
from shared.importing.upload import RawRow


def referred_in_region(model: str, rows: Sequence[RawRow]) -> dict[str, set[int]]:
    """The pks of the region's rows, by model, that rows of one of control's models refer to."""
    references = [
        each
        for each in models()[model].references
        if each.model in models() and models()[each.model].silo is Silo.REGION
    ]
    wanted: dict[str, set[int]] = {}
    reader = field_reader(tuple(each.field for each in references))
    for row in rows if references else ():
        for reference, pk in zip(references, reader.pks(row.data), strict=True):
            if pk is not None:
                wanted.setdefault(reference.model, set()).add(pk)
    return wanted
