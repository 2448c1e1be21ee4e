"""In which order an import is undone: what refers to a row goes before the row, so what still refers to it then stays.

That is the order of writing reversed, with one exception. Some of control's models are parts of a user: they stay with
a user who stays, so it is found out first who does (MARK), and only then parts, users and their addresses go. What a
part refers to comes behind the parts.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from shared.importing.registry import USER, models

EMAIL = "sentry.email"
USER_EMAIL = "sentry.useremail"
EMAILS_OF_USERS = "sentry.user useremail"
"""In control's ledger: an own address made for a user whom the import wrote; `old_pk` is the user's id here."""
ADDRESSES_OF_USERS = "sentry.user email"
"""In control's ledger: an address that such users made known; `old_pk` is its id here."""

PARTS_OF_USERS = frozenset(
    {
        "sentry.authenticator",
        USER_EMAIL,
        "sentry.userip",
        "sentry.useroption",
        "sentry.userpermission",
        "sentry.userroleuser",
    }
)
"""Models of rows that are a user's own."""


class Phase(IntEnum):
    """What is done with a model's rows; the numbers stand on the wire."""

    BEGIN = 1
    """Nothing yet: it is looked whether the ledger is there, and what an earlier undoing has marked is forgotten."""
    MARK = 2
    """Find out which users stay."""
    UNDO = 3
    """Undo what can be undone."""


@dataclass(frozen=True)
class Step:
    """One model in one phase; `model` is "" for BEGIN."""

    phase: Phase
    model: str

    @property
    def name(self) -> str:
        """How the step is remembered."""
        return f"{self.phase.name} {self.model}".strip()


def steps_of(written: Collection[str]) -> list[Step]:
    """All steps for an import that wrote rows of these models, in order."""
    known = [name for name in models() if name in written]
    parts = [name for name in known if name in PARTS_OF_USERS]
    referred = {each.model for name in parts for each in models()[name].references} - {USER}
    place = models()[USER].order
    later = [name for name in reversed(known) if models()[name].order > place and name not in (*parts, EMAIL)]
    behind = [name for name in later if name in referred]
    before = [name for name in reversed(known) if models()[name].order < place]
    undone = [name for name in later if name not in referred]
    steps = [Step(Phase.BEGIN, ""), *_undo(undone)]
    if USER in known:
        steps += [Step(Phase.MARK, name) for name in (*parts, EMAILS_OF_USERS, USER)]
    steps += _undo(reversed(parts))
    if USER in known:
        steps += _undo([EMAILS_OF_USERS, USER, ADDRESSES_OF_USERS])
    steps += _undo([*behind, *(name for name in known if name == EMAIL)])
    return [*steps, *_undo(before)]


def _undo(names: Iterable[str]) -> list[Step]:
    return [Step(Phase.UNDO, name) for name in names]
