"""How rows of the models that a region acts on are written.

An imported organization is always a new one, without a slug until control has given it one. So nothing that hangs on it
can meet rows of other organizations, except tokens and keys, which are unique in the whole region. Rules: spec
imports.md 10.
"""

import random
from collections.abc import Mapping
from dataclasses import replace

from shared.importing.kept import TABLE as KEPT
from shared.importing.kept import kept_target
from shared.importing.policies import with_policy
from shared.importing.registry import ORGANIZATION
from shared.importing.targets import Conflict, Derived, Target, UniqueSet, as_staged
from shared.importing.terms import Terms
from shared.slugs import PROJECT_LENGTH_MAX, PROJECT_RESERVED, base_slug, random_slug

PROJECT = "sentry.project"

_IMPORTING = 0
_AWAITS_APPROVAL = 3
"""The status of an organization that is hidden until somebody approves."""

_random = random.SystemRandom()


def _slug_of(name: str) -> str:
    slug = base_slug(name, PROJECT_LENGTH_MAX, PROJECT_RESERVED)
    return slug if slug and not slug.isdigit() else random_slug(_random)


_SLUG_IN_ORGANIZATION = UniqueSet(("organization_id", "slug"), Conflict.SUFFIX, length_max=PROJECT_LENGTH_MAX)

_ORGANIZATION = Target(
    model="sentry.organization",
    table="organization",
    snowflake=True,
    values={
        **as_staged("sentry.organization", "name", "status", "default_role", "is_test", "flags", "date_added"),
        "base_slug": "COALESCE(NULLIF(s.slug, ''), s.name)",
        "state": f"{_IMPORTING}::int2",
        "import_id": "%(import_id)s::int8",
    },
)

_HIDDEN_ORGANIZATION = replace(_ORGANIZATION, values={**_ORGANIZATION.values, "status": f"{_AWAITS_APPROVAL}::int4"})

_TEAM = Target(
    model="sentry.team",
    table="team",
    snowflake=True,
    values={
        "organization_id": "r_organization.new_pk",
        **as_staged("sentry.team", "slug", "name", "status", "idp_provisioned"),
        "date_added": "COALESCE(s.date_added, %(now)s::timestamptz)",
    },
    unique=(_SLUG_IN_ORGANIZATION,),
    derived=(Derived("slug", "name", _slug_of),),
)

_MEMBER = Target(
    model="sentry.organizationmember",
    table="organization_member",
    values={
        "organization_id": "r_organization.new_pk",
        "user_id": "r_user_id.new_pk",
        "inviter_id": "r_inviter_id.new_pk",
        **as_staged("sentry.organizationmember", "email", "role", "flags", "token", "token_expires_at", "type"),
        **as_staged("sentry.organizationmember", "has_global_access", "user_email", "user_is_active", "date_added"),
        "invite_status": "COALESCE(s.invite_status, 0)::int4",
    },
    unique=(
        UniqueSet(("organization_id", "user_id"), Conflict.SKIP),
        UniqueSet(("organization_id", "email"), Conflict.SKIP),
        UniqueSet(("token",), Conflict.CLEAR, also_cleared=("token_expires_at",)),
    ),
    nulled=frozenset({"inviter_id"}),
)

_MEMBER_TEAM = Target(
    model="sentry.organizationmemberteam",
    table="organization_member_team",
    values={
        "organization_id": "o_organizationmember.organization_id",
        "organization_member_id": "r_organizationmember.new_pk",
        "team_id": "r_team.new_pk",
        **as_staged("sentry.organizationmemberteam", "is_active", "role"),
    },
    owners={"organizationmember": "organization_member", "team": "team"},
    unique=(UniqueSet(("team_id", "organization_member_id"), Conflict.SKIP),),
)

_PROJECT = Target(
    model="sentry.project",
    table="project",
    snowflake=True,
    values={
        "organization_id": "r_organization.new_pk",
        **as_staged("sentry.project", "slug", "name", "platform", "status", "public", "first_event"),
        **as_staged("sentry.project", "forced_color", "date_added"),
        "flags": "COALESCE(s.flags, 0)",
        "template_id": "r_template.new_pk",
    },
    unique=(_SLUG_IN_ORGANIZATION,),
    derived=(Derived("slug", "name", _slug_of),),
)

_PROJECT_TEAM = Target(
    model="sentry.projectteam",
    table="project_team",
    values={
        "organization_id": "o_project.organization_id",
        "project_id": "r_project.new_pk",
        "team_id": "r_team.new_pk",
    },
    owners={"project": "project", "team": "team"},
    unique=(UniqueSet(("project_id", "team_id"), Conflict.SKIP),),
)

_PROJECT_KEY = Target(
    model="sentry.projectkey",
    table="project_key",
    values={
        "organization_id": "o_project.organization_id",
        "project_id": "r_project.new_pk",
        **as_staged("sentry.projectkey", "label", "roles", "status", "rate_limit_count", "rate_limit_window"),
        **as_staged("sentry.projectkey", "use_case", "date_added"),
        "public_key": "NULLIF(s.public_key, '')",
        "secret_key": "NULLIF(s.secret_key, '')",
        "data": "s.data::jsonb",
    },
    owners={"project": "project"},
    unique=(UniqueSet(("public_key",), Conflict.REPLACE), UniqueSet(("secret_key",), Conflict.REPLACE)),
)

_ENVIRONMENT = Target(
    model="sentry.environment",
    table="environment",
    values={"organization_id": "r_organization_id.new_pk", **as_staged("sentry.environment", "name", "date_added")},
    unique=(UniqueSet(("organization_id", "name"), Conflict.SKIP),),
)

_ENVIRONMENT_PROJECT = Target(
    model="sentry.environmentproject",
    table="environment_project",
    values={
        "organization_id": "o_project.organization_id",
        "project_id": "r_project.new_pk",
        "environment_id": "r_environment.new_pk",
        **as_staged("sentry.environmentproject", "is_hidden"),
    },
    owners={"project": "project", "environment": "environment"},
    unique=(UniqueSet(("project_id", "environment_id"), Conflict.SKIP),),
)

_REPOSITORY = Target(
    model="sentry.repository",
    table="repository",
    values={
        "organization_id": "r_organization_id.new_pk",
        "integration_id": "r_integration_id.new_pk",
        **as_staged("sentry.repository", "name", "url", "provider", "external_id", "status", "languages", "date_added"),
        "config": "s.config::jsonb",
    },
    unique=(
        UniqueSet(("organization_id", "provider", "external_id"), Conflict.SKIP),
        # Active repositories without a provider are known by their names.
        UniqueSet(("organization_id", "name"), Conflict.SKIP, only="{0}.status = 0 AND {0}.provider IS NULL"),
    ),
)

# The last short id that a project gave to an issue, so that none is given twice.
_COUNTER = Target(
    model="sentry.counter",
    table="project_counter",
    values={
        "organization_id": "o_project.organization_id",
        "project_id": "r_project.new_pk",
        **as_staged("sentry.counter", "value"),
    },
    owners={"project": "project"},
    unique=(UniqueSet(("project_id",), Conflict.SKIP),),
)

_REAL = (
    _ORGANIZATION,
    _TEAM,
    _MEMBER,
    _MEMBER_TEAM,
    _PROJECT,
    _PROJECT_TEAM,
    _PROJECT_KEY,
    _ENVIRONMENT,
    _ENVIRONMENT_PROJECT,
    _REPOSITORY,
    _COUNTER,
)

TABLES = (*(target.table for target in _REAL), KEPT)
"""What imports write in a region."""

_TARGETS: Mapping[str, Target] = {target.model: target for target in _REAL}


def target_of(model: str, terms: Terms) -> Target:
    """How rows of one of the region's models are written on these terms."""
    if model == ORGANIZATION and terms.hide_organizations:
        return _HIDDEN_ORGANIZATION
    target = _TARGETS[model] if model in _TARGETS else kept_target(model, terms)
    return with_policy(target, terms.policy_of(model))
