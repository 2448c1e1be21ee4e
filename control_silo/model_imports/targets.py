"""How users and their addresses are written. An import never changes a user that was there before it.

Whatever the file says, a user who comes with an organization has no power over the installation, a password that nobody
knows, and must be claimed. Rules: spec imports.md 10.
"""

from functools import cache

from shared.importing.decisions import Decision, WriteKind
from shared.importing.digests import digest_of
from shared.importing.kept import kept_target
from shared.importing.minting import alphanumerics, password_hashes
from shared.importing.policies import with_policy
from shared.importing.registry import ImportScope
from shared.importing.targets import PLANNED, Conflict, Minted, Target, UniqueSet, as_staged
from shared.importing.terms import Terms
from shared.importing.undo_order import ADDRESSES_OF_USERS, EMAILS_OF_USERS

_USERNAME_LENGTH_MAX = 128


# What comes with a user stands in the ledger too, under a name of its own and by ids of ours, for no row of the file
# stands for it: it goes when its import is undone.
_LEDGER_OF_MADE = f"""
    INSERT INTO import_row (import_id, model, old_pk, new_pk, decision, ordinal, digest)
    SELECT %(import_id)s, '{{model}}', made.old_pk, made.id, {Decision.INSERT:d}, 0, made.digest FROM made
"""
_KEEP_ADDRESS = f"""
    WITH made AS (
        INSERT INTO email_address{PLANNED} AS t (email, date_added)
        SELECT DISTINCT ON (lower(email)) email, %(now)s::timestamptz FROM resolved_user_account r
        WHERE decision IN (1, 4) AND email <> ''
        ORDER BY lower(email)
        ON CONFLICT DO NOTHING
        RETURNING t.id AS old_pk, t.id, {digest_of("email_address", "t")} AS digest
    )
    {_LEDGER_OF_MADE.format(model=ADDRESSES_OF_USERS)}
"""
_KEEP_USER_EMAIL = f"""
    WITH made AS (
        INSERT INTO user_email{PLANNED} AS t (user_id, email, is_verified, validation_hash, date_hash_added)
        SELECT new_pk, email, false, carried, %(now)s::timestamptz FROM resolved_user_account r
        WHERE decision IN (1, 4) AND email <> ''
        RETURNING t.user_id AS old_pk, t.id, {digest_of("user_email", "t")} AS digest
    )
    {_LEDGER_OF_MADE.format(model=EMAILS_OF_USERS)}
"""

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
        minted=(Minted("new_password", password_hashes), Minted("new_validation_hash", alphanumerics)),
        carried="s.new_validation_hash",
        # A user's own address is known to the system from the start, as if the user had signed up with it.
        followed_by=(_KEEP_ADDRESS, _KEEP_USER_EMAIL),
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
