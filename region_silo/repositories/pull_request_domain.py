"""What a pull request is, and what a client may say of one."""

from dataclasses import dataclass
from datetime import datetime

from shared.errors import Violation, refuse


@dataclass(frozen=True)
class PullRequestDraft:
    """A pull request as a client tells it; empty texts, and no commits, tell nothing."""

    key: str
    title: str = ""
    message: str = ""
    author_name: str = ""
    author_email: str = ""
    merge_commit_key: str = ""
    commit_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class PullRequest:
    """A pull request as it is shown; lists leave `commit_keys` out."""

    id: int
    organization_id: int
    repository_id: int
    key: str
    title: str
    message: str
    author_name: str
    author_email: str
    merge_commit_key: str
    create_time: datetime
    commit_keys: tuple[str, ...] = ()


def check_draft(draft: PullRequestDraft) -> None:
    """Raise InvalidArgument with one violation for each broken rule; lengths are checked where the message comes in."""
    violations = []
    if not draft.key.strip():
        violations.append(Violation("pull_request.key", "must not be blank"))
    if "/" in draft.key:
        violations.append(Violation("pull_request.key", 'must not hold "/"'))
    violations += [
        Violation(f"pull_request.commit_ids[{index}]", "must not be blank")
        for index, key in enumerate(draft.commit_keys)
        if not key.strip()
    ]
    refuse(violations)
