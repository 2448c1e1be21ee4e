"""Importers on fresh databases of both silos."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from shared.database import Database
from shared.snowflake.allocator import SnowflakeAllocator
from siloway_client.__main__ import app
from tests.clock import FakeClock
from tests.integration.callbacks.silos import Silos
from tests.integration.imports.doors import Doors
from tests.integration.imports.stack import REGION, ImportStack


@pytest.fixture
def make_stack(
    make_database: Callable[[str | None], str],
    make_region_database: Callable[[str, int], str],
    control_template: str,
    clock: FakeClock,
    tmp_path: Path,
) -> Iterator[Callable[[], ImportStack]]:
    """Make a control and a region `us` with nothing in them, as often as wanted."""
    with ExitStack() as cleanup:
        made: list[ImportStack] = []

        def make() -> ImportStack:
            urls = {"control": make_database(control_template), REGION: make_region_database(REGION, 1)}
            databases = {name: Database.open(url, clock=clock) for name, url in urls.items()}
            ids = {
                name: SnowflakeAllocator.open(url, clock=clock, number=number)
                for (name, url), number in zip(urls.items(), (0, 1), strict=True)
            }
            for close in [each.close for each in databases.values()] + [each.close for each in ids.values()]:
                cleanup.callback(close)
            silos = Silos(databases["control"], {REGION: databases[REGION]}, clock)
            silos.register()
            made.append(ImportStack(silos, clock, tmp_path / f"spool-{len(made)}", ids))
            return made[-1]

        yield make


@pytest.fixture
def stack(make_stack: Callable[[], ImportStack]) -> ImportStack:
    return make_stack()


@pytest.fixture
def doors(stack: ImportStack, tmp_path: Path) -> Iterator[Doors]:
    with ExitStack() as cleanup:
        yield Doors(stack, tmp_path, cleanup)


@pytest.fixture
def run(doors: Doors, tmp_path: Path) -> Callable[..., Result]:
    token_file, nowhere = tmp_path / "token", "127.0.0.1:1"
    token_file.write_text("importer")
    described = {
        "control": {"public_address": nowhere},
        "regions": {"us": {"public_address": f"127.0.0.1:{doors.public.port}"}},
        "token_file": str(token_file),
        "environment_file": nowhere,
    }
    (tmp_path / "stack.json").write_text(json.dumps(described))
    return lambda *arguments: CliRunner().invoke(app, ["--folder", str(tmp_path), *arguments])


@pytest.fixture
def working(doors: Doors) -> Iterator[None]:
    """Somebody works on imports and delivers slugs."""
    stop = threading.Event()

    def work() -> None:
        runner = doors.stack.runner()
        while not stop.is_set():
            runner.run_once()
            doors.stack.silos.drain("control", "us")
            doors.stack.clock.advance(0.3)
            stop.wait(0.02)

    worker = threading.Thread(target=work)
    worker.start()
    yield
    stop.set()
    worker.join(20)
