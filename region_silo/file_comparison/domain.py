"""Which files can be compared, and for whom. A caller must be allowed to both; what another may see is not there.

Exports are for those who may take their file; the file of an import is for whoever uploaded it and for operators, and
never for a token that is bound to one organization: nobody knows whose rows are in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from region_silo.imports.domain import DataImport, State
from shared import errors
from shared.rpc.call import Caller

_OPERATE = "silo:operate"


class Kind(Enum):
    """What a file is of, and the scopes of which one is needed for it."""

    EXPORT = ("exports", ("org:admin", _OPERATE))
    IMPORT = ("imports", ("import:write", _OPERATE))

    def __init__(self, collection: str, scopes: tuple[str, ...]) -> None:
        self.collection = collection
        self.scopes = scopes


@dataclass(frozen=True)
class FileName:
    """The name of the export or the import, as on the wire."""

    kind: Kind
    id: int

    @classmethod
    def of(cls, text: str) -> "FileName":
        """From "exports/{id}" or "imports/{id}"."""
        collection, _, number = text.partition("/")
        return cls(next(each for each in Kind if each.collection == collection), int(number))


@dataclass(frozen=True)
class ComparedFile:
    """A file that is there, and how many rows it has."""

    path: Path
    rows: int


def check_scopes(name: FileName, caller: Caller) -> None:
    """Raise ScopeMissing when nothing of its kind is for the caller."""
    if not caller.scopes.intersection(name.kind.scopes):
        raise errors.ScopeMissing(metadata={"scope": name.kind.scopes[0]})


def may_see_values(names: Iterable[FileName], caller: Caller) -> bool:
    """Whether the files' values may be told: those of exports, which the caller may take, and all to operators.

    No door gives the file of an import back, so who may import only is told the names of fields.
    """
    operates = _OPERATE in caller.scopes and caller.organization_id is None
    return operates or all(name.kind is Kind.EXPORT for name in names)


def check_whole(found: DataImport) -> None:
    """Raise WrongImportState while the import's file arrives."""
    if found.state is State.UPLOADING:
        raise errors.WrongImportState(f"The file of {found.name} has not come yet.", metadata={"state": "UPLOADING"})
