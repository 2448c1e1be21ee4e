"""Cuts the objects out of one top-level JSON array while its bytes arrive, within fixed memory.

It decides framing only: brackets that match, depth, lengths, commas between the elements. What stands inside an object
is judged later, row by row. Whatever is fed, it holds at most one object (`object_bytes_max`) and one piece of input.

There are two ways that agree. Objects that lie whole in one piece, evenly apart, are cut together by the JSON parser,
many times as fast; where it finds anything amiss, and at the ends of a piece, the scan bracket by bracket decides.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import NamedTuple, NoReturn, Self

import msgspec

from shared.errors import InvalidUpload, LimitExceeded, ServiceError, Violation

FIELD = "chunk"
"""The request field that a violation names."""

_PIECE_BYTES = 131_072
_BOM = b"\xef\xbb\xbf"
_QUOTE = ord('"')
_CLOSERS = {ord("{"): ord("}"), ord("["): ord("]")}
_SPACE = re.compile(rb"[ \t\r\n]*")
_NEXT_OBJECT = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*(?=\{)")
# Everything up to the next bracket, whole strings included: one match an event. No two parts can match one byte, so
# a string that is cut off costs one way back at most. Not possessive: Python up to 3.11.4 resumes such groups wrongly.
_CONTENT = re.compile(rb'[^"{}\[\]]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"{}\[\]]*)*', re.DOTALL)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_STRING_BODY = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
# Objects whose opening brackets are counted together.
_COUNTED = 16


@dataclass(frozen=True)
class ScanLimits:
    """What one upload may look like. Lengths in bytes as sent, quotes excluded; the top-level array is depth 1."""

    depth_max: int = 64
    string_bytes_max: int = 1 << 20
    object_bytes_max: int = 4 << 20


class CutObject(NamedTuple):
    """One element of the array: where it starts in the upload (a BOM counts), and its bytes."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class CutRun:
    """Elements that follow one another: where the first starts in the upload, the length of each, and how many bytes
    of the array's own syntax stand between two of them. `array` is a JSON array of just them.
    """

    start: int
    lengths: list[int]
    gap: int
    array: bytes

    @classmethod
    def of(cls, cut: CutObject) -> Self:
        """A run of one."""
        return cls(cut.offset, [len(cut.data)], 0, b"[%b]" % cut.data)

    @property
    def offsets(self) -> list[int]:
        """Where each element starts in the upload."""
        return list(accumulate(map(self.gap.__add__, self.lengths[:-1]), initial=self.start))

    def objects(self) -> Iterator[CutObject]:
        """One by one, in order."""
        shift = 1 - self.start
        for offset, length in zip(self.offsets, self.lengths, strict=True):
            yield CutObject(offset, self.array[offset + shift : offset + shift + length])


class _Place(Enum):
    START = "before the array"
    FIRST = "before the first object"
    OBJECT = "after a comma"
    COMMA = "after an object"
    INSIDE = "inside an object"
    END = "after the array"


_BEFORE_OBJECT = (_Place.FIRST, _Place.OBJECT)
_BEFORE_END = (_Place.FIRST, _Place.COMMA)


class Scanner:
    """Feed it the upload in chunks of any size; it answers with the objects that are complete by then.

    Errors: InvalidUpload (metadata `offset`) for what is no array of objects, LimitExceeded (metadata `offset`,
    `limit`, `maximum`) for what is too deep or too long. After an error every further call raises the same error.
    """

    def __init__(self, limits: ScanLimits | None = None) -> None:
        self._limits = limits or ScanLimits()
        # A string that lies within one piece is then short enough without being measured.
        self._piece_bytes = max(1, min(_PIECE_BYTES, self._limits.string_bytes_max))
        self._place = _Place.START
        self._error: ServiceError | None = None
        self._base = 0  # offset in the upload of the current piece
        self._head = b""  # first bytes, until it is known whether they are a BOM
        self._head_done = False
        self._closers = bytearray()  # the closing bracket that each open one waits for
        self._cut = bytearray()  # the current object's bytes of earlier pieces
        self._start = 0  # offset of the current object
        self._in_string = False
        self._escaped = False
        self._string_bytes = 0

    @property
    def offset(self) -> int:
        """Bytes consumed so far."""
        return self._base + len(self._head)

    def feed(self, data: bytes) -> list[CutObject]:
        """Consume `data` and return the objects that end in it, in order."""
        return [cut for run in self.feed_runs(data) for cut in run.objects()]

    def feed_runs(self, data: bytes) -> list[CutRun]:
        """As `feed`, but objects that were cut together come together."""
        if self._error is not None:
            raise self._error
        if not self._head_done:
            data = self._skip_bom(data)
        found: list[CutRun] = []
        try:
            for start in range(0, len(data), self._piece_bytes):
                piece = data[start : start + self._piece_bytes]
                self._scan(piece, found)
                self._base += len(piece)
        except ServiceError as error:
            self._forget(error)
            raise
        return found

    def finish(self) -> None:
        """Say that no more bytes come; InvalidUpload when the array is not complete."""
        if self._error is not None:
            raise self._error
        if self._place is not _Place.END:
            where = "it is empty" if self.offset == 0 else f"it ends {self._place.value}"
            self._base, self._head = self.offset, b""
            try:
                self._refuse(0, f"the upload is no complete JSON array: {where}")
            except ServiceError as error:
                self._forget(error)
                raise

    def _skip_bom(self, data: bytes) -> bytes:
        data = self._head + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._head = data
            return b""
        self._head, self._head_done = b"", True
        if data.startswith(_BOM):
            self._base = len(_BOM)
            return data[len(_BOM) :]
        return data

    def _scan(self, piece: bytes, found: list[CutRun]) -> None:
        position, is_parsed = 0, False
        while position < len(piece):
            if self._in_string:
                position = self._scan_string(piece, position)
            elif self._place is _Place.INSIDE:
                position = self._scan_object(piece, position, found)
            elif not is_parsed and (gap := self._gap(piece, position)):
                is_parsed = True
                position = self._parse_objects(piece, position + len(gap), gap, found)
            else:
                position = self._scan_between(piece, position)
        if self._place is _Place.INSIDE:
            kept_from = max(0, self._start - self._base)
            self._cut += piece[kept_from:]
            self._check_object_length(len(piece))

    def _scan_between(self, piece: bytes, position: int) -> int:
        """Consume space and one character of the array's own syntax; up to the next object's, if it is in sight."""
        if self._place is _Place.COMMA and (following := _NEXT_OBJECT.match(piece, position)):
            position, self._place = following.end(), _Place.OBJECT
        position = _match_end(_SPACE, piece, position)
        if position == len(piece):
            return position
        byte = piece[position]
        place = self._place
        if place is _Place.START and byte == ord("["):
            self._place = _Place.FIRST
            self._open(byte, position)
        elif place in _BEFORE_OBJECT and byte == ord("{"):
            self._place = _Place.INSIDE
            self._start = self._base + position
            self._open(byte, position)
        elif place is _Place.COMMA and byte == ord(","):
            self._place = _Place.OBJECT
        elif place in _BEFORE_END and byte == ord("]"):
            self._place = _Place.END
        else:
            self._refuse(position, _expected(place))
        return position + 1

    def _gap(self, piece: bytes, position: int) -> bytes:
        """What stands before the next object, its comma and space, consumed; empty when the object is not in sight."""
        if self._place is not _Place.COMMA or (following := _NEXT_OBJECT.match(piece, position)) is None:
            return b""
        self._place = _Place.OBJECT
        return following.group()

    def _parse_objects(self, piece: bytes, position: int, gap: bytes, found: list[CutRun]) -> int:
        """Cut the objects that end in this piece, the last of them apart, as long as `gap` stands between any two;
        nothing where it does not, or one of them is not plain.

        What the parser takes as a list of objects is cut as the scan would cut it, for both end a string at the same
        quote. No string can be too long: a piece is not longer than one may be.
        """
        end = piece.rfind(b"}%b{" % gap, position) + 1
        if not end:
            return position
        body = piece[position:end]
        array = b"[%b]" % body
        try:
            elements = _ELEMENTS.decode(array)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return position
        run = CutRun(self._base + position, list(map(len, elements)), len(gap), array)
        if gap.join(elements) != body or not self._is_plain(run):
            return position
        found.append(run)
        self._place = _Place.COMMA
        return end

    def _is_plain(self, run: CutRun) -> bool:
        """Whether its elements are objects within the limits; they may be although this says that they are not."""
        starts = list(accumulate(map(run.gap.__add__, run.lengths), initial=1))
        if max(run.lengths) > self._limits.object_bytes_max:
            return False
        if set(map(run.array.__getitem__, starts[:-1])) != {ord("{")}:
            return False
        return all(
            self._is_shallow(run.array, starts[first : first + _COUNTED + 1])
            for first in range(0, len(run.lengths), _COUNTED)
        )

    def _is_shallow(self, array: bytes, starts: list[int]) -> bool:
        """Whether no object between the first and the last of these places can be too deep, by its opening brackets.

        Each has one at least, so that no one has more than all together have beyond one for each of the others.
        """
        opening = array.count(b"{", starts[0], starts[-1])
        if array.find(b"[", starts[0], starts[-1]) >= 0:  # many times as fast as counting, and often there is none
            opening += array.count(b"[", starts[0], starts[-1])
        others = len(starts) - 2
        if 1 + opening - others <= self._limits.depth_max:
            return True
        return others > 0 and all(
            self._is_shallow(array, starts[place : place + 2]) for place in range(len(starts) - 1)
        )

    def _scan_object(self, piece: bytes, position: int, found: list[CutRun]) -> int:
        """Consume up to the object's end, a string that goes on in the next piece, or the piece's end."""
        match, end, closers = _CONTENT.match, len(piece), self._closers
        while position < end:
            event = match(piece, position)
            position = event.end() if event else position
            if position == end:
                break
            byte = piece[position]
            if byte in _CLOSERS:
                self._open(byte, position)
            elif byte == _QUOTE:
                return self._begin_string(piece, position)
            else:
                if byte != closers[-1]:
                    self._refuse(position, f"expected {chr(closers[-1])!r} but found {chr(byte)!r}")
                closers.pop()
                if len(closers) == 1:
                    self._end_object(piece, position + 1, found)
                    return position + 1
            position += 1
        return position

    def _open(self, byte: int, position: int) -> None:
        if len(self._closers) >= self._limits.depth_max:
            self._exceed(position, "depth", self._limits.depth_max, "the JSON is nested too deeply")
        self._closers.append(_CLOSERS[byte])

    def _end_object(self, piece: bytes, end: int, found: list[CutRun]) -> None:
        self._check_object_length(end)
        data = piece[max(0, self._start - self._base) : end]
        if self._cut:
            data = bytes(self._cut) + data
            self._cut = bytearray()
        found.append(CutRun.of(CutObject(self._start, data)))
        self._place = _Place.COMMA

    def _check_object_length(self, end: int) -> None:
        maximum = self._limits.object_bytes_max
        if self._base + end - self._start > maximum:
            self._exceed(self._start - self._base, "object_bytes", maximum, "an object is too long")

    def _begin_string(self, piece: bytes, position: int) -> int:
        """Enter a string whose end is not in this piece."""
        self._in_string, self._string_bytes, self._escaped = True, 0, False
        return self._scan_string(piece, position + 1)

    def _scan_string(self, piece: bytes, position: int) -> int:
        start = position
        if self._escaped and position < len(piece):
            position, self._escaped = position + 1, False
        position = _match_end(_STRING_BODY, piece, position)
        ended = position < len(piece) and piece[position] == _QUOTE
        if not ended and position < len(piece):  # a backslash stands last; what it escapes is in the next piece
            position, self._escaped = len(piece), True
        self._string_bytes += position - start
        if self._string_bytes > self._limits.string_bytes_max:
            self._exceed(position, "string_bytes", self._limits.string_bytes_max, "a string is too long")
        if ended:
            self._in_string = False
            position += 1
        return position

    def _refuse(self, position: int, message: str) -> NoReturn:
        offset = self._base + position
        raise InvalidUpload(
            f"{message} (at byte {offset})", metadata={"offset": str(offset)}, violations=[Violation(FIELD, message)]
        )

    def _exceed(self, position: int, limit: str, maximum: int, message: str) -> NoReturn:
        offset = self._base + position
        raise LimitExceeded(
            f"{message}: at most {maximum} (at byte {offset})",
            metadata={"offset": str(offset), "limit": limit, "maximum": str(maximum)},
            violations=[Violation(FIELD, f"{message}: at most {maximum}")],
        )

    def _forget(self, error: ServiceError) -> None:
        self._error = error.with_traceback(None)
        self._cut = bytearray()
        self._closers = bytearray()


def _match_end(pattern: re.Pattern[bytes], piece: bytes, position: int) -> int:
    match = pattern.match(piece, position)
    return match.end() if match else position


def _expected(place: _Place) -> str:
    return {
        _Place.START: "the upload is not a JSON array",
        _Place.FIRST: "an element of the array is not an object",
        _Place.OBJECT: "an element of the array is not an object",
        _Place.COMMA: "expected ',' or ']' after an object",
        _Place.END: "something follows the array",
    }[place]
