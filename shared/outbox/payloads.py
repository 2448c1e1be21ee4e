"""How a message's payload is shown to people: as JSON, with what may be secret blotted out."""

import re

import msgspec

BLOT = "***"
_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|credential|private|authorization|cookie|hash|nonce|api_?key", re.I
)
_SECRET_VALUE = re.compile(r"siloway_[A-Za-z0-9_-]{20,}")


def shown(payload: dict[str, object] | None) -> str:
    """The payload as one line of JSON; empty for none."""
    return "" if payload is None else msgspec.json.encode(blotted(payload)).decode()


def blotted(value: object) -> object:
    """The value without what its name or its form marks as a secret. Nulls, truths and empty texts stay readable."""
    if isinstance(value, dict):
        return {
            key: BLOT if _SECRET_NAME.search(str(key)) and not _tells_nothing(each) else blotted(each)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [blotted(each) for each in value]
    return _SECRET_VALUE.sub(BLOT, value) if isinstance(value, str) else value


def _tells_nothing(value: object) -> bool:
    return value is None or isinstance(value, bool) or value == ""
