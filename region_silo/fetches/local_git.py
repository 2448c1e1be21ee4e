"""The provider `local-git`: repositories on this machine, read by the `git` command.

A repository lies at <root>/<organization id>/<path>, where `path` is a setting of the repository; what leads out of its
organization's folder, links included, is refused, and without a root everything is. Only plumbing commands run, without
a shell, with an environment of their own, no configuration but the repository's, no hooks, no transports, and revisions
that cannot be taken for options. What a repository's own configuration could start (filters, text conversions, external
differences, signatures) plumbing commands do not use. Time and output are bounded.
"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from region_silo.fetches.providers import (
    COMMITS_WITHOUT_START,
    SourceNotFoundError,
    SourceRefusedError,
    SourceRepository,
    SourceTooLargeError,
    SourceUnreachableError,
)
from region_silo.releases.commits import CommitSpec, FileChange, time_us

NAME = "local-git"
PATH_SETTING = "path"

_MESSAGE_BYTES_MAX = 65_536
_NAME_LENGTH_MAX = 128
_ADDRESS_LENGTH_MAX = 200
_FILES_MAX = 1000
_PATH_LENGTH_MAX = 510
_READ_BYTES = 65_536
_OPTIONS = ("-c", "core.fsmonitor=", "-c", f"core.hooksPath={os.devnull}", "-c", "protocol.allow=never")
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "HOME": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}
_REVISION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._/-]{0,63}")
_OBJECT = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_PERSON = re.compile(r"(?P<name>[^<]*)<(?P<address>[^>]*)> (?P<seconds>-?[0-9]{1,12}) [+-][0-9]{4}")
_TYPES = {b"A": "A", b"D": "D", b"M": "M", b"T": "M"}


class LocalGit:
    """Reads repositories below `root`; with None it refuses all. Times in seconds, for a whole comparison."""

    def __init__(self, root: Path | None, *, deadline_s: float = 60.0, output_bytes_max: int = 64 << 20) -> None:
        self._root = root
        self._deadline_s = deadline_s
        self._output_bytes_max = output_bytes_max

    def compare(self, repository: SourceRepository, start: str | None, end: str, limit: int) -> list[CommitSpec]:
        """As Provider.compare says."""
        git = _Git(self._folder(repository), time.monotonic() + self._deadline_s, self._output_bytes_max)
        newest = git.resolve(end)
        if start is None:
            keys = git.list_commits(newest, None, min(COMMITS_WITHOUT_START, limit))
        else:
            keys = git.list_commits(newest, git.resolve(start), limit + 1)
            if len(keys) > limit:
                raise SourceTooLargeError(f"there are more than {limit} commits from {start} to {end}")
        if not keys:
            return []
        files = git.read_files(keys)
        return [
            _commit(repository.name, key, content, files.get(key, ()))
            for key, content in zip(keys, git.read_commits(keys), strict=True)
        ]

    def _folder(self, repository: SourceRepository) -> Path:
        """The folder that git calls the repository's own. Raises SourceRefusedError, SourceNotFoundError."""
        path = repository.settings.get(PATH_SETTING, "")
        if self._root is None:
            raise SourceRefusedError("this region has no folder of git repositories")
        if not path:
            raise SourceRefusedError(f"the repository has no setting {PATH_SETTING}")
        try:
            root = (self._root / str(repository.organization_id)).resolve()
            folder = (root / path).resolve()
            inner = (folder / ".git").resolve()
            if not folder.is_relative_to(root) or folder == root or not inner.is_relative_to(root):
                raise SourceRefusedError("the repository's path leads out of its organization's folder")
            found = inner if inner.is_dir() else folder
            if not (found / "HEAD").is_file():
                raise SourceNotFoundError(f"there is no git repository at {path!r}")
        except (OSError, ValueError, RuntimeError) as exc:
            raise SourceNotFoundError(f"there is no git repository at {path!r}") from exc
        return found


class _Git:
    """One comparison's calls of git."""

    def __init__(self, folder: Path, ends_at: float, output_bytes_max: int) -> None:
        self._folder = folder
        self._ends_at = ends_at
        self._output_left = output_bytes_max

    def resolve(self, revision: str) -> bytes:
        """The commit that a revision names. Raises SourceNotFoundError, SourceRefusedError."""
        if not _REVISION.fullmatch(revision) or ".." in revision:
            raise SourceRefusedError(f"{revision!r} cannot be the name of a commit")
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        output, code = self._run(arguments)
        key = output.strip()
        if code or not _OBJECT.fullmatch(key):
            raise SourceNotFoundError(f"the repository has no commit {revision}")
        return key

    def list_commits(self, newest: bytes, before: bytes | None, limit: int) -> list[bytes]:
        """At most `limit` commits, children before their parents, `newest` first, without `before` and its history."""
        excluded = () if before is None else (f"^{before.decode()}",)
        arguments = ("rev-list", "--topo-order", f"--max-count={limit}", newest.decode(), *excluded, "--")
        return self._read(arguments).split()

    def read_commits(self, keys: Sequence[bytes]) -> Iterator[bytes]:
        """The commits as git keeps them."""
        output = memoryview(self._read(("cat-file", "--batch"), b"".join(key + b"\n" for key in keys)))
        at = 0
        for key in keys:
            line_end = bytes(output[at : at + 200]).index(b"\n") + at
            name, kind, size = bytes(output[at:line_end]).split()
            if name != key or kind != b"commit":
                raise SourceUnreachableError(f"git did not give the commit {key.decode()}")
            yield bytes(output[line_end + 1 : line_end + 1 + int(size)])
            at = line_end + 1 + int(size) + 1

    def read_files(self, keys: Sequence[bytes]) -> dict[bytes, list[FileChange]]:
        """What the commits change; merges change nothing."""
        arguments = ("diff-tree", "--stdin", "-r", "--root", "--no-renames", "--name-status", "-z")
        options = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=none")
        output = self._read((*arguments, *options), b"".join(key + b"\n" for key in keys))
        files: dict[bytes, list[FileChange]] = {}
        tokens = iter(output.split(b"\0"))
        changes: list[FileChange] = []
        for token in tokens:
            if _OBJECT.fullmatch(token):
                changes = files.setdefault(token, [])
            elif token in _TYPES:
                path = next(tokens).decode(errors="replace")
                if len(changes) < _FILES_MAX and len(path) <= _PATH_LENGTH_MAX:
                    changes.append(FileChange(path, _TYPES[token]))
        return files

    def _read(self, arguments: Sequence[str], given: bytes = b"") -> bytes:
        output, code = self._run(arguments, given)
        if code:
            raise SourceUnreachableError(f"git {arguments[0]} ended with {code}")
        return output

    def _run(self, arguments: Sequence[str], given: bytes = b"") -> tuple[bytes, int]:
        """What git writes, and its exit code. What it complains of may name paths of this machine and is not kept."""
        command = ("git", *_OPTIONS, f"--git-dir={self._folder}", *arguments)
        with tempfile.TemporaryFile() as stdin:
            stdin.write(given)
            stdin.seek(0)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    cwd=self._folder,
                )
            except OSError as exc:
                raise SourceUnreachableError("the git command cannot be run here") from exc
            with process:
                try:
                    output = self._collect(process)
                    return output, process.wait(max(0.1, self._left_s()))
                except subprocess.TimeoutExpired as exc:
                    raise SourceUnreachableError("git took too long") from exc
                finally:
                    process.kill()

    def _collect(self, process: "subprocess.Popen[bytes]") -> bytes:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        parts: list[bytes] = []
        with DefaultSelector() as selector:
            selector.register(descriptor, EVENT_READ)
            while True:
                if not selector.select(self._left_s()) and self._left_s() <= 0:
                    raise SourceUnreachableError("git took too long")
                part = os.read(descriptor, _READ_BYTES)
                if not part:
                    return b"".join(parts)
                self._output_left -= len(part)
                if self._output_left < 0:
                    raise SourceTooLargeError("git wrote more than a fetch takes")
                parts.append(part)

    def _left_s(self) -> float:
        return max(0.0, self._ends_at - time.monotonic())


def _commit(repository: str, key: bytes, content: bytes, files: Sequence[FileChange]) -> CommitSpec:
    head, _, message = content.partition(b"\n\n")
    headers = dict(line.split(b" ", 1) for line in reversed(head.split(b"\n")) if b" " in line[1:])
    encoding = headers.get(b"encoding", b"utf-8").decode("ascii", errors="replace")
    author = _PERSON.fullmatch(_text(headers.get(b"author", b""), encoding))
    committer = _PERSON.fullmatch(_text(headers.get(b"committer", b""), encoding))
    return CommitSpec(
        key=key.decode(),
        repository=repository,
        message=_text(message, encoding).rstrip("\n").encode()[:_MESSAGE_BYTES_MAX].decode(errors="ignore"),
        author_name=author["name"].strip()[:_NAME_LENGTH_MAX] if author else "",
        author_email=author["address"].strip()[:_ADDRESS_LENGTH_MAX] if author else "",
        commit_time_us=_time_us(int(committer["seconds"])) if committer else None,
        files=tuple(files),
    )


def _text(content: bytes, encoding: str) -> str:
    """Commits say in which encoding they are; one that nobody knows, or that lies, is read as far as it goes."""
    try:
        text = content.decode(encoding, errors="replace")
    except LookupError:
        text = content.decode(errors="replace")
    return text.replace("\0", "")


def _time_us(seconds: int) -> int | None:
    try:
        return time_us(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return None
