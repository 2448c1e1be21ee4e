"""Refusals of what a request says: fields, tokens of pages, masks, uploads."""

from collections.abc import Sequence

from shared.errors.foundation import Code, ServiceError, Violation


class InvalidArgument(ServiceError):
    """A field of the request is not acceptable."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_FIELD"

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidArgument":
        """One violation; the message names the field."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)])


class InvalidPageToken(InvalidArgument):
    """The page token is broken, or belongs to another query."""

    reason = "INVALID_PAGE_TOKEN"


class QueryTooLarge(InvalidArgument):
    """The query has more terms, or a longer list, than a query may have."""

    reason = "QUERY_TOO_LARGE"


class InvalidUpdateMask(InvalidArgument):
    """The update mask names a path that cannot be updated."""

    reason = "INVALID_UPDATE_MASK"


class InvalidUpload(InvalidArgument):
    """The uploaded bytes are not an export file."""

    reason = "INVALID_UPLOAD"


def refuse(violations: Sequence[Violation]) -> None:
    """Raise InvalidArgument with all of these violations, its message that of the first; nothing when there is none."""
    if violations:
        first = violations[0]
        told = f"{first.field}: {first.description}" if first.field else first.description
        raise InvalidArgument(told, violations=violations)
