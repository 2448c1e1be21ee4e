"""What a comparison that runs as a process of its own tells whoever started it: one JSON object a line.

The last line is Compared or Refused; without one it was cut short. No line grows with the files.
"""

import msgspec


class Line(msgspec.Struct, frozen=True, tag=True, gc=False):
    """One line; its type stands in it."""


class Progress(Line, frozen=True):
    """How many rows were read so far. Each is read two or three times."""

    rows_read: int


class FindingLine(Line, frozen=True):
    """A difference, as shared.exports.comparison_findings has it; `reason` may be cut."""

    kind: str
    model: str
    ordinal: int | None
    left_pk: int | None
    right_pk: int | None
    reason: str


class ModelLine(Line, frozen=True):
    """A model's rows on both sides and their digests, hexadecimal; "" where there is none."""

    model: str
    left_rows: int
    right_rows: int
    left_digest: str
    right_digest: str


class OrganizationLine(Line, frozen=True):
    """An organization of both sides, with all that belongs to it; digests as for a model."""

    left_pk: int
    right_pk: int
    left_digest: str
    right_digest: str


class Compared(Line, frozen=True):
    """All is told, but for findings that are more than were wanted: `is_cut`. `matched`: rows were compared."""

    findings: int
    is_cut: bool
    matched: bool
    rows_read: int


class Refused(Line, frozen=True):
    """It could not be done: a file is no export (`UNREADABLE`), not there any more, or there is no room on disk."""

    why: str
    reason: str


UNREADABLE = "unreadable"
GONE = "gone"
NO_ROOM = "no room"

Told = Progress | FindingLine | ModelLine | OrganizationLine | Compared
READ_LINE = msgspec.json.Decoder(Told | Refused).decode
