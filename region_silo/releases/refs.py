"""The heads of a release's repositories: what refs mean, and how they are written.

A ref names a commit, or a range whose left side is where the release begins. All of them are checked before any is
written; a repository must be there and active, and of several of one name the newest is meant. The last ref of a
repository is its head. The caller holds the release's row. Rules: spec/releases.md 2.7 (5, 6), 2.10, 3 (13 to 15).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from region_silo.fetches import store as fetches
from region_silo.fetches.domain import FetchedRef
from region_silo.releases.commit_list import ListedRelease, clear_commits
from region_silo.releases.previous import find_previous
from region_silo.repositories.store import active_by_names
from shared.database import Transaction
from shared.errors import InvalidArgument, Violation, refuse
from shared.rpc.call import current_caller

REFS_FIELD = "refs.refs"
HEADS_FIELD = "head_commits.head_commits"
COMMIT_LENGTH_MAX = 64

_RANGE = ".."

_ADD_COMMITS = text(
    """
    INSERT INTO commit (organization_id, repository_id, key, date_added)
    SELECT DISTINCT :organization_id, told.repository_id, told.key COLLATE "C", CAST(:now AS timestamptz)
    FROM unnest(CAST(:repository_ids AS bigint[]), CAST(:keys AS text[])) AS told (repository_id, key)
    ORDER BY 2, 3
    ON CONFLICT (repository_id, key) DO NOTHING
    """
)
_SAVE_HEADS = text(
    """
    INSERT INTO release_head_commit AS head (release_id, repository_id, organization_id, commit_id)
    SELECT :release_id, told.repository_id, :organization_id, commit.id
    FROM (
        SELECT DISTINCT ON (repository_id) repository_id, key
        FROM unnest(CAST(:repository_ids AS bigint[]), CAST(:keys AS text[]))
            WITH ORDINALITY AS told (repository_id, key, ordinal)
        ORDER BY repository_id, ordinal DESC
    ) told
    JOIN commit ON commit.repository_id = told.repository_id AND commit.key = told.key
    ORDER BY told.repository_id
    ON CONFLICT (release_id, repository_id) DO UPDATE SET commit_id = excluded.commit_id
        WHERE head.commit_id <> excluded.commit_id
    """
)

_FIND_HEADS = text(
    """
    SELECT head.repository_id, commit.key FROM release_head_commit head JOIN commit ON commit.id = head.commit_id
    WHERE head.release_id = :release_id
    """
)


@dataclass(frozen=True)
class RefSpec:
    """A ref as a client tells it; `commit` may be a range, an empty `previous_commit` tells nothing."""

    repository: str
    commit: str
    previous_commit: str = ""


@dataclass(frozen=True)
class Ref:
    """A ref with its range taken apart."""

    repository: str
    commit: str
    previous_commit: str


@dataclass(frozen=True)
class FieldNames:
    """How the request calls a list of refs and the parts of one."""

    list: str
    commit: str
    previous_commit: str


REF_FIELDS = FieldNames(REFS_FIELD, "commit", "previous_commit")
HEAD_FIELDS = FieldNames(HEADS_FIELD, "current_id", "previous_id")


@dataclass(frozen=True)
class RefChange:
    """What a request does with refs. An empty list of them clears the release's commits and heads, if it may."""

    specs: tuple[RefSpec, ...]
    fields: FieldNames = REF_FIELDS
    environment: str = ""
    clears: bool = False


@dataclass(frozen=True)
class CheckedRefs:
    """Refs that may be written once their repositories are found."""

    refs: tuple[Ref, ...]
    fields: FieldNames
    environment: str
    clears: bool


def check_refs(change: RefChange) -> CheckedRefs:
    """The refs with their ranges taken apart.

    Raises InvalidArgument with a violation for each wrong part, like `refs.refs[3].commit`.
    """
    refs: list[Ref] = []
    violations: list[Violation] = []
    for index, spec in enumerate(change.specs):
        ref = _taken_apart(spec)
        violations += _violations(ref, spec, f"{change.fields.list}[{index}]", change.fields)
        refs.append(ref)
    refuse(violations)
    return CheckedRefs(tuple(refs), change.fields, change.environment, change.clears)


def write_refs(transaction: Transaction, target: ListedRelease, checked: CheckedRefs, fetch_id: int | None) -> bool:
    """Set the heads, and queue the fetch of that id (None: no fetch); whether anything was to be done.

    The release's own fields stand as they will be: the release before is chosen by them. Raises InvalidArgument that
    names every ref of an unknown repository, by its name.
    """
    if not checked.refs:
        return checked.clears and clear_commits(transaction, target).is_written
    found = active_by_names(transaction, target.organization_id, {ref.repository for ref in checked.refs})
    _refuse_unknown(checked, found)
    ids = {name: repository.id for name, repository in found.items()}
    save_heads(transaction, target, [(ids[ref.repository], ref.commit) for ref in checked.refs])
    if fetch_id is not None:
        _queue_fetch(transaction, target, checked, ids, fetch_id)
    return True


def save_heads(transaction: Transaction, target: ListedRelease, heads: Sequence[tuple[int, str]]) -> None:
    """Make these commits (repository's id, key) heads, the last one of each repository; missing commits are made."""
    values = {
        "organization_id": target.organization_id,
        "release_id": target.release_id,
        "repository_ids": [repository_id for repository_id, _ in heads],
        "keys": [key for _, key in heads],
    }
    transaction.execute(_ADD_COMMITS, {**values, "now": transaction.now})
    transaction.execute(_SAVE_HEADS, values)


def head_keys(transaction: Transaction, release_id: int) -> dict[int, str]:
    """The keys of the release's heads, by the repository's id."""
    rows = transaction.execute(_FIND_HEADS, {"release_id": release_id})
    return {row.repository_id: row.key for row in rows}


def _queue_fetch(
    transaction: Transaction, target: ListedRelease, checked: CheckedRefs, ids: dict[str, int], fetch_id: int
) -> None:
    previous = find_previous(transaction, target.release_id, ids, checked.environment)
    caller = current_caller()
    row = fetches.NewFetch(
        id=fetch_id,
        organization_id=target.organization_id,
        release_id=target.release_id,
        principal=caller.principal,
        user_id=caller.user_id,
        previous_release_id=previous.release_id,
        previous_reason=previous.reason,
        refs=tuple(
            FetchedRef(ref.repository, ref.commit, ref.previous_commit or previous.heads.get(ref.repository, ""))
            for ref in checked.refs
        ),
    )
    fetches.insert(transaction, row)


def _taken_apart(spec: RefSpec) -> Ref:
    if _RANGE not in spec.commit:
        return Ref(spec.repository, spec.commit, spec.previous_commit)
    left, _, right = spec.commit.partition(_RANGE)
    return Ref(spec.repository, right, left)


def _violations(ref: Ref, spec: RefSpec, field: str, names: FieldNames) -> Iterator[Violation]:
    if not ref.repository.strip():
        yield Violation(f"{field}.repository", "must not be blank")
    if _RANGE in spec.commit:
        sides = (ref.previous_commit, ref.commit)
        # `a...b` would leave `.b` on the right.
        if _RANGE in ref.commit or "..." in spec.commit:
            yield Violation(f"{field}.{names.commit}", 'a range must read "from..to", with one ".." only')
        elif not all(side.strip() and len(side) <= COMMIT_LENGTH_MAX for side in sides):
            yield Violation(f"{field}.{names.commit}", f"both sides must have 1 to {COMMIT_LENGTH_MAX} characters")
    elif not ref.commit.strip() or len(ref.commit) > COMMIT_LENGTH_MAX:
        yield Violation(f"{field}.{names.commit}", f"must have 1 to {COMMIT_LENGTH_MAX} characters, or be a range")


def _refuse_unknown(checked: CheckedRefs, found: Mapping[str, object]) -> None:
    unknown = sorted((ref.repository, index) for index, ref in enumerate(checked.refs) if ref.repository not in found)
    violations = [
        Violation(f"{checked.fields.list}[{index}].repository", f"there is no active repository {name!r}")
        for name, index in unknown
    ]
    if violations:
        names = ", ".join(sorted({name for name, _ in unknown}))
        raise InvalidArgument(f"{checked.fields.list}: unknown repositories: {names}"[:2000], violations=violations)
