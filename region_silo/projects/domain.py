"""What a project is, and which slugs and names a client may give one."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from shared.errors import Violation, refuse
from shared.slugs import PROJECT_RESERVED, is_numeric, is_reserved

FLAG_HAS_RELEASES = 1
KEY_LABEL = "Default"


@dataclass(frozen=True)
class Project:
    """A project as it is shown and cached."""

    id: int
    organization_id: int
    slug: str
    name: str
    platform: str
    date_added: datetime

    @property
    def place(self) -> str:
        """The slug with its organization: unique in the region."""
        return place_of(self.organization_id, self.slug)


@dataclass(frozen=True)
class ProjectDraft:
    """A project as a client wishes it; an empty slug is made from the name."""

    name: str
    slug: str = ""
    platform: str = ""


@dataclass(frozen=True)
class ProjectKeyPair:
    """The public and the secret half of a project's ingestion key: 32 hexadecimal digits each."""

    public_key: str
    secret_key: str

    @classmethod
    def new(cls) -> "ProjectKeyPair":
        """A pair that nobody can guess."""
        return cls(secrets.token_hex(16), secrets.token_hex(16))


def place_of(organization_id: int, slug: str) -> str:
    """A project's slug with its organization, as `<id>/<slug>`."""
    return f"{organization_id}/{slug}"


def check_draft(draft: ProjectDraft) -> None:
    """Raise InvalidArgument with one violation for each broken rule; shape and lengths are checked before."""
    violations = []
    if not draft.name.strip():
        violations.append(Violation("project.display_name", "must not be blank"))
    if is_reserved(draft.slug, PROJECT_RESERVED):
        violations.append(Violation("project.slug", f"{draft.slug!r} is reserved"))
    if is_numeric(draft.slug):
        violations.append(Violation("project.slug", "must not consist of digits only"))
    refuse(violations)
