"""Log lines: one JSON object a line on stderr, from our code and from libraries alike.

Secrets never reach a line: fields that hold them are dropped by name, bearer tokens and passwords inside texts are
blotted out. Until `configure` is called only errors are told.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec
import structlog

_SECRET_FIELDS: Final = frozenset({"authorization", "token", "secret", "password", "private_key"})
_SECRET_TEXT: Final = re.compile(r"(?i)(bearer\s+)\S+|(://[^:/@\s]+:)[^@\s]+(?=@)|(password=)\S+")


class _Lines:
    """Writes whole lines to what sys.stderr is at that moment."""

    def msg(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = exception = log = msg


class _LibraryLines(logging.Handler):
    """Carries the standard library's log records into the same lines."""

    def emit(self, record: logging.LogRecord) -> None:
        lines = structlog.get_logger()
        lines.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def configure(level: str = "info") -> None:
    """Tell lines of `level` (debug, info, warning, error) and above, for the whole process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            blot_secrets,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LibraryLines)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryLines())
    root.setLevel(max(number, logging.WARNING))


def bound_logger() -> Any:  # structlog's own type is Any as well
    """A logger of the present configuration, cheap to call."""
    return structlog.get_logger().bind()


def blot_secrets(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop secret fields and blot out secrets inside texts."""
    for key in event.keys() & _SECRET_FIELDS:
        del event[key]
    if not _SECRET_TEXT.search("\n".join([value for value in event.values() if isinstance(value, str)])):
        return event  # nearly every line: one look at all of it
    for key, value in event.items():
        if isinstance(value, str) and _SECRET_TEXT.search(value):
            event[key] = _SECRET_TEXT.sub(lambda match: next(filter(None, match.groups())) + "***", value)
    return event


def _render(_logger: object, _name: str, event: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


if not structlog.is_configured():
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            blot_secrets,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=lambda *_: _Lines(),
    )
