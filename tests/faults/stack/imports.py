"""An import by the real command, in which one process dies at a named point, and the same request again.

Whatever dies, the rows must be those of an import that nobody disturbed. Both are made in the region `us`, after
another import of the same rows under another slug: what is unique in a whole silo is taken for each of them alike.
"""

import json
import re
import subprocess
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from shared.importing.registry import ImportScope, Silo, models
from siloway_client.client import new_request_id
from tests.every_model import write_every_model
from tests.faults.stack.silos import FaultStack, Point
from tests.forked_siloway import ForkedRun
from tests.stack import wait_until

COMMAND_S = 90.0
SCOPES = {"organizations": ImportScope.ORGANIZATION, "global": ImportScope.GLOBAL}
"""What `siloway import` calls the scopes."""

_OBJECTS, _SEED = 1000, 1
_INDENT = 24
"""So much that the file is sent in several parts."""

_OPTIONS = {"organizations": (), "global": ("--add-to-silo",)}
# New values of secrets, and ids that only one silo gave, differ from run to run.
_RANDOM = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b|sntrys_[\w-]+"
)

_OPEN = ("01", "08")
"""ESTABLISHED and CLOSE_WAIT in /proc/net/tcp."""

Rows = dict[str, list[str]]


@dataclass(frozen=True)
class Kill:
    """Who dies where, in an import of that scope: the process that comes to the point, or the client while that process
    waits there. With `client_at` the client dies there, and then the process that comes to the point.
    """

    point: Point
    scope: str = "organizations"
    client: bool = False
    client_at: Point | None = None

    def __str__(self) -> str:
        victim = "client" if self.client else f"{self.point.silo} {self.point.verb}"
        after = f" after the client at {self.client_at.name}" if self.client_at else ""
        return f"{victim} at {self.point.name}:{self.point.times}{after}, {self.scope}"


def handed_models(scope: str) -> int:
    """How many models an import of that scope hands over to control."""
    return sum(each.silo is Silo.CONTROL and each.in_scope(SCOPES[scope]) for each in models().values())


# Who is killed behind the last byte leaves an empty claim, which goes with the file.
WHOLE = frozenset({".upload", ".index", ".lock"})
"""What may be in the spool of an import that has ended."""


class Imports:
    """Imports of one and the same file, but for its slug, into the region `us` of a stack."""

    def __init__(self, stack: FaultStack, folder: Path, *, others: Collection[str] | None = None) -> None:
        """`others`: see write_every_model."""
        self._stack = stack
        self._folder = folder
        self._others = others
        self._calm: dict[str, Rows] = {}
        self._count = 0

    def disturb(self, kill: Kill) -> None:
        """Import, kill, ask again; raises AssertionError unless all is as if nothing had happened."""
        expected = self._calm_rows(kill.scope)
        slug, file = self._next_file("hit")
        arguments = self._arguments(kill.scope, file)
        first = self._kill(kill, arguments)
        answers = [self._stack.running.begin_command(*arguments).end(COMMAND_S)]
        told = first.end(COMMAND_S)
        if not kill.client and kill.client_at is None:
            answers.append(told)
        names = [_import_of(answer) for answer in answers]
        assert len(set(names)) == 1, f"one request has made {names}"
        import_id = int(names[0].removeprefix("imports/"))
        assert (
            self._stack.running.value("us", "SELECT count(*) FROM data_import WHERE request_id = %s", arguments[-1])
            == 1
        )
        self._check(kill.scope, import_id, slug, expected)

    def _kill(self, kill: Kill, arguments: tuple[str, ...]) -> ForkedRun:
        stack, point = self._stack, kill.point
        if kill.client:
            return self._kill_client(arguments, stack.waits_at(point))
        with stack.dies_at(point) as died:
            if kill.client_at is not None:
                first = self._kill_client(arguments, stack.waits_at(kill.client_at), until_heard=True)
            else:
                first = stack.running.begin_command(*arguments)
            died()
            if point.verb == "work":
                stack.let_leases_run_out(point.silo)
        return first

    def _kill_client(
        self,
        arguments: tuple[str, ...],
        waits: AbstractContextManager[Callable[[], None]],
        *,
        until_heard: bool = False,
    ) -> ForkedRun:
        before = self._lines()
        with waits as reached:
            first = self._stack.running.begin_command(*arguments)
            reached()
            first.kill()
            if until_heard:  # all of the file may be on its way already
                wait_until(lambda: self._lines() <= before, "the region does not hear that its client is gone")
        return first

    def _lines(self) -> int:
        """Connections that the region's public door has open."""
        port = int(self._stack.running.describe["regions"]["us"]["public_address"].rpartition(":")[2])
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(line[1].endswith(f":{port:04X}") and line[3] in _OPEN for line in lines)

    def _calm_rows(self, scope: str) -> Rows:
        if not self._calm:
            self._import("global", "first")
        if scope not in self._calm:
            import_id, slug = self._import(scope, "calm")
            self._calm[scope] = self._rows(import_id, slug)
        return self._calm[scope]

    def _import(self, scope: str, name: str) -> tuple[int, str]:
        slug, file = self._next_file(name)
        answer = self._stack.running.begin_command(*self._arguments(scope, file)).end(COMMAND_S)
        import_id = int(_import_of(answer).removeprefix("imports/"))
        self._stack.finish("us", import_id)
        return import_id, slug

    def _next_file(self, name: str) -> tuple[str, Path]:
        self._count += 1
        slug = f"{name}-{self._count}"
        file = self._folder / f"{slug}.json"
        write_every_model(file, slug, objects=_OBJECTS, seed=_SEED, others=self._others, indent=_INDENT)
        return slug, file

    def _arguments(self, scope: str, file: Path) -> tuple[str, ...]:
        options = ("--region", "us", "--json", *_OPTIONS[scope], "--request-id", new_request_id())
        return ("import", scope, str(file), *options)

    def _check(self, scope: str, import_id: int, slug: str, expected: Rows) -> None:
        self._stack.finish("us", import_id)
        found = self._rows(import_id, slug)
        for model, rows in expected.items():
            wrong = set(found[model]) ^ set(rows)
            assert found[model] == rows, (
                f"{model}: {len(found[model])} rows instead of {len(rows)}: {sorted(wrong)[:4]}"
            )
        # The whole file may stay a while, to be compared with what stands.
        wait_until(lambda: self._spooled(import_id) <= WHOLE, f"a part of the file of {slug} is still in the spool")

    def _rows(self, import_id: int, slug: str) -> Rows:
        found = self._stack.rows("us", import_id, slug)
        return {model: sorted(_RANDOM.sub("NEW", row) for row in rows) for model, rows in found.items()}

    def _spooled(self, import_id: int) -> set[str]:
        return {path.suffix for path in (self._stack.running.folder / "spool" / "us").glob(f"{import_id}.*")}


def _import_of(answer: "subprocess.CompletedProcess[str]") -> str:
    """The import that the command tells of, which has succeeded."""
    assert answer.returncode == 0, answer
    told = json.loads(answer.stdout)
    assert told["state"] == "STATE_SUCCEEDED", told
    return str(told["name"])
