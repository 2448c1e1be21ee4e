"""What an import's scope and flags allow it: the same row may be written in another way under other terms."""

from dataclasses import dataclass

from shared.importing.registry import USER, ImportScope

_MERGE = 2


@dataclass(frozen=True)
class Terms:
    """`merge_users`: a user whose username is there is used, instead of a new one under another name.
    `overwrite_configs`: configuration that is there gets the file's values. `hide_organizations`: organizations wait
    for somebody's approval. `policies`: a model and the number of its policy each. Spec imports.md 5.
    """

    scope: ImportScope
    merge_users: bool = False
    overwrite_configs: bool = False
    hide_organizations: bool = False
    policies: tuple[tuple[str, int], ...] = ()

    def policy_of(self, model: str) -> int | None:
        """The policy that was chosen for a model."""
        return dict(self.policies).get(model)

    @property
    def permission(self) -> str:
        """The token scope that such an import needs."""
        merges_users = self.merge_users or self.policy_of(USER) == _MERGE
        return "silo:operate" if merges_users else self.scope.permission
