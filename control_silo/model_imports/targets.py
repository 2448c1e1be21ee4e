"""How users and their addresses are written. An import never changes a user that was there before it.

Whatever the file says, an imported user has no power over the installation, a password that nobody knows, and must be
claimed. Rules: spec imports.md 10.
"""

from collections.abc import Mapping

from shared.importing.columns import columns_of
from shared.importing.kept import kept_target
from shared.importing.minting import alphanumerics, password_hashes
from shared.importing.registry import Silo, models
from shared.importing.targets import Conflict, Minted, Target, UniqueSet

_USERNAME_LENGTH_MAX = 128


def _as_staged(model: str, *names: str) -> dict[str, str]:
    known = {column.name for column in columns_of(model)}
    assert known.issuperset(names), f"{model} has no such columns: {set(names) - known}"
    return {name: f"s.{name}" for name in names}


_KEEP_ADDRESS = """
    INSERT INTO email_address (email, date_added)
    SELECT DISTINCT ON (lower(email)) email, %(now)s::timestamptz FROM resolved_user_account
    WHERE decision IS NOT NULL AND email <> '' ORDER BY lower(email)
    ON CONFLICT DO NOTHING
"""
_KEEP_USER_EMAIL = """
    INSERT INTO user_email (user_id, email, is_verified, validation_hash, date_hash_added)
    SELECT new_pk, email, false, carried, %(now)s::timestamptz FROM resolved_user_account
    WHERE decision IS NOT NULL AND email <> ''
"""

_USER = Target(
    model="sentry.user",
    table="user_account",
    snowflake=True,
    values={
        **_as_staged("sentry.user", "username", "name", "email", "is_active", "is_sentry_app", "is_suspended"),
        **_as_staged("sentry.user", "session_nonce", "avatar_type", "avatar_url"),
        **_as_staged("sentry.user", "date_joined", "last_login", "last_active"),
        "flags": "COALESCE(s.flags, 0)",
        "is_staff": "false",
        "is_superuser": "false",
        "is_managed": "false",
        "is_unclaimed": "true",
        "is_password_expired": "false",
        "password": "s.new_password",
        "last_password_change": "%(now)s::timestamptz",
    },
    unique=(UniqueSet(("username",), Conflict.SUFFIX, folded=True, length_max=_USERNAME_LENGTH_MAX),),
    minted=(Minted("new_password", password_hashes), Minted("new_validation_hash", alphanumerics)),
    carried="s.new_validation_hash",
    # A user's own address is known to the system from the start, as if the user had signed up with it.
    followed_by=(_KEEP_ADDRESS, _KEEP_USER_EMAIL),
)

_EMAIL = Target(
    model="sentry.email",
    table="email_address",
    values=_as_staged("sentry.email", "email", "date_added"),
    unique=(UniqueSet(("email",), Conflict.MERGE, folded=True),),
)

_USER_EMAIL = Target(
    model="sentry.useremail",
    table="user_email",
    values={
        "user_id": "r_user.new_pk",
        **_as_staged("sentry.useremail", "email"),
        "is_verified": "false",
        "validation_hash": "s.new_validation_hash",
        "date_hash_added": "%(now)s::timestamptz",
    },
    unique=(UniqueSet(("user_id", "email"), Conflict.ADOPT, folded=True),),
    minted=(Minted("new_validation_hash", alphanumerics),),
)

TARGETS: Mapping[str, Target] = {
    **{target.model: target for target in (_USER, _EMAIL, _USER_EMAIL)},
    **{
        model.name: kept_target(model.name)
        for model in models().values()
        if model.silo is Silo.CONTROL and model.table is None
    },
}
"""How rows of control's models are written, by model."""
