"""What may be chosen for an import, and for which scopes. Filters are lists of names; spec imports.md 5 and 7."""

from dataclasses import dataclass, fields

from shared import errors
from shared.importing.policies import POLICIES
from shared.importing.registry import ImportScope as Scope
from shared.importing.registry import models
from shared.importing.terms import Terms

_SCOPES: dict[str, frozenset[Scope]] = {
    "merge_users": frozenset({Scope.USER, Scope.ORGANIZATION, Scope.CONFIG}),
    "overwrite_configs": frozenset({Scope.CONFIG}),
    "hide_organizations": frozenset({Scope.ORGANIZATION, Scope.GLOBAL}),
    "add_to_silo": frozenset({Scope.GLOBAL}),
    "usernames": frozenset({Scope.USER, Scope.CONFIG}),
    "organization_slugs": frozenset({Scope.ORGANIZATION}),
    "continue_on_error": frozenset(Scope),
    "policies": frozenset(Scope),
}


@dataclass(frozen=True)
class ImportOptions:
    """As stored with the import. A filter is None when there is none; an empty one lets nothing pass."""

    merge_users: bool = False
    overwrite_configs: bool = False
    hide_organizations: bool = False
    add_to_silo: bool = False
    usernames: tuple[str, ...] | None = None
    organization_slugs: tuple[str, ...] | None = None
    continue_on_error: bool = False
    policies: tuple[tuple[str, int], ...] = ()
    """A model, and the number of its shared.importing.policies.Policy."""

    @property
    def filtered(self) -> bool:
        """Whether rows are left out by name."""
        return self.usernames is not None or self.organization_slugs is not None

    def check(self, scope: Scope) -> None:
        """Raise InvalidArgument for a choice that the scope has no use for: it would do nothing, silently."""
        for each in fields(self):
            chosen = getattr(self, each.name)
            if chosen is not None and chosen is not False and scope not in _SCOPES[each.name]:
                reason = f"is of no use in {scope.name.lower()} scope"
                raise errors.InvalidArgument.of(f"header.options.{each.name}", reason)
        for place, (model, policy) in enumerate(self.policies):
            field = f"header.options.policies[{place}]"
            if model not in POLICIES or not models()[model].in_scope(scope):
                raise errors.InvalidArgument.of(f"{field}.model", "no policy can be chosen for such rows in this scope")
            if policy not in POLICIES[model]:
                known = ", ".join(sorted(each.name for each in POLICIES[model]))
                raise errors.InvalidArgument.of(f"{field}.on_conflict", f"must be one of {known} for this model")

    def terms(self, scope: Scope) -> Terms:
        """What such an import may do with rows."""
        return Terms(scope, self.merge_users, self.overwrite_configs, self.hide_organizations, self.policies)


NO_OPTIONS = ImportOptions()
"""Nothing was chosen."""
