"""What a new organization is asked to be, checked before anything is held."""

from collections.abc import Collection
from dataclasses import dataclass

from shared.errors import InvalidArgument

NAME_LENGTH_MAX = 64


@dataclass(frozen=True)
class NewOrganization:
    """A wish: `slug` need not be well formed, and empty means from the name. One owner: a known user, or an address."""

    region: str
    slug: str
    name: str
    owner_user_id: int | None
    owner_email: str | None
    create_default_team: bool = True
    is_test: bool = False

    @property
    def kept_name(self) -> str:
        """The name as it is kept."""
        return self.name.strip()[:NAME_LENGTH_MAX].strip()

    @property
    def wish(self) -> str:
        """The text that the slug is made from."""
        return self.slug or self.kept_name


def check(new: NewOrganization, regions: Collection[str]) -> None:
    """Raise InvalidArgument for what no region could make. Rule: spec/hybrid.md 2.2."""
    if new.region not in regions:
        raise InvalidArgument.of("region", "is no region that control knows")
    if (new.owner_user_id is None) == (not new.owner_email):
        raise InvalidArgument.of("owner", "must be exactly one of owner_user and owner_email")
    if not new.kept_name:
        raise InvalidArgument.of("display_name", "must not be blank")
