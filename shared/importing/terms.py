"""What an import's scope and flags allow it: the same row may be written in another way under other terms."""

from dataclasses import dataclass

from shared.importing.registry import ImportScope


@dataclass(frozen=True)
class Terms:
    """`merge_users`: a user whose username is there is used, instead of a new one under another name.
    `overwrite_configs`: configuration that is there gets the file's values. `hide_organizations`: organizations wait
    for somebody's approval. Spec imports.md 5.
    """

    scope: ImportScope
    merge_users: bool = False
    overwrite_configs: bool = False
    hide_organizations: bool = False

    @property
    def permission(self) -> str:
        """The token scope that such an import needs."""
        return "silo:operate" if self.merge_users else self.scope.permission
