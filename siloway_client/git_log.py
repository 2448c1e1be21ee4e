"""Reads commits of a local repository by the git command: keys, authors, times, messages and changed files.

What the contract bounds is cut to it here (messages, names, file changes), so that one odd commit does not stop a set.
"""

import re
import subprocess
from pathlib import Path

from siloway.region.v1 import release_service_pb2 as release_pb

COMMITS_MAX = 100_000
MESSAGE_BYTES_MAX = 65_536
NAME_LENGTH_MAX = 128
FILE_CHANGES_MAX = 1000
PATH_LENGTH_MAX = 510
_TIMEOUT_S = 300
_HEADER_LINES = 4
_KEY = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TYPES = {
    "A": release_pb.FileChange.TYPE_ADDED,
    "D": release_pb.FileChange.TYPE_DELETED,
    "M": release_pb.FileChange.TYPE_MODIFIED,
    "T": release_pb.FileChange.TYPE_MODIFIED,
}


class GitFailed(Exception):
    """The git command is missing or refused; the text says why."""


def read_commits(folder: Path, start: str, end: str, repository: str) -> list[release_pb.CommitSpec]:
    """The commits that `end` has and `start` has not (empty: all of `end`), newest first.

    Merges have no file changes. Raises GitFailed, also for more than COMMITS_MAX.
    """
    revisions = f"{start}..{end}" if start else end
    specs = {spec.id: spec for spec in _specs(_log(folder, revisions, "--format=%H%n%an%n%ae%n%ct%n%B"), repository)}
    if len(specs) > COMMITS_MAX:
        raise GitFailed(f"{revisions} has more than {COMMITS_MAX} commits; name a start with --from")
    for key, changes in _changes(_log(folder, revisions, "--name-status", "--no-renames", "--format=%H")).items():
        if key in specs:
            specs[key].patch_set.extend(changes[:FILE_CHANGES_MAX])
    return list(specs.values())


def repository_name(folder: Path) -> str:
    """`owner/name` of the remote `origin`, or the name of the repository's folder. Raises GitFailed."""
    top = _git(folder, "rev-parse", "--show-toplevel").strip()
    try:
        url = _git(folder, "remote", "get-url", "origin").strip().removesuffix(".git").rstrip("/")
    except GitFailed:
        return Path(top).name
    parts = [part for part in re.split(r"[/:]", url) if part]
    return "/".join(parts[-2:]) if "://" in url or ":" in url else parts[-1]


def _specs(log: list[str], repository: str) -> list[release_pb.CommitSpec]:
    specs = []
    for record in log:
        lines = record.split("\n", _HEADER_LINES)
        if len(lines) <= _HEADER_LINES:
            continue
        key, name, email, time_s, message = lines
        spec = release_pb.CommitSpec(
            id=key,
            repository=repository,
            message=message.strip("\n").encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore"),
            author_name=name[:NAME_LENGTH_MAX],
            author_email=email,
        )
        spec.commit_time.seconds = int(time_s)
        specs.append(spec)
    return specs


def _changes(log: list[str]) -> dict[str, list[release_pb.FileChange]]:
    """Changes by commit; in the log a key stands before pairs of a letter and a path."""
    found: dict[str, list[release_pb.FileChange]] = {}
    changes: list[release_pb.FileChange] = []
    tokens = iter(log)
    for token in tokens:
        word = token.strip("\n")
        if _KEY.fullmatch(word):
            changes = found.setdefault(word, [])
        elif word:
            path = next(tokens, "")
            if word[0] in _TYPES and 0 < len(path) <= PATH_LENGTH_MAX:
                changes.append(release_pb.FileChange(path=path, type=_TYPES[word[0]]))
    return found


def _log(folder: Path, revisions: str, *options: str) -> list[str]:
    settings = ("-c", "i18n.logOutputEncoding=UTF-8", "-c", "log.showSignature=false")
    arguments = ("log", "-z", "--no-color", "--no-notes", f"--max-count={COMMITS_MAX + 1}", *options)
    return _git(folder, *settings, *arguments, "--end-of-options", revisions, "--").split("\0")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # arguments are passed as such, revisions after --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's own git
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"cannot run git: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitFailed(f"git: {said[0] if said else f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")
