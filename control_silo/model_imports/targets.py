"""How users and the file's addresses are written. An import never changes a user that was there before it.

Whatever the file says, a user who comes with an organization has no power over the installation, a password that nobody
knows, and must be claimed. Rules: spec imports.md 10.
"""

from functools import cache

from shared.importing.decisions import Decision, WriteKind
from shared.importing.kept import kept_target
from shared.importing.minting import alphanumerics, password_hashes
from shared.importing.policies import with_policy
from shared.importing.registry import ImportScope
from shared.importing.targets import Conflict, Minted, Target, UniqueSet, as_staged
from shared.importing.terms import Terms

_USERNAME_LENGTH_MAX = 128

_CLAIMABLE = {
    "password": "s.new_password",
    "last_password_change": "%(now)s::timestamptz",
    "is_password_expired": "false",
    "is_unclaimed": "true",
}
"""A user that nobody can log in as until it was claimed."""


def _user(terms: Terms) -> Target:
    """Power over the installation and passwords come along only when the whole installation is imported."""
    has_powers = terms.scope in (ImportScope.CONFIG, ImportScope.GLOBAL)
    powers = ("is_staff", "is_superuser", "is_managed")
    claimable = dict(_CLAIMABLE)
    if terms.scope is ImportScope.GLOBAL:
        claimable = {
            column: f"CASE WHEN s.is_unclaimed THEN {made} ELSE s.{column} END" for column, made in _CLAIMABLE.items()
        }
    return Target(
        model="sentry.user",
        table="user_account",
        snowflake=True,
        values={
            **as_staged("sentry.user", "username", "name", "email", "is_active", "is_sentry_app", "is_suspended"),
            **as_staged("sentry.user", "session_nonce", "avatar_type", "avatar_url"),
            **as_staged("sentry.user", "date_joined", "last_login", "last_active"),
            "flags": "COALESCE(s.flags, 0)",
            **{power: f"s.{power}" if has_powers else "false" for power in powers},
            **claimable,
        },
        unique=(
            UniqueSet(
                ("username",),
                Conflict.MERGE if terms.merge_users else Conflict.SUFFIX,
                folded=True,
                length_max=_USERNAME_LENGTH_MAX,
            ),
        ),
        minted=(Minted("new_password", password_hashes),),
    )


_EMAIL = Target(
    model="sentry.email",
    table="email_address",
    values=as_staged("sentry.email", "email", "date_added"),
    unique=(UniqueSet(("email",), Conflict.MERGE, folded=True),),
)


def _user_email(terms: Terms) -> Target:
    """An address is as verified as it was only when the whole installation is imported."""
    verified = {
        "is_verified": "false",
        "validation_hash": "s.new_validation_hash",
        "date_hash_added": "%(now)s::timestamptz",
    }
    if terms.scope is ImportScope.GLOBAL:
        verified = as_staged("sentry.useremail", *verified)
    made = frozenset() if terms.scope is ImportScope.GLOBAL else frozenset({"validation_hash", "date_hash_added"})
    return Target(
        model="sentry.useremail",
        table="user_email",
        values={"user_id": "r_user.new_pk", **as_staged("sentry.useremail", "email"), **verified},
        unique=(UniqueSet(("user_id", "email"), Conflict.ADOPT, folded=True),),
        minted=(Minted("new_validation_hash", alphanumerics),),
        refused={WriteKind.EXISTING_USER: ("user", f"r_user.decision = {Decision.MERGE:d}")},
        made=made,
    )


@cache
def target_of(model: str, terms: Terms) -> Target:
    """How rows of one of control's models are written on these terms."""
    if model == "sentry.user":
        return with_policy(_user(terms), terms.policy_of(model))
    if model == "sentry.useremail":
        return _user_email(terms)
    return _EMAIL if model == _EMAIL.model else with_policy(kept_target(model, terms), terms.policy_of(model))
