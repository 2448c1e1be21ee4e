"""What a user is, and the rules of a new one, told all at once."""

import re
from dataclasses import dataclass
from datetime import datetime

from shared.errors import Violation, refuse

_USERNAME_LENGTH_MAX = 128
_TEXT_LENGTH_MAX = 200
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True)
class NewUser:
    """What is asked for; an empty name means the username, an empty e-mail that there is none."""

    username: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True)
class User:
    """A user's row, as far as anybody is told of it."""

    id: int
    username: str
    name: str
    email: str
    suspended: bool
    created_at: datetime


@dataclass(frozen=True)
class UserKey:
    """What a request record keeps of a user."""

    user_id: int


def check(new: NewUser) -> None:
    """Raise InvalidArgument with every broken rule; the fields are those of the request."""
    violations = []
    if not 0 < len(new.username) <= _USERNAME_LENGTH_MAX or not new.username.isprintable() or " " in new.username:
        text = f"must be 1 to {_USERNAME_LENGTH_MAX} printable characters without blanks"
        violations.append(Violation("user.username", text))
    if len(new.name) > _TEXT_LENGTH_MAX or not new.name.isprintable():
        violations.append(Violation("user.display_name", f"must be at most {_TEXT_LENGTH_MAX} printable characters"))
    is_address = _EMAIL.fullmatch(new.email) is not None and new.email.isprintable()
    if new.email and not (is_address and len(new.email) <= _TEXT_LENGTH_MAX):
        violations.append(Violation("user.email", f"must be an address of at most {_TEXT_LENGTH_MAX} characters"))
    refuse(violations)
